"""Tiny-ImageNet-LT: a long-tailed subset of Tiny-ImageNet-200's training images.

Data: 200 classes of ImageNet-1k at 64×64 pixels, from the course CS231n. Long tail: the draw of Cao
et al. 2019 (see `long_tail`) over classes by wnid and files by name, the order of torchvision's
ImageFolder. Public code for such subsets uses the same order but another draw, and no published
list was found: this split is the project's own.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from benchmarks.cache import Arrays, cached_arrays
from benchmarks.datasets import long_tail
from benchmarks.datasets.base import ArrayImages, DataSet, Split
from benchmarks.datasets.carving import without_duplicates
from benchmarks.datasets.files.drawn import VALIDATION_PER_CLASS, DrawnTail, validation_source
from benchmarks.datasets.files.fetch import Archive, fetch
from benchmarks.datasets.files.image_files import FileImages, file_names, missing_files
from benchmarks.datasets.files.links import Links
from benchmarks.datasets.registry import register
from benchmarks.errors import DataError, DataMissing
from benchmarks.input_files import MB, read_text
from benchmarks.loading import in_threads
from benchmarks.protocol import GROUPS, group_of
from benchmarks.text import Package, read_package

VERSION = "1"
DRAW = "cao2019/name-order"
SIZE = 64
"""Height and width of every image, in pixels."""
FOLDER = "tiny-imagenet-200"
CLASSES, PER_CLASS = 200, (500, 50)
"""Official release: number of classes, and training and test images per class."""

# URL and checksum: ContinualAI's avalanche and many others. Size: a public log with the same
# checksum. The publisher states neither.
_ARCHIVE = Archive(
    "tiny-imagenet-200.zip",
    "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
    "md5:90528d7ca1a48142e341f4ef8d21d0de",
    248.1,
    holds=FOLDER,
)
_CACHE_FORMAT = 2
"""Raise when the same files are decoded to other pixels."""


@register("tiny_imagenet_lt", task="single")
@dataclass(frozen=True)
class TinyImageNetLT(DrawnTail):
    """Tiny-ImageNet with a long tail: 200 classes at 64×64 px, ratio 100 by default."""

    collection: str = "official"
    """`official`, or the numbers of training and test images if others are found. Set from the
    files, so that results on a smaller collection are not mistaken for official ones."""

    version: ClassVar[str] = VERSION

    def resolve(self, root: Path) -> Self:
        """Return this configuration, checked, with `collection` set from the files in `root`."""
        self._check()
        return replace(self, imbalance=float(self.imbalance), collection=_collection(root))

    def load(self, root: Path, split_seed: int) -> DataSet:
        """Read the data set from `root`.

        Raises:
            DataMissing: data not found.
            DataError: files are missing, or an image is unreadable or has another size.
        """
        config, package = self.resolve(root), self._package()
        folder = self._folder(root)
        _check_wnids(folder / "wnids.txt", package.keys)
        files, labels = _training_files(folder, package.keys)
        test_files, test_labels = _test_files(folder, package.keys)
        counts = config.counts(len(files))
        drawn, others = long_tail.draw(labels, counts, split_seed, VALIDATION_PER_CLASS)
        chosen = FileImages(folder, tuple(files[i] for i in drawn))
        test_chosen = FileImages(folder, test_files)
        train = Split(_decoded(chosen), labels[drawn], _ids(chosen))
        test = Split(_decoded(test_chosen), test_labels, _ids(test_chosen))
        left = np.concatenate(others)
        spare_files = FileImages(folder, tuple(files[i] for i in left))
        spare = Split(spare_files, labels[left], _ids(spare_files))
        source = validation_source(others)
        texts, notes = self._texts(package)
        version, about = self._as_published(len(files), len(test_files))
        return DataSet(
            name=self.name,
            task="single",
            version=version,
            recipe=DRAW,
            texts=texts,
            notes=(*notes, *about),
            train=train,
            test=test,
            validation=partial(without_duplicates, spare, train, test) if source else None,
            validation_source=source,
            hierarchy=self._hierarchy(package),
        )

    def counts(self, images: int = CLASSES * PER_CLASS[0]) -> NDArray[np.int64]:
        """Return (C,) training images per class, drawn from `images`."""
        return self._tail(images, CLASSES)

    def sizes(self) -> tuple[int, int]:
        """Return the numbers of training and test images of the official data."""
        return int(self.counts().sum()), CLASSES * PER_CLASS[1]

    def train_counts(self, root: Path) -> NDArray[np.int64]:
        """Return (C,) training images per class, head first."""
        return self.counts()

    def class_count(self) -> int:
        """Return the number of classes of the official data."""
        return CLASSES

    def absent(self, root: Path) -> str:
        """Return a short message if the images are not in `root`; "" otherwise."""
        return "" if _found(root) is not None else f"no Tiny-ImageNet under {root}"

    def download(self, root: Path) -> str:
        """Download and unpack the publisher's archive."""
        if _found(root) is not None:
            return f"Tiny-ImageNet is already at {_found(root)}."
        return f"Tiny-ImageNet is at {root / FOLDER}: {fetch(_ARCHIVE, root)}."

    def card(self) -> dict[str, str]:
        """Return what `show` prints."""
        counts = self.counts()
        groups = group_of(counts, "lift")
        sizes = " / ".join(str(int((groups == g).sum())) for g in GROUPS)
        return {
            "source": "Tiny-ImageNet-200 of Stanford's course CS231n; test: its validation images",
            "licence": "unverified; the images are from ImageNet, whose terms of access allow "
            "non-commercial research and education only",
            "layout": f"the unpacked archive as DATA_ROOT/{FOLDER}/ or DATA_ROOT itself "
            "(wnids.txt, train/WNID/images/*.JPEG, val/val_annotations.txt, val/images/*.JPEG)",
            "classes": str(CLASSES),
            "training images": f"{counts.sum():,} ({counts.max()} to {counts.min()} per class)",
            "test images": f"{CLASSES * PER_CLASS[1]:,} (balanced)",
            "profile": self._profile_card(),
            "groups": f"many / medium / few {sizes} (> 100, 20–100, < 20 images)",
            "recipe": f"{DRAW}: the draw of Cao et al. 2019 over wnids and file names in "
            "alphabetical order; this project's own split",
            "images from": f"{_ARCHIVE.url} ({_ARCHIVE.megabytes} MB), {_ARCHIVE.describe()}",
            "validation": f"up to {VALIDATION_PER_CLASS} training images per class that the "
            "long-tailed subset did not draw",
            **self._texts_card(self._package()),
        }

    def _package(self) -> Package:
        return read_package("tiny_imagenet", self.texts)

    def _folder(self, root: Path) -> Path:
        folder = _found(root)
        if folder is None:
            raise DataMissing(
                f"No Tiny-ImageNet under {root}. Run `python run_benchmarks.py download "
                f"{self.name} --data-root {root}` ({_ARCHIVE.megabytes:.0f} MB), or unpack "
                f"{_ARCHIVE.url} into {root} by hand; without data, `--datasets glyphs100_lt "
                "--backbone glyph` runs offline."
            )
        return folder

    def _as_published(self, train: int, test: int) -> tuple[str, tuple[str, ...]]:
        """Return the version, and a footnote on a smaller collection, which is another data set."""
        sizes = (train // CLASSES, test // CLASSES)
        if sizes == PER_CLASS:
            return VERSION, ()
        note = (
            f"{self.name}: {sizes[0]} training and {sizes[1]} test images per class instead of the "
            f"official {PER_CLASS[0]} and {PER_CLASS[1]}; results are not comparable with others"
        )
        return f"{VERSION}-reduced-{sizes[0]}-{sizes[1]}", (note,)


def _found(root: Path) -> Path | None:
    places = (root / FOLDER, root)
    return next((place for place in places if (place / "wnids.txt").is_file()), None)


def _collection(root: Path) -> str:
    """Return `collection` for the images under `root`; `official` if there are none."""
    folder = _found(root)
    if folder is None:
        return "official"
    # One class is enough: `load` checks that all have equally many.
    first = folder / "train" / read_package("tiny_imagenet").keys[0]
    sizes = (CLASSES * _images_in(first / "images"), _images_in(folder / "val" / "images"))
    official = tuple(CLASSES * number for number in PER_CLASS)
    return "official" if sizes == official else "{}-{}".format(*sizes)


def _check_wnids(file: Path, keys: Sequence[str]) -> None:
    """Refuse a release with other classes."""
    try:
        found = read_text(file, MB).split()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: cannot be read as text.") from error
    if sorted(found) != sorted(keys):
        other = sorted(set(found) ^ set(keys))
        raise DataError(
            f"{file}: not the {len(keys)} classes of Tiny-ImageNet ({', '.join(other[:3])}, …)."
        )


def _training_files(folder: Path, keys: Sequence[str]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """List all training images by class and name: paths under `folder`, and labels.

    Raises:
        DataError: the classes do not have equally many images.
    """
    listed: dict[str, list[str]] = {}
    links = Links(folder)
    for wnid in keys:
        names = file_names(folder / "train" / wnid / "images", links)
        listed[wnid] = sorted(f"train/{wnid}/images/{n}" for n in names if _is_image(n))
        for name, is_link in names.items():
            if is_link:
                links.check(folder / "train" / wnid / "images" / name)
    sizes = [len(files) for files in listed.values()]
    usual = max(set(sizes), key=sizes.count)
    wrong = [f"{wnid} has {len(files)}" for wnid, files in listed.items() if len(files) != usual]
    if wrong or not usual:
        raise DataError(
            f"{folder / 'train'}: the classes do not have equally many images: most have {usual}, "
            f"but {', '.join(wrong[:3])}{', …' if len(wrong) > 3 else ''}. "
            "Unpack the archive again."
            if usual
            else f"{folder / 'train'}: no images in WNID/images/. Unpack the archive again."
        )
    labels = np.repeat(np.arange(len(keys)), usual)
    return tuple(file for files in listed.values() for file in files), labels


def _test_files(folder: Path, keys: Sequence[str]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """List the official validation images from `val/val_annotations.txt`: paths and labels."""
    annotations = folder / "val" / "val_annotations.txt"
    index: Mapping[str, int] = {wnid: i for i, wnid in enumerate(keys)}
    try:
        lines = read_text(annotations, 10 * MB).splitlines()
        pairs = [line.split("\t")[:2] for line in lines if line.strip()]
        labels = np.array([index[wnid] for _, wnid in pairs], dtype=np.int64)
        if not pairs or any("/" in name or "\0" in name for name, _ in pairs):
            raise ValueError
    except (OSError, UnicodeDecodeError, ValueError, KeyError) as error:
        raise DataError(f"{annotations}: missing or damaged; unpack the archive again.") from error
    files = tuple(f"val/images/{name}" for name, _ in pairs)
    missing = missing_files(folder, files)
    if missing:
        raise DataError(
            f"{folder}: {len(missing):,} of {len(files):,} test images are missing, for example "
            f"{', '.join(missing[:3])}. Unpack the archive again."
        )
    return files, labels


def _images_in(folder: Path) -> int:
    try:
        return sum(map(_is_image, os.listdir(folder)))
    except OSError:
        return 0


def _is_image(name: str) -> bool:
    return name.upper().endswith(".JPEG") and not name.startswith(".")


def _ids(images: FileImages) -> tuple[str, ...]:
    """Return ids of split and file name, such as `train/WNID_0.JPEG` and `val/val_0.JPEG`."""
    return tuple(f"{f.partition('/')[0]}/{f.rpartition('/')[2]}" for f in images.files)


def _decoded(files: FileImages) -> ArrayImages:
    """Return the pixels of a split, (N, 64, 64, 3), cached in the user's cache.

    Train and test are cached separately because all imbalance ratios share the test images.
    """

    def build() -> Arrays:
        return {"pixels": np.stack(list(in_threads(partial(_pixels, files), range(len(files)))))}

    key = f"{_CACHE_FORMAT}-{files.digest()}"
    arrays = cached_arrays("tiny_imagenet", key, ("pixels",), build)
    return ArrayImages(np.asarray(arrays["pixels"]), digest=files.digest)


def _pixels(images: FileImages, index: int) -> NDArray[np.uint8]:
    pixels = images.read(index)
    if pixels.shape != (SIZE, SIZE, 3):
        height, width = pixels.shape[:2]
        raise DataError(
            f"{images.root / images.files[index]}: the image is {width}×{height}, expected "
            f"{SIZE}×{SIZE}."
        )
    return pixels
