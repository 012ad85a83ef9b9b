"""Images in files, decoded when they are asked for, and what may be wrong with them.

Pixels are those of `PIL.Image.convert("RGB")`, as torchvision's loader gives them and published
results were made with: transparency is dropped and an EXIF orientation not followed, unless
`upright` asks for it. Sixteen bits are scaled to eight, where `convert` would cut them off.
"""

from __future__ import annotations

import hashlib
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

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from benchmarks.datasets.base import Images
from benchmarks.errors import DataError

CropOf = Callable[[int, int], tuple[int, int, int, int]]
"""(height, width) of an image -> top, left, height and width of the part to take, in pixels."""

ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".gif")
"""What an image file is called."""

_UNREADABLE = (
    UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error,
    IndexError, KeyError, TypeError, OverflowError, MemoryError,
)  # fmt: skip
"""What Pillow's many readers raise for a damaged file."""


_PILLOW = re.compile(r"PIL\.")

_ORIENTATION = 0x0112
"""The EXIF tag."""


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

    def crop(self, index: int, part: CropOf, side: int) -> NDArray[np.uint8]:
        """A part of image `index`, resized to (S, S, 3) uint8 (see `decode_part`)."""
        return decode_part(self.root / self.files[index], part, side, upright=self.upright)

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


def decode(path: Path, *, upright: bool = False) -> NDArray[np.uint8]:
    """An image file as (H, W, 3) uint8.

    Args:
        path: of any format that Pillow reads.
        upright: follow the EXIF orientation.

    Raises:
        DataError: no such file, or not a readable image; the line names the path.
    """
    with _opened(path) as image:
        turned = ImageOps.exif_transpose(image) if upright else image
        return np.asarray(_rgb(turned))


def decode_part(path: Path, part: CropOf, side: int, *, upright: bool = False) -> NDArray[np.uint8]:
    """A part of an image file, resized by PIL's bilinear filter: for training.

    A JPEG is decoded at a half, a quarter or an eighth of its size where the part still has as many
    pixels as it is resized to: the same part of nearly the same pixels in less time.

    Args:
        path: of any format that Pillow reads.
        part: what to take.
        side: S, of the result in pixels.
        upright: follow the EXIF orientation.

    Returns:
        (S, S, 3).

    Raises:
        DataError: as `decode`.
    """
    with _opened(path) as image:
        if image.format != "JPEG" or (upright and image.getexif().get(_ORIENTATION, 1) != 1):
            turned = ImageOps.exif_transpose(image) if upright else image
            return part_of(_rgb(turned), part(turned.height, turned.width), side)
        width, height = image.size
        box = part(height, width)
        times = max(min(box[2:]) // side, 1)
        drafted = image.draft(None, (width // times, height // times))
        scale = 1.0 if drafted is None else width / drafted[1][2]
        return part_of(_rgb(image), box, side, scale)


def part_of(
    image: Image.Image, box: tuple[int, int, int, int], side: int, scale: float = 1.0
) -> NDArray[np.uint8]:
    """A part of an image, resized by PIL's bilinear filter.

    Args:
        image: in RGB.
        box: top, left, height and width of the part, in pixels.
        side: S, of the result.
        scale: how many times smaller the image is than the one that `box` is meant for.

    Returns:
        (S, S, 3).
    """
    top, left, height, width = (length / scale for length in box)
    down, right = min(top + height, image.height), min(left + width, image.width)
    x, y = math.floor(left), math.floor(top)
    cut = image.crop((x, y, math.ceil(right), math.ceil(down)))
    inside = (left - x, top - y, right - x, down - y)
    return np.asarray(cut.resize((side, side), Image.Resampling.BILINEAR, box=inside))


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """An image file, opened; what its reader or its user raises becomes one line."""
    _hush_pillow()
    try:
        with Image.open(path) as image:
            yield image
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


def _hush_pillow() -> None:
    """Silence Pillow's warnings about metadata, for good.

    `catch_warnings` is not for threads: one would put back what another had set.
    """
    if not any(module is _PILLOW for _, _, _, module, _ in warnings.filters):
        warnings.filterwarnings("ignore", module=_PILLOW.pattern)


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


def crop(images: Images, index: int, part: CropOf, side: int) -> NDArray[np.uint8]:
    """A part of image `index`, resized to (S, S, 3) uint8, as its kind of images does it best."""
    own = getattr(images, "crop", None)
    if own is not None:
        found: NDArray[np.uint8] = own(index, part, side)
        return found
    whole = images.read(index)
    return part_of(Image.fromarray(whole), part(*whole.shape[:2]), side)


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
