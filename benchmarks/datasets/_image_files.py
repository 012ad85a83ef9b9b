"""Images in files, decoded when they are asked for, and what may be wrong with them.

Pixels are those of `PIL.Image.convert("RGB")`, as torchvision's loader gives them and published
results were made with: transparency is dropped and an EXIF orientation not followed, unless
`upright` asks for it. Sixteen bits are scaled to eight, where `convert` would cut them off.
"""

from __future__ import annotations

import hashlib
import os
import struct
import threading
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from benchmarks.datasets.base import ArrayImages, Images
from benchmarks.errors import DataError

A = TypeVar("A")
B = TypeVar("B")

ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".gif")
"""What an image file is called."""

THREADS = min(8, os.cpu_count() or 1)
"""Images decoded at a time: decoding lets go of Python's lock."""

_UNREADABLE = (
    UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error,
    IndexError, KeyError, TypeError, OverflowError, MemoryError,
)  # fmt: skip
"""What Pillow's many readers raise for a damaged file."""


class _Unusable(ValueError):
    """An image that can be read, with pixels that no eight bits can stand for."""


@dataclass(frozen=True, eq=False)
class FileImages:
    """Image files under one folder, read anew each time."""

    root: Path
    files: tuple[str, ...]
    """N paths under `root`, with slashes."""
    upright: bool = False
    """Follow the EXIF orientation, as viewers do."""

    def __len__(self) -> int:
        return len(self.files)

    def read(self, index: int) -> NDArray[np.uint8]:
        """Image `index` as (H, W, 3) uint8; raises DataError naming the path if unreadable."""
        return decode(self.root / self.files[index], upright=self.upright)

    def digest(self) -> str:
        """A hash of the files' names, sizes and times of change."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        digest = hashlib.sha256(b"upright" if self.upright else b"")
        for file in self.files:
            try:
                info = (self.root / file).stat()
            except OSError as error:
                raise DataError(f"{self.root / file}: {error.strerror}.") from error
            digest.update(f"{file} {info.st_size} {info.st_mtime_ns}\n".encode())
        return digest.hexdigest()[:16]


class _Quiet:
    """Silences Pillow's warnings about metadata while any thread decodes.

    `catch_warnings` in several threads at a time can leave the whole process silent: one thread
    would put back what another had set. Here the first one in and the last one out use it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._before = warnings.catch_warnings()
                self._before.__enter__()
                warnings.simplefilter("ignore")

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._before.__exit__(None, None, None)


_QUIET = _Quiet()


def decode(path: Path, *, upright: bool = False) -> NDArray[np.uint8]:
    """An image file as (H, W, 3) uint8.

    Args:
        path: of any format that Pillow reads.
        upright: follow the EXIF orientation.

    Raises:
        DataError: no such file, or not a readable image; the line names the path.
    """
    try:
        with _QUIET, Image.open(path) as image:
            turned = ImageOps.exif_transpose(image) if upright else image
            return np.asarray(_rgb(turned))
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file.") from error
    except PermissionError as error:
        raise DataError(f"{path}: may not be read ({error.strerror}).") from error
    except _Unusable as error:
        raise DataError(f"{path}: {error}; save the image with 8 or 16 bits.") from error
    except Image.DecompressionBombError as error:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise DataError(f"{path}: more than {most / 1e6:.0f} million pixels.") from error
    except _UNREADABLE as error:
        empty = path.is_file() and path.stat().st_size == 0
        reason = "the file is empty" if empty else "unreadable or truncated image"
        raise DataError(f"{path}: {reason}.") from error


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # I;16 and the like, or I for 32 bits
        wide = np.asarray(image)
        if not 0 <= wide.min() <= wide.max() < 2**16:
            raise _Unusable("pixels beyond 0 to 65535")
        eight = wide.astype(np.uint8) if image.mode == "I" and wide.max() < 256 else wide >> 8
        return Image.fromarray(eight.astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise _Unusable("floating-point pixels, which have no agreed range")
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")


def read_many(images: Images, index: Iterable[int]) -> list[NDArray[np.uint8]]:
    """Images at `index`, (H, W, 3) uint8 each; those in files are decoded by several threads."""
    if isinstance(images, ArrayImages):
        return [images.read(i) for i in index]
    return list(in_threads(images.read, index))


def in_threads(function: Callable[[A], B], items: Iterable[A]) -> Iterator[B]:
    """`map` by several threads, results in order."""
    with ThreadPoolExecutor(THREADS) as pool:
        yield from pool.map(function, items)


def missing_files(root: Path, files: Sequence[str]) -> list[str]:
    """Which of the paths under `root` are no files, in their order.

    Folders are listed once each: asking for every file takes minutes on a network drive.
    """
    folders: dict[str, set[str]] = {}
    missing = []
    for file in files:
        folder, _, name = file.rpartition("/")
        if folder not in folders:
            folders[folder] = _names(root / folder)
        if name not in folders[folder]:
            missing.append(file)
    return missing


def _names(folder: Path) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if entry.is_file()}
    except (FileNotFoundError, NotADirectoryError):
        return set()
