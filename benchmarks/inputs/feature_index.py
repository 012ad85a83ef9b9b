"""Index of stored features by data set, so that `plan` can check without loading the data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from benchmarks.cache import cache_dir
from benchmarks.protocol import FEATURES_VERSION
from benchmarks.safe_files import write_text


class FeatureIndex:
    """Small files beside the stored features that list the keys of each data set's features.

    Args:
        folder: where the features are stored; None if they are kept in memory only.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def add(self, name: str, keys: Sequence[str]) -> None:
        """Record that the features called `name` are those stored under `keys`."""
        if self._folder is not None and self._keys(name) != list(keys):
            with suppress(OSError):
                write_text(self._file(name), json.dumps(list(keys)))

    def is_stored(self, name: str) -> bool:
        """True if all features listed under `name` are stored."""
        keys = self._keys(name)
        if self._folder is None or keys is None:
            return False
        try:
            return all(feature_file(self._folder, key).is_file() for key in keys)
        except (OSError, ValueError):  # a damaged key that no file can have
            return False

    def _keys(self, name: str) -> list[str] | None:
        """The keys listed under `name`; None if there is no entry, or it cannot be read."""
        if self._folder is None:
            return None
        try:
            keys = json.loads(self._file(name).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return None
        damaged = not isinstance(keys, list) or not all(isinstance(key, str) for key in keys)
        return None if damaged else keys

    def _file(self, name: str) -> Path:
        assert self._folder is not None
        return self._folder / f"bookmark-{FEATURES_VERSION}-{name}.json"


def feature_file(folder: Path, key: str) -> Path:
    """Path of the features stored under `key`."""
    return folder / f"{key}.safetensors"


def user_folder() -> Path:
    """Folder of the features of all runs of this user."""
    return cache_dir() / "features"
