"""The user's cache folder, for files that are slow to make and can always be made again."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.file_names import expanded
from benchmarks.safe_files import new_folder, remove_leftovers

Arrays = dict[str, NDArray[Any]]

ENVIRONMENT_VARIABLE = "LONGTAIL_VLM_CACHE"
_CACHE = f"the cache folder, which ${ENVIRONMENT_VARIABLE} chooses"
CHECKSUMS = "sha256.json"
"""File in an entry of arrays: the checksum of each file, by its name."""

_log = logging.getLogger(__name__)
_verified: set[tuple[Path, int, int, int]] = set()
"""Files whose checksum this process has verified, each with its inode, size and time."""


def cache_dir() -> Path:
    """The cache folder, which may not exist yet.

    `$LONGTAIL_VLM_CACHE` if set, otherwise the platform's default:
    `$XDG_CACHE_HOME/longtail-vlm` (`~/.cache/longtail-vlm`), on macOS
    `~/Library/Caches/longtail-vlm`.
    """
    chosen = os.environ.get(ENVIRONMENT_VARIABLE)
    if chosen:
        return expanded(chosen, f"${ENVIRONMENT_VARIABLE}")
    if sys.platform == "darwin":
        return expanded("~/Library/Caches/longtail-vlm", _CACHE)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else expanded("~/.cache", _CACHE)) / "longtail-vlm"


def cached_arrays(kind: str, key: str, names: Sequence[str], build: Callable[[], Arrays]) -> Arrays:
    """The arrays that `build` returns, read from the cache if an earlier call stored them.

    An entry is a folder of `.npy` files, opened as read-only memory maps so that several processes
    share one copy. It is written to a temporary folder and renamed, so a reader sees all of it or
    nothing. Each process verifies the checksum of a file once, which takes 0.1 s for the 180 MB of
    CIFAR. If the folder cannot be written or an entry is damaged, the arrays are built, with a
    warning; this is never an error.

    Args:
        kind: sub-folder, for example `cifar`.
        key: name of the content; must change whenever the result of `build` would.
        names: names of the arrays.
        build: makes the arrays; strings only in NumPy's fixed-width type, no objects.
    """
    entry = cache_dir() / kind / key
    stored = _read(entry, names)
    if stored is not None:
        return stored
    if (entry / CHECKSUMS).is_file():
        _log.warning("%s is damaged: its data are read from their source again.", entry)
    arrays = build()
    try:
        _write(entry, arrays)
    except OSError as error:  # a full disk, or a folder that cannot be written to
        warn_unwritable(entry.parent, error.strerror or str(error))
        return arrays
    return _read(entry, names) or arrays


@cache
def warn_unwritable(folder: Path, reason: str) -> None:
    """Warn, once for each folder, that a cache cannot be written to."""
    _log.warning(
        "Cannot write to the cache %s (%s): the next run computes the same again. Free some space, "
        "or move the cache with %s=DIR.",
        folder,
        reason,
        ENVIRONMENT_VARIABLE,
    )


def _read(entry: Path, names: Sequence[str]) -> Arrays | None:
    """The arrays of an entry, or None if it is absent, damaged or lacks one of them."""
    try:
        checksums = json.loads((entry / CHECKSUMS).read_text(encoding="utf-8"))
        if not all(_is_whole(entry / f"{n}.npy", checksums[f"{n}.npy"]) for n in names):
            return None
        return {name: np.load(entry / f"{name}.npy", mmap_mode="r") for name in names}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _is_whole(file: Path, checksum: str) -> bool:
    with file.open("rb") as stream:
        state = os.fstat(stream.fileno())
        known = (file, state.st_ino, state.st_size, state.st_mtime_ns)
        if known not in _verified:
            if hashlib.file_digest(stream, "sha256").hexdigest() != checksum:
                return False
            _verified.add(known)
    return True


def _write(entry: Path, arrays: Arrays) -> None:
    entry.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(entry.parent)
    with new_folder(entry) as folder:
        checksums = {}
        for name, array in arrays.items():
            file = folder / f"{name}.npy"
            np.save(file, array, allow_pickle=False)
            with file.open("rb") as stream:
                checksums[file.name] = hashlib.file_digest(stream, "sha256").hexdigest()
        (folder / CHECKSUMS).write_text(json.dumps(checksums), encoding="utf-8")
        if entry.exists() and _read(entry, list(arrays)) is None:
            shutil.rmtree(entry)  # damaged, or of an earlier version
