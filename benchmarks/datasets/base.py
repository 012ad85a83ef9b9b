"""Data sets as the rest of the suite sees them: images, labels, ids and texts."""

from __future__ import annotations

import dataclasses
import hashlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from benchmarks.errors import DataError, NotApplicable, counted, first_few
from benchmarks.hierarchy import Hierarchy

TaskKind = Literal["single", "multi"]
Scores = Literal["logits", "softmax"]
"""Scores for average precision: the logits, or the softmax over the classes of the logits before a
method's calibration (scale times cosine for most), as LMPT's code takes it."""


class Images(Protocol):
    """Images of one split, in its order."""

    def __len__(self) -> int: ...

    def read(self, index: int) -> NDArray[np.uint8]:
        """Image `index` as (H, W, 3) uint8; raises DataError naming the path if unreadable."""
        ...

    def digest(self) -> str:
        """Hash of the images' content, or of names and sizes if there are too many to read."""
        ...


class ArrayImages:
    """Small images of one size held decoded in memory, (N, H, W, 3) uint8.

    A run with cached features needs no pixels, so the array may be given as a function that is
    called when the first image is read.

    Args:
        array: the images, or a function that returns them.
        count: number of images that the function returns.
        digest: returns the digest, if it is known without the pixels; by default they are hashed.
    """

    def __init__(
        self,
        array: NDArray[np.uint8] | Callable[[], NDArray[np.uint8]],
        count: int = 0,
        digest: Callable[[], str] | None = None,
    ) -> None:
        self._array = array
        self._count = count if callable(array) else len(array)
        self._known_digest = digest

    def __len__(self) -> int:
        return self._count

    @property
    def array(self) -> NDArray[np.uint8]:
        """All images; a deferred array is built now."""
        found = self._array
        if callable(found):
            with _BUILD_LOCK:
                latest = self._array
                found = self._array = latest() if callable(latest) else latest
        return found

    def read(self, index: int) -> NDArray[np.uint8]:
        image: NDArray[np.uint8] = self.array[index]
        return image

    def subset(self, index: NDArray[np.int64]) -> ArrayImages:
        """Return the images at `index`."""

        def digest() -> str:
            return hash_strings([self.digest(), *map(str, index.tolist())])

        return ArrayImages(lambda: self.array[index], len(index), digest)

    def digest(self) -> str:
        return self._digest

    @cached_property
    def _digest(self) -> str:
        return hash_pixels(self.array) if self._known_digest is None else self._known_digest()


_BUILD_LOCK = threading.RLock()
"""Lock for building a deferred array: several threads may request its first image at once."""


def hash_pixels(array: NDArray[np.uint8]) -> str:
    """Return a 16-digit hash of (N, H, W, 3) images."""
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()[:16]


@dataclass(frozen=True)
class Split:
    """Images with labels, and with ids that depend on neither order nor path."""

    images: Images
    labels: NDArray[np.int64]
    """(N,) class indices for single-label, (N, C) zeros and ones for multi-label."""
    ids: tuple[str, ...]
    """N original file names, or stable ids if there are no files."""
    captions: tuple[str, ...] | None = None
    """N captions, if the data set has any."""
    withheld: bool = False
    """True if the labels are all -1, because the holder may not know them."""

    def __post_init__(self) -> None:
        if not len(self.images) == len(self.labels) == len(self.ids):
            raise ValueError("images, labels and ids of a split differ in length")
        if self.captions is not None and len(self.captions) != len(self.ids):
            raise ValueError("captions and ids of a split differ in length")

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Texts:
    """Text package of a data set: all text about its classes that a method may use."""

    class_names: tuple[str, ...]
    templates: tuple[str, ...]
    """Prompt templates with one `{}` for the class name; several form an ensemble."""
    descriptions: tuple[str, ...] | None = None
    """One sentence per class, or None if the data set has no descriptions."""
    invented: bool = False
    """True if the class names are invented words, which only the glyph backbone was trained on."""

    @cached_property
    def digest(self) -> str:
        """Text hash that records hold."""
        parts = [*self.class_names, "|", *self.templates, "|", *(self.descriptions or ())]
        return hash_strings(parts)


