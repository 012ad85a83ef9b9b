"""Images in files, decoded on request, and checks for missing or damaged ones.

Pixels are those of `PIL.Image.convert("RGB")`, as in torchvision's loader, which published results
used: transparency is dropped, and EXIF orientation is ignored unless `upright` is set. Sixteen-bit
images are scaled to eight bits, which `convert` would clip.

A file may be made to exhaust its reader: the formats, the size of a file and of an image, and the
number of its parts are bounded (`image_limits`).
"""

from __future__ import annotations

import hashlib
import io
import math
import os
import re
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from benchmarks.datasets.base import Images
from benchmarks.datasets.files.image_limits import (
    FORMATS,
    Bounded,
    Excessive,
    largest_file,
    max_pixels,
    reads_of,
    refuse_excessive,
    too_large,
)
from benchmarks.datasets.files.links import Links
from benchmarks.datasets.files.other_formats import HEAD, no_image
from benchmarks.errors import DataError
from benchmarks.input_files import beyond, opened

CropOf = Callable[[int, int], tuple[int, int, int, int]]
"""Maps (height, width) of an image to top, left, height and width of a region, in pixels."""

SUFFIXES = (
    ".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".gif",
)  # fmt: skip
"""Suffixes of image files, in lower case."""
UNREADABLE = (
    UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error,
    IndexError, KeyError, TypeError, OverflowError, MemoryError, ZeroDivisionError, AttributeError,
    AssertionError, NotImplementedError,
)  # fmt: skip
"""Exceptions that Pillow's readers raise for a damaged file."""


_PILLOW = re.compile(r"PIL\.")

_ORIENTATION = 0x0112
"""EXIF tag of the orientation."""


@dataclass(frozen=True)
class Encoded:
    """An image file in memory, for example a member of an archive."""

    data: bytes
    where: str
    """Its place, for messages."""

    def __str__(self) -> str:
        return self.where


class _Unusable(ValueError):
    """A readable image whose pixels cannot be converted to eight bits."""


@dataclass(frozen=True, eq=False)
class FileImages:
    """Image files under one folder, read from disk each time."""

    root: Path
    files: tuple[str, ...]
    """N paths under `root`, with slashes."""
    upright: bool = False
    """True to apply the EXIF orientation, as image viewers do."""

    def __len__(self) -> int:
        return len(self.files)

    def read(self, index: int) -> NDArray[np.uint8]:
        """Return image `index` as (H, W, 3) uint8; raises DataError with the path if unreadable."""
        return decode(self.root / self.files[index], upright=self.upright)

    def crop(
        self, index: int, region: CropOf, side: int, *, bicubic: bool = False
    ) -> NDArray[np.uint8]:
        """Return a region of image `index`, resized to (S, S, 3) uint8 (see `decode_region`)."""
        path = self.root / self.files[index]
        return decode_region(path, region, side, upright=self.upright, bicubic=bicubic)

    def digest(self) -> str:
        """Return a hash of the files' names, sizes and modification times."""
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


def decode(file: Path | Encoded, *, upright: bool = False) -> NDArray[np.uint8]:
    """Decode an image file to (H, W, 3) uint8.

    Args:
        file: in one of the `FORMATS`.
        upright: apply the EXIF orientation.

    Raises:
        DataError: the file is missing or not a readable image; the message names the path.
    """
    with _opened(file) as image:
        turned = ImageOps.exif_transpose(image) if upright else image
        return np.asarray(_rgb(turned))


