"""Photographs resized once for training, because decoding them every epoch takes most of the time.

Only on request, because it slightly changes training pixels: crops are taken from the smaller copy
instead of the full image. Evaluation and everything that is not cropped at random reads the files.
"""

from __future__ import annotations

import dataclasses
import math
import shutil
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.cache import cache_dir
from benchmarks.datasets.base import Family, Images, Split, hash_strings
from benchmarks.datasets.files.image_files import CropOf, resize_region
from benchmarks.errors import UserError
from benchmarks.loading import in_threads

_FORMAT = "1"
"""Raise when the same files are resized to other pixels."""
SMALLEST = 16
"""Smallest value of `cache_images`: the shorter side in pixels."""
SAMPLE = 32
"""Number of images resized to estimate the disk space of all."""

Progress = Callable[[int, int], None]
"""Callback that receives (images done, images in all)."""


@dataclass(frozen=True)
class InFiles(Family):
    """Base class of families whose photographs are read from files."""

    cache_images: int = 0
    """Shorter side in pixels that training images are resized to once, kept decoded in the cache
    folder for faster random crops; 256 suits an input of 224. 0 reads the files."""

    def pinned(self) -> dict[str, Any]:
        """Return the fields, without `cache_images` if it is 0."""
        values = super().pinned()
        if not self.cache_images:
            del values["cache_images"]
        return values

    def notes(self) -> tuple[str, ...]:
        """Return footnotes, with one on resized training images."""
        note = (
            "random crops for training are taken from images resized once, to "
            f"{self.cache_images} pixels on the shorter side"
        )
        return (*super().notes(), *((note,) if self.cache_images else ()))

    def _check_cache(self) -> None:
        """Raise UserError if `cache_images` is out of range."""
        if self.cache_images and self.cache_images < SMALLEST:
            raise UserError(
                f"{self.name}.cache_images={self.cache_images}: must be {SMALLEST} pixels or more, "
                "or 0 to read the files."
            )

    def _for_training(self, split: Split) -> Split:
        """Return the training split, with images resized once if `cache_images` is set."""
        if not self.cache_images:
            return split
        return dataclasses.replace(split, images=ResizedImages(split.images, self.cache_images))


class ResizedImages:
    """Images in files whose random crops are taken from smaller copies.

    The copies are in the user's cache folder, in one file of pixels that is read as a memory map.
    They are made by `make`, or at the first crop.

    Args:
        whole: the images.
        side: shorter side of a copy in pixels; smaller images are not resized.
    """

    def __init__(self, whole: Images, side: int) -> None:
        self.whole = whole
        self.side = side
        self._lock = threading.Lock()
        self._copies: _Copies | None = None

    def __len__(self) -> int:
        return len(self.whole)

    def read(self, index: int) -> NDArray[np.uint8]:
        """Return the full image `index`, (H, W, 3)."""
        return self.whole.read(index)

    def digest(self) -> str:
        """Return the digest of the full images."""
        return self.whole.digest()

    def crop(self, index: int, region: CropOf, side: int) -> NDArray[np.uint8]:
        """Return a region of the copy of image `index`, resized to (S, S, 3) uint8.

        Raises:
            UserError: the copies are smaller than S.
        """
        if side > self.side:
            raise UserError(
                f"cache_images={self.side}: the backbone's input has {side} pixels; set "
                f"cache_images={side * 8 // 7} or more."
            )
        copy = self._made().read(index)
        top, left, height, width = region(*copy.shape[:2])
        cut = np.ascontiguousarray(copy[top : top + height, left : left + width])
        return resize_region(Image.fromarray(cut), (0, 0, height, width), side)

    def make(self, progress: Progress = lambda done, total: None) -> None:
        """Make the copies if they do not exist.

        Raises:
            UserError: the disk is too full, or the cache folder cannot be written to.
            DataError: an image is missing or damaged.
        """
        self._made(progress)

    def _made(self, progress: Progress = lambda done, total: None) -> _Copies:
        with self._lock:
            if self._copies is None:
                key = hash_strings([_FORMAT, self.digest(), str(self.side)])
                folder = cache_dir() / "resized" / key
                if not folder.is_dir():
                    self._write(folder, progress)
                self._copies = _Copies(folder)
            return self._copies

    def _write(self, folder: Path, progress: Progress) -> None:
        total = len(self.whole)
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            self._refuse_full_disk(folder.parent)
            with tempfile.TemporaryDirectory(prefix=".", dir=folder.parent) as temporary:
                copies = Path(temporary) / "copies"
                copies.mkdir()
                shapes = []
                with (copies / "pixels").open("wb") as pixels:
                    for done, copy in enumerate(in_threads(self._resized, range(total)), 1):
                        pixels.write(copy.tobytes())
                        shapes.append(copy.shape[:2])
                        if done % 256 == 0 or done == total:
                            progress(done, total)
                np.save(copies / "shapes.npy", np.array(shapes, dtype=np.int64))
                _publish(copies, folder)
        except OSError as error:
            raise UserError(
                f"cache_images: cannot write to {folder.parent} ({error.strerror or error}); "
                "set LONGTAIL_VLM_CACHE=DIR to move the cache."
            ) from error

    def _refuse_full_disk(self, folder: Path) -> None:
        total = len(self.whole)
        sample = np.linspace(0, total - 1, min(SAMPLE, total)).astype(int).tolist()
        needed = total * float(np.mean([copy.size for copy in in_threads(self._resized, sample)]))
        free = shutil.disk_usage(folder).free
        if needed > free:
            raise UserError(
                f"cache_images={self.side}: {total:,} training images need about "
                f"{needed / 1e9:.1f} GB, but {folder} has {free / 1e9:.1f} GB free; "
                "set LONGTAIL_VLM_CACHE=DIR to move the cache."
            )

    def _resized(self, index: int) -> NDArray[np.uint8]:
        image = self.whole.read(index)
        height, width = image.shape[:2]
        times = self.side / min(height, width)
        if times >= 1:
            return image
        size = (max(round(width * times), self.side), max(round(height * times), self.side))
        return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))


class _Copies:
    """Pixels of N images in one file, concatenated."""

    def __init__(self, folder: Path) -> None:
        self._shapes = np.load(folder / "shapes.npy").tolist()
        sizes = [3 * math.prod(shape) for shape in self._shapes]
        self._ends = np.cumsum(sizes, dtype=np.int64).tolist()
        self._pixels = np.memmap(folder / "pixels", dtype=np.uint8, mode="r")

    def read(self, index: int) -> NDArray[np.uint8]:
        """Return image `index`, (H, W, 3), as a view of the memory map."""
        height, width = self._shapes[index]
        end = self._ends[index]
        return self._pixels[end - 3 * height * width : end].reshape(height, width, 3)


def _publish(staging: Path, folder: Path) -> None:
    """Rename a finished folder, so that readers see all of it or nothing."""
    try:
        staging.rename(folder)
    except OSError:
        if not folder.is_dir():  # if it exists, another process was faster
            raise
