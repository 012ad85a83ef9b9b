"""Where on disk the images of a public list are: decided once for a list, by looking."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from benchmarks.datasets.files.image_files import missing_files

PROBES = 32
"""Images of a list that are looked for in each place before one is chosen."""

Rewrite = Callable[[str], str]
"""A path of the list -> the path of the file in another usual layout."""


@dataclass(frozen=True)
class Located:
    """The images of one list."""

    files: tuple[str, ...]
    """N paths under the data root, in the list's order."""
    missing: tuple[str, ...]
    """Those of the files that are not there."""


def as_listed(path: str) -> str:
    """The layout that the list itself has."""
    return path


def without_first_folder(path: str) -> str:
    """The list's layout, looked at from one folder further down."""
    return path.partition("/")[2] or path


def locate(
    root: Path, listed: Sequence[str], folders: Sequence[str], rewrites: Sequence[Rewrite]
) -> Located:
    """Find the images of a list.

    A part of the list (train, val, …: its paths' first folder) is taken from the folder and in the
    layout where most of some evenly spaced images are, the first of equals; never from several.

    Args:
        root: the data root.
        listed: N paths of the list.
        folders: where they may be, under the root; "" is the root itself.
        rewrites: the layouts they may have there.
    """
    parts: dict[str, list[str]] = {}
    for path in listed:
        parts.setdefault(path.partition("/")[0], []).append(path)
    files: dict[str, str] = {}
    for part in parts.values():
        probes = [part[i * len(part) // PROBES] for i in range(min(PROBES, len(part)))]

        def found(
            place: tuple[str, Rewrite], probes: Sequence[str] = tuple(dict.fromkeys(probes))
        ) -> int:
            return sum((root / _join(place, probe)).is_file() for probe in probes)

        best = max(product(folders, rewrites), key=found)
        files |= {path: _join(best, path) for path in part}
    placed = tuple(files[path] for path in listed)
    return Located(placed, tuple(missing_files(root, placed)))


def _join(place: tuple[str, Rewrite], path: str) -> str:
    folder, rewrite = place
    return f"{folder}/{rewrite(path)}" if folder else rewrite(path)
