"""Images that lie in larger files: members of tar archives, rows of tables."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.datasets.files.image_files import CropOf, Encoded, decode, decode_region
from benchmarks.errors import DataError


class Pack(Protocol):
    """Larger files with encoded images, each known by a name."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The larger files."""
        ...

    def place(self, name: str) -> str:
        """Return where an image is, for messages."""
        ...

    def size(self, name: str) -> int:
        """Return the bytes of an image."""
        ...

    def read(self, name: str) -> bytes:
        """Return an image as it is encoded.

        Raises:
            OSError: its file cannot be read.
        """
        ...


@dataclass(frozen=True, eq=False)
class PackedImages:
    """Images in larger files, read each time."""

    pack: Pack
    names: tuple[str, ...]
    """N names in the pack."""
    upright: bool = False
    """True to apply the EXIF orientation, as image viewers do."""

    def __len__(self) -> int:
        return len(self.names)

    def encoded(self, index: int) -> Encoded:
        """Return image `index` as it is encoded.

        Raises:
            DataError: its file cannot be read.
        """
        name = self.names[index]
        where = self.pack.place(name)
        try:
            return Encoded(self.pack.read(name), where)
        except OSError as error:
            raise DataError(f"{where}: cannot be read ({error.strerror or error}).") from error

    def read(self, index: int) -> NDArray[np.uint8]:
        """Return image `index` as (H, W, 3) uint8; raises DataError with its place if damaged."""
        return decode(self.encoded(index), upright=self.upright)

    def crop(
        self, index: int, region: CropOf, side: int, *, bicubic: bool = False
    ) -> NDArray[np.uint8]:
        """Return a region of image `index`, resized to (S, S, 3) uint8 (see `decode_region`)."""
        return decode_region(
            self.encoded(index), region, side, upright=self.upright, bicubic=bicubic
        )

    def digest(self) -> str:
        """Return a hash of the larger files' sizes and times, and of the images' names."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        digest = hashlib.sha256(b"upright" if self.upright else b"")
        for file in self.pack.files:
            try:
                info = file.stat()
            except OSError as error:
                raise DataError(f"{file}: {error.strerror}.") from error
            digest.update(f"{file.name} {info.st_size} {info.st_mtime_ns}\n".encode())
        for name in self.names:
            digest.update(f"{name} {self.pack.size(name)}\n".encode())
        return digest.hexdigest()[:16]