def decode_region(
    file: Path | Encoded,
    region: CropOf,
    side: int,
    *,
    upright: bool = False,
    bicubic: bool = False,
) -> NDArray[np.uint8]:
    """Decode a region of an image file and resize it with PIL, for training.

    To save time, a JPEG is decoded at 1/2, 1/4 or 1/8 of its size if the region then still has at
    least `side` pixels per side: the same region with nearly the same pixels.

    Args:
        file: in one of the `FORMATS`.
        region: chooses the region.
        side: side S of the result in pixels.
        upright: apply the EXIF orientation.
        bicubic: resize with the bicubic filter instead of the bilinear one.

    Returns:
        (S, S, 3).

    Raises:
        DataError: as `decode`.
    """
    with _opened(file) as image:
        if image.format != "JPEG" or (upright and image.getexif().get(_ORIENTATION, 1) != 1):
            turned = ImageOps.exif_transpose(image) if upright else image
            box = region(turned.height, turned.width)
            return resize_region(_rgb(turned), box, side, bicubic=bicubic)
        width, height = image.size
        box = region(height, width)
        times = max(min(box[2:]) // side, 1)
        drafted = image.draft(None, (width // times, height // times))
        scale = 1.0 if drafted is None else width / drafted[1][2]
        return resize_region(_rgb(image), box, side, scale, bicubic=bicubic)


def resize_region(
    image: Image.Image,
    box: tuple[int, int, int, int],
    side: int,
    scale: float = 1.0,
    *,
    bicubic: bool = False,
) -> NDArray[np.uint8]:
    """Resize a region of an image with PIL's bilinear or bicubic filter.

    Args:
        image: an RGB image.
        box: top, left, height and width of the region, in pixels of the full-size image.
        side: side S of the result in pixels.
        scale: size of the full-size image relative to `image`.
        bicubic: True for the bicubic filter.

    Returns:
        (S, S, 3).
    """
    top, left, height, width = (length / scale for length in box)
    down, right = min(top + height, image.height), min(left + width, image.width)
    x, y = math.floor(left), math.floor(top)
    cut = image.crop((x, y, math.ceil(right), math.ceil(down)))
    inside = (left - x, top - y, right - x, down - y)
    kind = Image.Resampling.BICUBIC if bicubic else Image.Resampling.BILINEAR
    return np.asarray(cut.resize((side, side), kind, box=inside))


@contextmanager
def _opened(file: Path | Encoded) -> Iterator[Image.Image]:
    """Open an image file; errors from reading or using it become a one-line DataError."""
    _silence_pillow()
    most = max_pixels()
    raw, size = _raw(file, largest_file(most))
    try:
        with Bounded(raw) as stream, Image.open(stream, formats=FORMATS) as image:
            stream.reads = reads_of(size)
            refuse_excessive(image, stream, size, most)
            yield image
    except Excessive as error:
        raise DataError(f"{file}: {error}.") from error
    except _Unusable as error:
        raise DataError(f"{file}: {error}; save the image with 8 or 16 bits.") from error
    except Image.DecompressionBombError as error:
        raise DataError(f"{file}: {too_large(most)}.") from error
    except UNREADABLE as error:
        raise DataError(f"{file}: {no_image(_head(file))}.") from error


def _raw(file: Path | Encoded, limit: int) -> tuple[Any, int]:
    """Return a stream of the bytes of an image file of at most `limit` bytes, and their number."""
    if isinstance(file, Encoded):
        if len(file.data) > limit:
            raise DataError(f"{file}: {beyond(len(file.data), limit)}.")
        return io.BytesIO(file.data), len(file.data)
    try:
        stream = opened(file, limit)
    except FileNotFoundError as error:
        raise DataError(f"{file}: no such file.") from error
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror}).") from error
    size = os.fstat(stream.fileno()).st_size
    return stream.detach(), size


def _head(file: Path | Encoded) -> bytes:
    """Return the first bytes of an image file, which was read before."""
    if isinstance(file, Encoded):
        return file.data[:HEAD]
    try:
        with opened(file) as stream:
            return stream.read(HEAD)
    except OSError:  # it has gone
        return b"?"


def _silence_pillow() -> None:
    """Silence Pillow's warnings about metadata permanently.

    `catch_warnings` is not thread-safe: one thread would restore the filters of another.
    """
    if not any(module is _PILLOW for _, _, _, module, _ in warnings.filters):
        warnings.filterwarnings("ignore", module=_PILLOW.pattern)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # I;16 and the like, or I for 32 bits
        wide = np.asarray(image)
        if not 0 <= wide.min() <= wide.max() < 2**16:
            raise _Unusable("pixel values outside 0 to 65535")
        eight = wide.astype(np.uint8) if image.mode == "I" and wide.max() < 256 else wide >> 8
        return Image.fromarray(eight.astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise _Unusable("floating-point pixels, which have no standard range")
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")


@runtime_checkable
class Croppable(Protocol):
    """Images with a faster way to crop than reading the whole image."""

    def crop(
        self, index: int, region: CropOf, side: int, *, bicubic: bool = False
    ) -> NDArray[np.uint8]:
        """Return a region of image `index`, resized to (S, S, 3) uint8."""
        ...


def crop(
    images: Images, index: int, region: CropOf, side: int, *, bicubic: bool = False
) -> NDArray[np.uint8]:
    """Return a region of image `index`, resized to (S, S, 3) uint8 by PIL."""
    if isinstance(images, Croppable):
        return images.crop(index, region, side, bicubic=bicubic)
    whole = images.read(index)
    box = region(*whole.shape[:2])
    return resize_region(Image.fromarray(whole), box, side, bicubic=bicubic)


def missing_files(root: Path, files: Sequence[str], homes: Sequence[Path] = ()) -> list[str]:
    """Return the paths under `root` that are not files, in order.

    Lists each folder once: checking every file takes minutes on a network drive.

    Args:
        root: the folder that the paths start from.
        files: the paths.
        homes: folders that links may lead to besides `root`.

    Raises:
        DataError: a file is, or lies behind, a link that leads elsewhere.
    """
    folders: dict[str, dict[str, bool]] = {}
    missing, links = [], Links(root, homes)
    for file in files:
        folder, _, name = file.rpartition("/")
        if folder not in folders:
            folders[folder] = file_names(root / folder, links)
        if name not in folders[folder]:
            missing.append(file)
        elif folders[folder][name]:
            links.check(root / file)
    return missing


def file_names(folder: Path, links: Links) -> dict[str, bool]:
    """Names of the files in a folder, each with True if it is a link; {} if there is no folder.

    Raises:
        DataError: the folder lies behind a link that leads elsewhere, or cannot be listed.
    """
    try:
        with os.scandir(folder) as entries:
            found = {entry.name: entry.is_symlink() for entry in entries if _is_file(entry)}
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed ({error.strerror}).") from error
    links.check(folder)
    return found


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # a link to itself
        return False
