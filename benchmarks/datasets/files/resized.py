"""Photographs resized once for training, because decoding them every epoch takes most of the time.

Only on request, because it slightly changes training pixels: crops are taken from the smaller copy
instead of the full image. Evaluation and everything that is not cropped at random reads the files.
Each copy has a checksum, which a process verifies when it first reads the copy.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import math
import shutil
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
from benchmarks.safe_files import (
    DamagedFile,
    new_folder,
    reading_checked,
    remove_leftovers,
    replacing_checked,
)

_FORMAT = "1"
"""Raise when the same files are resized to other pixels."""
SMALLEST = 16
"""Smallest value of `cache_images`: the shorter side in pixels."""
SAMPLE = 32
"""Number of images resized to estimate the disk space of all."""

Progress = Callable[[int, int], None]
"""Callback that receives (images done, images in all)."""

_REMEDY = "the images are resized again"
_log = logging.getLogger(__name__)


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

    def crop(
        self, index: int, region: CropOf, side: int, *, bicubic: bool = False
    ) -> NDArray[np.uint8]:
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
        if copy is None:
            copy = self._resized(index)
        top, left, height, width = region(*copy.shape[:2])
        cut = np.ascontiguousarray(copy[top : top + height, left : left + width])
        return resize_region(Image.fromarray(cut), (0, 0, height, width), side, bicubic=bicubic)

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
                self._copies = _Copies.stored(folder)
                if self._copies is None:
                    shutil.rmtree(folder, ignore_errors=True)  # damaged, or of an earlier version
                    self._write(folder, progress)
                    self._copies = _Copies(folder)
            return self._copies

    def _write(self, folder: Path, progress: Progress) -> None:
        total = len(self.whole)
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            self._refuse_full_disk(folder.parent)
            remove_leftovers(folder.parent)
            with new_folder(folder) as copies:
                shapes, sums = [], []
                with (copies / "pixels").open("wb") as pixels:
                    for done, copy in enumerate(in_threads(self._resized, range(total)), 1):
                        pixels.write(copy.tobytes())
                        shapes.append(copy.shape[:2])
                        sums.append(_checksum(copy))
                        if done % 256 == 0 or done == total:
                            progress(done, total)
                with replacing_checked(copies / "index") as stream:
                    for column in (np.array(shapes, dtype=np.int64), np.array(sums)):
                        np.save(stream, column, allow_pickle=False)
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
    """Pixels of N images in one file, concatenated, and their index.

    Args:
        folder: holds `pixels` and `index`: the shapes (N, 2) and the checksums (N,) of the images.

    Raises:
        DamagedFile: the index is damaged, or does not fit the pixels.
        OSError: a file is absent.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with reading_checked(folder / "index", _REMEDY) as stream:
            self._shapes = np.load(stream, allow_pickle=False).tolist()
            self._sums = np.load(stream, allow_pickle=False)
        sizes = [3 * math.prod(shape) for shape in self._shapes]
        self._ends = np.cumsum(sizes, dtype=np.int64).tolist()
        pixels = folder / "pixels"
        if pixels.stat().st_size != self._ends[-1]:
            raise DamagedFile(pixels, _REMEDY)
        self._pixels = np.memmap(pixels, dtype=np.uint8, mode="r")
        self._whole = np.zeros(len(sizes), dtype=bool)
        self._warned = False

    @classmethod
    def stored(cls, folder: Path) -> _Copies | None:
        """Return the copies in a folder; None if there are none or, after a warning, if damaged."""
        try:
            return cls(folder)
        except DamagedFile as damage:
            _log.warning("%s", damage)
        except OSError:  # absent, or of an earlier version
            pass
        return None

    def read(self, index: int) -> NDArray[np.uint8] | None:
        """Return image `index`, (H, W, 3), as a view of the memory map; None if it is damaged."""
        height, width = self._shapes[index]
        end = self._ends[index]
        image = self._pixels[end - 3 * height * width : end].reshape(height, width, 3)
        if not self._whole[index]:
            if _checksum(image) != self._sums[index]:
                if not self._warned:
                    _log.warning(
                        "%s is damaged: the damaged images are resized again.",
                        self._folder / "pixels",
                    )
                self._warned = True
                return None
            self._whole[index] = True
        return image


def _checksum(copy: NDArray[np.uint8]) -> np.bytes_:
    """Return the SHA-256 checksum of an image's pixels."""
    return np.bytes_(hashlib.sha256(copy.tobytes()).hexdigest())
