"""Photographs resized once, for training: decoding them again every epoch is what takes longest.

On request only, because it changes training pixels a little: a crop is then made from the smaller
image and not from the whole one. Evaluation, and whatever is not cropped at random, goes on reading
the files.
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
from benchmarks.datasets.files.image_files import CropOf, part_of
from benchmarks.errors import UserError
from benchmarks.loading import in_threads

_FORMAT = "1"
"""Raise when the same files would be resized to something else."""
SMALLEST = 16
"""Shorter side in pixels that may be asked for."""
SAMPLE = 32
"""Images that are looked at to tell how much room all of them will take."""

Progress = Callable[[int, int], None]
"""Told (images done, images in all)."""


@dataclass(frozen=True)
class InFiles(Family):
    """A family of photographs in files."""

    cache_images: int = 0
    """Pixels of the shorter side that training images are resized to once, kept decoded in the
    cache folder, for random crops in less time; 256 suits an input of 224. 0 reads the files."""

    def pinned(self) -> dict[str, Any]:
        """The knobs; that files are read goes without saying."""
        knobs = super().pinned()
        if not self.cache_images:
            del knobs["cache_images"]
        return knobs

    def notes(self) -> tuple[str, ...]:
        """A footnote where training images are resized."""
        said = (
            "random crops for training are taken from images resized once, to "
            f"{self.cache_images} pixels on the shorter side"
        )
        return (*super().notes(), *((said,) if self.cache_images else ()))

    def _check_cache(self) -> None:
        """Raise UserError where `cache_images` is no side."""
        if self.cache_images and self.cache_images < SMALLEST:
            raise UserError(
                f"{self.name}.cache_images={self.cache_images}: must be {SMALLEST} pixels or more, "
                "or 0 to read the files."
            )

    def _for_training(self, split: Split) -> Split:
        """The training split, its images resized once if that is asked for."""
        if not self.cache_images:
            return split
        return dataclasses.replace(split, images=ResizedImages(split.images, self.cache_images))


class ResizedImages:
    """Images in files, of which random crops are taken from smaller copies.

    The copies lie in the user's cache folder, one file of pixels that is read as a memory map. They
    are made when the first crop is asked for, or by `make`.

    Args:
        whole: the images.
        side: pixels of a copy's shorter side; smaller images stay as they are.
    """

    def __init__(self, whole: Images, side: int) -> None:
        self.whole = whole
        self.side = side
        self._lock = threading.Lock()
        self._copies: _Copies | None = None

    def __len__(self) -> int:
        return len(self.whole)

    def read(self, index: int) -> NDArray[np.uint8]:
        """Image `index` as it is, (H, W, 3)."""
        return self.whole.read(index)

    def digest(self) -> str:
        """A hash of the images as they are."""
        return self.whole.digest()

    def crop(self, index: int, part: CropOf, side: int) -> NDArray[np.uint8]:
        """A part of the copy of image `index`, resized to (S, S, 3) uint8.

        Raises:
            UserError: the copies are smaller than S.
        """
        if side > self.side:
            raise UserError(
                f"cache_images={self.side}: the backbone wants {side} pixels; take {side * 8 // 7} "
                "or more."
            )
        copy = self._made().read(index)
        top, left, height, width = part(*copy.shape[:2])
        cut = np.ascontiguousarray(copy[top : top + height, left : left + width])
        return part_of(Image.fromarray(cut), (0, 0, height, width), side)

    def make(self, progress: Progress = lambda done, total: None) -> None:
        """Make the copies, unless they are there.

        Raises:
            UserError: there is no room for them, or the cache folder cannot be written to.
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
            self._refuse_without_room(folder.parent)
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
                _put(copies, folder)
        except OSError as error:
            raise UserError(
                f"cache_images: cannot write to {folder.parent} ({error.strerror or error}); "
                "LONGTAIL_VLM_CACHE=DIR puts the cache elsewhere."
            ) from error

    def _refuse_without_room(self, folder: Path) -> None:
        total = len(self.whole)
        some = np.linspace(0, total - 1, min(SAMPLE, total)).astype(int).tolist()
        needed = total * float(np.mean([copy.size for copy in in_threads(self._resized, some)]))
        free = shutil.disk_usage(folder).free
        if needed > free:
            raise UserError(
                f"cache_images={self.side}: {total:,} training images take about "
                f"{needed / 1e9:.1f} GB, and {folder} has {free / 1e9:.1f} GB left; "
                "LONGTAIL_VLM_CACHE=DIR puts the cache elsewhere."
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
    """Pixels of N images in one file, one after another."""

    def __init__(self, folder: Path) -> None:
        self._shapes = np.load(folder / "shapes.npy").tolist()
        sizes = [3 * math.prod(shape) for shape in self._shapes]
        self._ends = np.cumsum(sizes, dtype=np.int64).tolist()
        self._pixels = np.memmap(folder / "pixels", dtype=np.uint8, mode="r")

    def read(self, index: int) -> NDArray[np.uint8]:
        """Image `index`, (H, W, 3), not yet read from the disk."""
        height, width = self._shapes[index]
        end = self._ends[index]
        return self._pixels[end - 3 * height * width : end].reshape(height, width, 3)


def _put(made: Path, folder: Path) -> None:
    """Rename a finished folder, so that a reader sees all of it or nothing."""
    try:
        made.rename(folder)
    except OSError:
        if not folder.is_dir():  # another process was first
            raise