@dataclass(frozen=True)
class DataSet:
    """A loaded data set. The order of `texts.class_names` gives the class indices."""

    name: str
    task: TaskKind
    version: str
    """Version of the data, part of every record: raise it when the same name means other data."""
    recipe: str
    """Name of the long-tailed split, for example `cao2019`."""
    texts: Texts
    train: Split
    test: Split
    tested_on: str = "test"
    """Kind of the images in `test`, for footnotes: `tune` puts validation images there."""
    validation: Callable[[], Split] | None = None
    """Builds the validation split for `--select val`, which never overlaps train or test."""
    validation_source: str = ""
    """Source of the validation images, for the record."""
    group_counts: NDArray[np.int64] | None = None
    """(C,) counts that decide many/medium/few, if they are not the training counts."""
    scores: Scores = "logits"
    """Multi-label only: scores that average precision is computed on."""
    notes: tuple[str, ...] = ()
    """Footnotes for every result on these data, found while loading them."""
    hierarchy: Callable[[], Hierarchy] | None = None
    """Builds a tree over the classes, if there is one; raises NotApplicable if it needs something
    that is not on this machine."""
    upright: bool = False
    """Image files are turned by their EXIF orientation."""
    class_keys: tuple[str, ...] = ()
    """(C,) names by which the user knows the classes: folders, or labels in a table. Empty if they
    are the names in prompts."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Known attributes of the embedded world's classes, by name, each (C,)."""

    def __post_init__(self) -> None:
        shape = () if self.task == "single" else (self.num_classes,)
        most = self.num_classes - 1 if self.task == "single" else 1
        for name, labels in (("training", self.train.labels), ("test", self.test.labels)):
            if labels.shape[1:] != shape:
                raise ValueError(f"{self.name}: {name} labels of shape {labels.shape}")
            if name == "test" and self.test.withheld:
                continue
            if labels.size and not 0 <= labels.min() <= labels.max() <= most:
                raise ValueError(f"{self.name}: {name} labels are not all 0 to {most}")
        refuse_shared(self.name, ("training", self.train.ids), ("test", self.test.ids))

    def without_test_labels(self) -> DataSet:
        """Return the data set for a process that fits: test images without labels or names.

        Images in class folders still have paths, from which they are read.
        """
        images = self.test.images
        hidden = Split(
            images,
            np.full_like(self.test.labels, -1),
            tuple(f"test image {i}" for i in range(len(images))),
            withheld=True,
        )
        return dataclasses.replace(self, test=hidden)

    @property
    def num_classes(self) -> int:
        return len(self.texts.class_names)

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """(C,) training images per class; classes without any keep their place with a zero."""
        return images_per_class(self.train.labels, self.num_classes)

    @cached_property
    def gaps(self) -> tuple[str, ...]:
        """Footnotes on classes without training or test images, which keep their places."""
        test = images_per_class(self.test.labels, self.num_classes)
        return gaps(self.texts.class_names, self.counts, test, self.tested_on)

    @cached_property
    def tree(self) -> Hierarchy | None:
        """The tree over the classes; None if there is none or it cannot be built here."""
        if self.hierarchy is None:
            return None
        try:
            return self.hierarchy()
        except (NotApplicable, DataError):  # a method that needs it says so
            return None

    @cached_property
    def split_hash(self) -> str:
        """Hash of the sample ids and labels of train and test, independent of paths and order."""
        lines = [
            f"{tag} {sid} {','.join(map(str, np.flatnonzero(y) if y.ndim else [int(y)]))}"
            for tag, split in (("train", self.train), ("test", self.test))
            for sid, y in zip(split.ids, split.labels, strict=True)
        ]
        return hash_strings(sorted(lines))


