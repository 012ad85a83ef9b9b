"""Which data sets' frozen features are stored, for who has not loaded the data: `plan`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from benchmarks.cache import cache_dir


class Bookmarks:
    """Notes beside stored features that say whose they are.

    Args:
        folder: where the features are; None where they are kept in memory only.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def note(self, name: str, keys: Sequence[str]) -> None:
        """Note that what goes by `name` has the features of these keys."""
        if self._folder is not None and not self.at_hand(name):
            with suppress(OSError):
                self._file(name).write_text(json.dumps(list(keys)), encoding="utf-8")

    def at_hand(self, name: str) -> bool:
        """Whether the features noted under `name` are all stored."""
        if self._folder is None:
            return False
        try:
            keys = json.loads(self._file(name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        return all(feature_file(self._folder, key).is_file() for key in keys)

    def _file(self, name: str) -> Path:
        assert self._folder is not None
        return self._folder / f"bookmark-{name}.json"


def feature_file(folder: Path, key: str) -> Path:
    """The file of the features of this key."""
    return folder / f"{key}.safetensors"


def user_folder() -> Path:
    """Where the features of all runs of this user are."""
    return cache_dir() / "features"
