"""The user's cache folder, for files that are slow to make and can always be made again."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]

ENVIRONMENT_VARIABLE = "LONGTAIL_VLM_CACHE"


def cache_dir() -> Path:
    """The cache folder, which may not exist yet.

    `$LONGTAIL_VLM_CACHE` if set, otherwise the platform's default:
    `$XDG_CACHE_HOME/longtail-vlm` (`~/.cache/longtail-vlm`), on macOS
    `~/Library/Caches/longtail-vlm`.
    """
    chosen = os.environ.get(ENVIRONMENT_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "longtail-vlm"
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "longtail-vlm"


def cached_arrays(kind: str, key: str, names: Sequence[str], build: Callable[[], Arrays]) -> Arrays:
    """The arrays that `build` returns, read from the cache if an earlier call stored them.

    An entry is a folder of `.npy` files, opened as read-only memory maps so that several processes
    share one copy. It is written to a temporary folder and renamed, so a reader sees all of it or
    nothing. If the folder cannot be written or an entry cannot be read, the arrays are built; this
    is never an error.

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
    arrays = build()
    _write(entry, arrays)
    return _read(entry, names) or arrays


def _read(entry: Path, names: Iterable[str]) -> Arrays | None:
    try:
        return {name: np.load(entry / f"{name}.npy", mmap_mode="r") for name in names}
    except (OSError, ValueError, EOFError):
        return None


def _write(entry: Path, arrays: Arrays) -> None:
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{entry.name}-", dir=entry.parent))
    except OSError:
        return
    try:
        for name, array in arrays.items():
            np.save(temporary / f"{name}.npy", array, allow_pickle=False)
        if entry.exists() and _read(entry, arrays) is None:
            shutil.rmtree(entry)  # damaged
        temporary.rename(entry)
    except OSError:
        shutil.rmtree(temporary, ignore_errors=True)  # a full disk, or another process was first
