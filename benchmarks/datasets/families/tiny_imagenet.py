"""Tiny-ImageNet-LT: a long-tailed subset of Tiny-ImageNet-200's training images.

Data: the course CS231n's 200 classes of ImageNet-1k at 64×64 pixels. Long tail: the draw of Cao et
al. 2019 (see `recipes`) over classes by wnid and files by name, as torchvision's ImageFolder lists
them. Public code that makes such subsets goes by that order too but differs in the draw, and no
list of one was found: this split is this project's own.
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
from benchmarks.datasets.files.image_files import FileImages, missing_files
from benchmarks.datasets.registry import register
from benchmarks.errors import DataError, DataMissing
from benchmarks.loading import in_threads
from benchmarks.protocol import GROUPS, group_of
from benchmarks.text import Package, read_package

VERSION = "1"
RECIPE = "cao2019/name-order"
SIZE = 64
"""Height and width of every image, in pixels."""
FOLDER = "tiny-imagenet-200"
CLASSES, PER_CLASS = 200, (500, 50)
"""Of the official release: classes, and training and test images of each."""

# Address and checksum: ContinualAI's avalanche and many others, the size from a public log that has
# the same checksum: the publisher states neither.
_ARCHIVE = Archive(
    "tiny-imagenet-200.zip",
    "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
    "md5:90528d7ca1a48142e341f4ef8d21d0de",
    248.1,
    holds=FOLDER,
)
_CACHE_FORMAT = 2
"""Raise when the same files would be decoded to something else."""


@register("tiny_imagenet_lt", task="single")
@dataclass(frozen=True)
class TinyImageNetLT(DrawnTail):
    """Tiny-ImageNet with a long tail: 200 classes at 64×64 px, ratio 100 by default."""

    collection: str = "official"
    """`official`, or the number of training and test images where others are found: set by what is
    there, so that their results are never taken for these."""

    version: ClassVar[str] = VERSION

    def resolve(self, root: Path) -> Self:
        """This configuration, checked."""
        self._check_tail()
        return replace(self, imbalance=float(self.imbalance), collection=_collection(root))

    def load(self, root: Path, split_seed: int) -> DataSet:
        """The data set, read from `root`.

        Raises:
            DataMissing: it is not there.
            DataError: files are missing, or an image is unreadable or of another size.
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
            recipe=RECIPE,
            texts=texts,
            notes=(*notes, *about),
            train=train,
            test=test,
            validation=partial(without_duplicates, spare, train, test) if source else None,
            validation_source=source,
        )

    def counts(self, images: int = CLASSES * PER_CLASS[0]) -> NDArray[np.int64]:
        """(C,) training images a class, drawn from `images`."""
        return self._tail(images, CLASSES)

    def sizes(self) -> tuple[int, int]:
        """Training and test images of the official data."""
        return int(self.counts().sum()), CLASSES * PER_CLASS[1]

    def class_count(self) -> int:
        """Classes of the official data."""
        return CLASSES

    def absent(self, root: Path) -> str:
        """Whether the images are there."""
        return "" if _found(root) is not None else f"no Tiny-ImageNet under {root}"

    def download(self, root: Path) -> str:
        """Fetch and unpack the publisher's archive."""
        if _found(root) is not None:
            return f"Tiny-ImageNet is already at {_found(root)}."
        return f"Tiny-ImageNet is at {root / FOLDER}: {fetch(_ARCHIVE, root)}."

    def card(self) -> dict[str, str]:
        """What `show` prints."""
        counts = self.counts()
        groups = group_of(counts, "lift")
        sizes = " / ".join(str(int((groups == g).sum())) for g in GROUPS)
        return {
            "source": "Tiny-ImageNet-200 of Stanford's course CS231n; test: its validation images",
            "licence": "unverified; images of ImageNet, whose terms of access are non-commercial "
            "research and education only",
            "layout": f"DATA_ROOT/{FOLDER}/ as the archive unpacks (wnids.txt, "
            "train/WNID/images/*.JPEG, val/val_annotations.txt, val/images/*.JPEG), or DATA_ROOT "
            "itself",
            "classes": str(CLASSES),
            "training images": f"{counts.sum():,} ({counts.max()} to {counts.min()} a class)",
            "test images": f"{CLASSES * PER_CLASS[1]:,} (balanced)",
            "profile": f"{self.profile}, imbalance {self.imbalance:g}",
            "groups": f"many / medium / few {sizes} (> 100, 20–100, < 20 images)",
            "recipe": f"{RECIPE}: the draw of Cao et al. 2019 over wnids and file names in "
            "alphabetical order; this project's own split",
            "images from": f"{_ARCHIVE.url} ({_ARCHIVE.megabytes} MB), {_ARCHIVE.describe()}",
            "validation": f"up to {VALIDATION_PER_CLASS} training images a class, not drawn ones",
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
        """The version, and a footnote on a smaller collection: it is another data set."""
        sizes = (train // CLASSES, test // CLASSES)
        if sizes == PER_CLASS:
            return VERSION, ()
        note = (
            f"{self.name}: {sizes[0]} training and {sizes[1]} test images a class instead of the "
            f"official {PER_CLASS[0]} and {PER_CLASS[1]}; results are not comparable with others"
        )
        return f"{VERSION}-reduced-{sizes[0]}-{sizes[1]}", (note,)


def _found(root: Path) -> Path | None:
    places = (root / FOLDER, root)
    return next((place for place in places if (place / "wnids.txt").is_file()), None)


def _collection(root: Path) -> str:
    """`collection` for the images under `root`; `official` where there are none."""
    folder = _found(root)
    if folder is None:
        return "official"
    # Of one class, as all have equally many: `load` lists the others anyway, and sees to that.
    first = folder / "train" / read_package("tiny_imagenet").keys[0]
    sizes = (CLASSES * _images_in(first / "images"), _images_in(folder / "val" / "images"))
    official = tuple(CLASSES * number for number in PER_CLASS)
    return "official" if sizes == official else "{}-{}".format(*sizes)


def _check_wnids(file: Path, keys: Sequence[str]) -> None:
    """Refuse a release of other classes."""
    try:
        found = file.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: cannot be read as text.") from error
    if sorted(found) != sorted(keys):
        other = sorted(set(found) ^ set(keys))
        raise DataError(
            f"{file}: not the {len(keys)} classes of Tiny-ImageNet ({', '.join(other[:3])}, …)."
        )


def _training_files(folder: Path, keys: Sequence[str]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """All training images, class by class and by name: paths under `folder`, and labels.

    Raises:
        DataError: a class has another number of images than most others have.
    """
    listed: dict[str, list[str]] = {}
    for wnid in keys:
        try:
            names = os.listdir(folder / "train" / wnid / "images")
        except OSError:
            names = []
        listed[wnid] = sorted(f"train/{wnid}/images/{n}" for n in names if _is_image(n))
    sizes = [len(files) for files in listed.values()]
    usual = max(set(sizes), key=sizes.count)
    wrong = [f"{wnid} has {len(files)}" for wnid, files in listed.items() if len(files) != usual]
    if wrong or not usual:
        raise DataError(
            f"{folder / 'train'}: the classes do not have equally many images: most have {usual}, "
            f"{', '.join(wrong[:3])}{', …' if len(wrong) > 3 else ''}. Unpack the archive again."
            if usual
            else f"{folder / 'train'}: no images in WNID/images/. Unpack the archive again."
        )
    labels = np.repeat(np.arange(len(keys)), usual)
    return tuple(file for files in listed.values() for file in files), labels


def _test_files(folder: Path, keys: Sequence[str]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """The official validation images, as `val/val_annotations.txt` lists them."""
    annotations = folder / "val" / "val_annotations.txt"
    index: Mapping[str, int] = {wnid: i for i, wnid in enumerate(keys)}
    try:
        lines = annotations.read_text(encoding="utf-8").splitlines()
        pairs = [line.split("\t")[:2] for line in lines if line.strip()]
        labels = np.array([index[wnid] for _, wnid in pairs], dtype=np.int64)
        if not pairs:
            raise ValueError
    except (OSError, UnicodeDecodeError, ValueError, KeyError) as error:
        raise DataError(f"{annotations}: missing or damaged; unpack the archive again.") from error
    files = tuple(f"val/images/{name}" for name, _ in pairs)
    missing = missing_files(folder, files)
    if missing:
        raise DataError(
            f"{folder}: {len(missing):,} of {len(files):,} test images are missing: first "
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
    """`train/WNID_0.JPEG` and `val/val_0.JPEG`: what a file's name and its split say."""
    return tuple(f"{f.partition('/')[0]}/{f.rpartition('/')[2]}" for f in images.files)


def _decoded(files: FileImages) -> ArrayImages:
    """Pixels of a split, (N, 64, 64, 3), from the user's cache where they are in it.

    Training and test images apart: the test images are those of every imbalance ratio.
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
