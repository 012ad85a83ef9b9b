"""Which data sets' frozen features are stored, for who has not loaded the data: `plan`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from benchmarks.cache import cache_dir
from benchmarks.protocol import FEATURES_VERSION


class Bookmarks:
    """Notes beside stored features that say whose they are.

    Args:
        folder: where the features are; None where they are kept in memory only.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def note(self, name: str, keys: Sequence[str]) -> None:
        """Note that what goes by `name` has the features of these keys."""
        if self._folder is not None and self._keys(name) != list(keys):
            with suppress(OSError):
                self._file(name).write_text(json.dumps(list(keys)), encoding="utf-8")

    def at_hand(self, name: str) -> bool:
        """Whether the features noted under `name` are all stored."""
        keys = self._keys(name)
        if self._folder is None or keys is None:
            return False
        return all(feature_file(self._folder, key).is_file() for key in keys)

    def _keys(self, name: str) -> list[str] | None:
        """What is noted under `name`; None where nothing is, or nothing that can be read."""
        if self._folder is None:
            return None
        try:
            keys: list[str] = json.loads(self._file(name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return keys

    def _file(self, name: str) -> Path:
        assert self._folder is not None
        return self._folder / f"bookmark-{FEATURES_VERSION}-{name}.json"


def feature_file(folder: Path, key: str) -> Path:
    """The file of the features of this key."""
    return folder / f"{key}.safetensors"


def user_folder() -> Path:
    """Where the features of all runs of this user are."""
    return cache_dir() / "features"
