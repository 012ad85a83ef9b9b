"""Search for the images of a public list in the usual folders and layouts on disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from benchmarks.datasets.files.image_files import missing_files

PROBES = 32
"""Number of images of a list that are looked up in each place to choose one."""

Rewrite = Callable[[str], str]
"""Maps a path in the list to the file's path in another usual layout."""


@dataclass(frozen=True)
class Located:
    """Images of one list on disk."""

    files: tuple[str, ...]
    """N paths under the data root, in the list's order."""
    missing: tuple[str, ...]
    """Files that do not exist."""


def as_listed(path: str) -> str:
    """Return the path unchanged: the layout of the list."""
    return path


def without_first_folder(path: str) -> str:
    """Remove the path's first folder: the list's layout, seen from one folder further down."""
    return path.partition("/")[2] or path


def locate(
    root: Path, listed: Sequence[str], folders: Sequence[str], rewrites: Sequence[Rewrite]
) -> Located:
    """Find the images of a list.

    Each part of the list (train, val, …: the first folder of its paths) comes from one folder and
    layout only: the first one that has the most of some evenly spaced probe images.

    Args:
        root: the data root.
        listed: N paths of the list.
        folders: candidate folders under the root; "" is the root itself.
        rewrites: candidate layouts.
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
            return sum(os.path.isfile(root / _join(place, probe)) for probe in probes)

        best = max(product(folders, rewrites), key=found)
        files |= {path: _join(best, path) for path in part}
    placed = tuple(files[path] for path in listed)
    # The user made the folders in the data root, perhaps as links.
    homes = [root / folder for folder in {path.partition("/")[0] for path in placed if "/" in path}]
    return Located(placed, tuple(missing_files(root, placed, homes)))


def _join(place: tuple[str, Rewrite], path: str) -> str:
    folder, rewrite = place
    return f"{folder}/{rewrite(path)}" if folder else rewrite(path)