class Family(ABC):
    """Base class of data set families: frozen dataclasses whose fields are the parameters.

    Subclasses are registered with `@register(NAME, task="single")`. Construction does no work. A
    family with a field `imbalance` is also found as `NAME_irR`, which sets the field to R.
    """

    name: ClassVar[str]
    task: ClassVar[TaskKind]
    version: ClassVar[str] = "1"
    """Raise when the same configuration gives other data or texts; part of every record's key."""
    default_backbone: ClassVar[str] = "ViT-B-16-quickgelu/openai"
    """Backbone unless `--backbone` names another."""
    default_groups: ClassVar[str] = "auto"
    """Default rule for many, medium and few; `auto` chooses by task."""
    on_disk: ClassVar[bool] = True
    """True if the images are read from files, which may be missing or damaged; False if drawn."""
    published: ClassVar[bool] = True
    """True for a public data set, which `download` may handle; False for the user's own."""

    def resolve(self, root: Path) -> Self:
        """Return this configuration with all fields set that depend on the data in `root`.

        A record's key is made from the result, so it must hold no paths. Missing data must not
        raise an error: `plan` works without them.
        """
        return self

    def pinned(self) -> dict[str, Any]:
        """Return the fields as a record and its key hold them: files by name and content hash."""
        return dataclasses.asdict(self)  # type: ignore[call-overload, no-any-return]

    @abstractmethod
    def load(self, root: Path, split_seed: int) -> DataSet:
        """Read the data set from `root`, the data root of the command line.

        Raises:
            DataMissing: data not found; the message says what is missing, which command downloads
                it, where to put it by hand and what works offline.
            DataError: a file is damaged; the message names its path.
        """

    def sizes(self) -> tuple[int, int] | None:
        """Return the numbers of training and test images if known without reading the data."""
        return None

    def class_count(self) -> int | None:
        """Return the number of classes if known without reading the data."""
        return None

    def train_counts(self, root: Path) -> NDArray[np.int64] | None:
        """Return (C,) training images per class if known without reading images, else None.

        They need not be in the order of the classes.
        """
        return None

    def absent(self, root: Path) -> str:
        """Return a short description of the files missing in `root`; "" if none seem to be.

        A quick check for `plan`, which loads nothing.
        """
        return ""

    def notes(self) -> tuple[str, ...]:
        """Return footnotes on this configuration, printed with its results."""
        return ()

    def download(self, root: Path) -> str:
        """Download the data to `root` if the publisher allows it; return a line to print."""
        return f"{self.name} needs no download."

    @abstractmethod
    def card(self) -> dict[str, str]:
        """Return what `show NAME` prints: source, licence, layout on disk, counts and groups."""


def refuse_shared(
    owner: str, first: tuple[str, Sequence[str]], second: tuple[str, Sequence[str]]
) -> None:
    """Refuse two splits, each (name, ids), that have an image in common.

    Raises:
        DataError: an id is in both splits; the message names the first few.
    """
    shared = sorted(set(first[1]) & set(second[1]))
    if shared:
        raise DataError(
            f"{owner}: {counted(len(shared), 'image')} in both the {first[0]} and the {second[0]} "
            f"set: {', '.join(shared[:3])}{', …' if len(shared) > 3 else ''}."
        )


def images_per_class(labels: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Count images per class, (C,), from (N,) class indices or (N, C) zeros and ones."""
    found = labels.sum(0) if labels.ndim == 2 else np.bincount(labels, minlength=classes)
    return np.asarray(found, dtype=np.int64)


def gaps(
    names: Sequence[str],
    train: NDArray[np.int64],
    test: NDArray[np.int64],
    tested_on: str = "test",
) -> tuple[str, ...]:
    """Return footnotes on classes whose (C,) training or test count is 0.

    Args:
        names: (C,) names of the classes.
        train: training images of each class.
        test: test images of each class.
        tested_on: kind of the test images.
    """
    return tuple(
        f"{len(empty)} of {len(names)} classes have no {what} images: {first_few(empty)}"
        for what, counts in (("training", train), (tested_on, test))
        if (empty := [names[c] for c in np.flatnonzero(counts == 0).tolist()])
    )


def hash_strings(strings: Sequence[str]) -> str:
    """Return a 16-digit hash of a sequence of strings, each hashed with its length."""
    digest = hashlib.sha256()
    for text in strings:
        data = text.encode()
        digest.update(f"{len(data)}:".encode() + data)
    return digest.hexdigest()[:16]
