"""The images of a user's own data before labels become indices: what trees and tables give."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from benchmarks.datasets.own.spec import plain
from benchmarks.errors import DataError, counted, first_few

ALL = "all"
"""The split of images of which nothing says whether they are for training or for testing."""


@dataclass(frozen=True)
class Entry:
    """One image."""

    sid: str
    """Its id: the path in one form of Unicode, with the split in front where a tree has splits."""
    file: str
    """Its path under the split's folder, as the file system spells it."""
    split: str
    """train, test, val or `ALL`."""
    labels: tuple[str, ...]
    """Keys of its classes, or numbers that stand for them."""
    caption: str = ""
    size: int | None = None
    """Of the file in bytes; None where there is no such file."""
    where: str = ""
    """Where it is listed, for messages: the line of a table."""


@dataclass(frozen=True)
class Found:
    """All of them."""

    entries: tuple[Entry, ...]
    folders: dict[str, Path]
    """Split -> the folder that the files of its entries are under."""
    keys: tuple[str, ...] = ()
    """Classes that the form itself names, in its order: a class folder may be empty."""
    captioned: bool = False
    notes: tuple[str, ...] = ()


class Complaints:
    """What is wrong with rows of a table, told in one line.

    Args:
        what: the file.
        noun: what is counted, for example "row".
    """

    def __init__(self, what: object, noun: str) -> None:
        self._what, self._noun = what, noun
        self._lines: list[str] = []

    def add(self, text: str) -> None:
        """Note one more."""
        self._lines.append(text)

    def refuse(self) -> None:
        """Raise if there are any.

        Raises:
            DataError: with their number and the first three.
        """
        if len(self._lines) == 1:
            raise DataError(f"{self._what}, {self._lines[0]}.")
        if self._lines:
            n = counted(len(self._lines), self._noun)
            raise DataError(f"{self._what}: {n} cannot be used: {first_few(self._lines, '; ')}.")


class Folders:
    """Looks files up, each folder listed once: asking for every file is slow on network drives."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known: dict[str, dict[str, tuple[str, int]]] = {}
        self._spelt: dict[str, str] = {}

    def find(self, file: str) -> tuple[str, int | None]:
        """A file as the disk spells it and its size; None where it is not there."""
        folder, _, name = file.rpartition("/")
        if folder not in self._known:
            self._spelt[folder] = self._on_disk(folder)
            self._known[folder] = _listing(self._root / self._spelt[folder])
        found = self._known[folder].get(plain(name))
        if found is None:
            return file, None
        return str(PurePosixPath(self._spelt[folder], found[0])), found[1]

    def _on_disk(self, folder: str) -> str:
        """A folder as the disk spells it, or as it is where there is none."""
        if (self._root / folder).is_dir():
            return folder
        above, _, name = folder.rpartition("/")
        above = self._on_disk(above) if above else ""
        place = self._root / above
        names = os.listdir(place) if place.is_dir() else []
        spelt = next((n for n in names if plain(n) == plain(name)), name)
        return f"{above}/{spelt}" if above else spelt

    def nearly(self, file: str) -> str | None:
        """A file that is spelled alike but for upper and lower case."""
        folder, _, name = file.rpartition("/")
        known = self._known.get(folder, {})
        return next((n for n in known if n.lower() == name.lower()), None)


def _listing(folder: Path) -> dict[str, tuple[str, int]]:
    """Plain name -> (name on disk, size) of a folder's files."""
    try:
        with os.scandir(folder) as found:
            sizes = [(entry.name, file_size(entry)) for entry in found]
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed ({error.strerror}).") from error
    return {plain(name): (name, size) for name, size in sizes if size is not None}


def file_size(entry: os.DirEntry[str]) -> int | None:
    """Of a file, in bytes; None of a folder, or of a link that leads nowhere or to itself."""
    try:
        return entry.stat().st_size if entry.is_file() else None
    except OSError:
        return None
