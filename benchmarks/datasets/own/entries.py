"""Images of a user's own data as they are listed, before labels become indices."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from benchmarks.datasets.base import Images
from benchmarks.datasets.files.image_files import FileImages
from benchmarks.datasets.files.links import Links
from benchmarks.datasets.files.packed import Pack, PackedImages
from benchmarks.datasets.own.words import nfc
from benchmarks.errors import DataError, counted, first_few

UNASSIGNED = "all"
"""Split of images that neither a folder nor a column assigns to training or testing."""


@dataclass(frozen=True)
class Entry:
    """One image."""

    sid: str
    """Its id: the path in NFC, starting with the split if a tree has splits."""
    file: str
    """Its path under the split's folder, as the file system spells it, or in its archive."""
    split: str
    """train, test, val or `UNASSIGNED`."""
    labels: tuple[str, ...]
    """Keys of its classes, or their places in `classes:`."""
    caption: str = ""
    size: int | None = None
    """Bytes of the file; None if there is no such file."""
    where: str = ""
    """Its line, row or archive, for messages."""


@dataclass(frozen=True)
class Listing:
    """All images."""

    entries: tuple[Entry, ...]
    folders: dict[str, Path] = field(default_factory=dict)
    """Split -> the folder that contains the files of its entries."""
    pack: Pack | None = None
    """Larger files in which the images lie, by id, if they are no files of their own."""
    keys: tuple[str, ...] = ()
    """Classes that the data name themselves, in their order: a class folder may be empty."""
    captioned: bool = False
    notes: tuple[str, ...] = ()

    def images_of(self, entries: Sequence[Entry]) -> Images:
        """The images of some entries, all of one split."""
        if self.pack is not None:
            return PackedImages(self.pack, tuple(e.sid for e in entries), upright=True)
        folder = self.folders[entries[0].split]
        return FileImages(folder, tuple(e.file for e in entries), upright=True)


class Complaints:
    """Collects the errors in a table's rows and reports them in one line.

    Args:
        what: the file.
        noun: what is counted, for example "row".
    """

    def __init__(self, what: object, noun: str) -> None:
        self._what, self._noun = what, noun
        self._lines: list[str] = []

    @property
    def full(self) -> bool:
        """True if further errors are counted only."""
        return len(self._lines) >= 3

    def add(self, text: str) -> None:
        """Add one error."""
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
            lines = first_few(self._lines, "; ")
            raise DataError(f"{self._what}: {n} cannot be used: {lines}.")


class Folders:
    """Looks files up; each folder is listed once, because network drives are slow per file."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._links = Links(root)
        self._known: dict[str, dict[str, tuple[str, int, bool]]] = {}
        self._spelt: dict[str, str] = {}

    def find(self, file: str) -> tuple[str, int | None]:
        """A file's path as the disk spells it, and its size; None if there is no such file.

        Raises:
            DataError: the file is, or lies behind, a link out of the folder.
        """
        folder, _, name = file.rpartition("/")
        if folder not in self._known:
            self._spelt[folder] = self._on_disk(folder)
            place = self._root / self._spelt[folder]
            self._known[folder] = _listing(place)
            if self._known[folder]:
                self._links.check(place)
        found = self._known[folder].get(nfc(name))
        if found is None:
            return file, None
        spelt = PurePosixPath(self._spelt[folder], found[0])
        if found[2]:
            self._links.check(self._root / spelt)
        return str(spelt), found[1]

    def _on_disk(self, folder: str) -> str:
        """A folder as the disk spells it; unchanged if there is none."""
        if os.path.isdir(self._root / folder):  # False for a name that is too long
            return folder
        above, _, name = folder.rpartition("/")
        above = self._on_disk(above) if above else ""
        place = self._root / above
        names = os.listdir(place) if os.path.isdir(place) else []
        spelt = next((n for n in names if nfc(n) == nfc(name)), name)
        return f"{above}/{spelt}" if above else spelt

    def other_case(self, file: str) -> str | None:
        """A file whose name differs only in upper and lower case."""
        folder, _, name = file.rpartition("/")
        known = self._known.get(folder, {})
        return next((n for n in known if n.lower() == name.lower()), None)


def _listing(folder: Path) -> dict[str, tuple[str, int, bool]]:
    """Name in NFC -> (name on disk, size, True for a link) for each file of a folder."""
    try:
        with os.scandir(folder) as found:
            sizes = [(entry.name, file_size(entry), entry.is_symlink()) for entry in found]
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed ({error.strerror}).") from error
    return {nfc(name): (name, size, link) for name, size, link in sizes if size is not None}


def file_size(entry: os.DirEntry[str]) -> int | None:
    """Bytes of a file; None for a folder, or a link that leads nowhere or to itself."""
    try:
        return entry.stat().st_size if entry.is_file() else None
    except OSError:
        return None
