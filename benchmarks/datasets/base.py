"""What a data set is to the rest of the suite: images, labels, ids and texts, nothing else."""

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

from benchmarks.errors import DataError, counted, some

TaskKind = Literal["single", "multi"]
Scores = Literal["logits", "softmax"]
"""What average precision is taken on: logits as they are, or their softmax over the classes."""


class Images(Protocol):
    """Images of one split, in its order."""

    def __len__(self) -> int: ...

    def read(self, index: int) -> NDArray[np.uint8]:
        """Image `index` as (H, W, 3) uint8; raises DataError naming the path if unreadable."""
        ...

    def digest(self) -> str:
        """A hash of the images' content; of names and sizes where files are too many to read."""
        ...


class ArrayImages:
    """Small images of one size held decoded in memory, (N, H, W, 3) uint8.

    Who has frozen features needs no pixels: so they may also be promised, and made when the first
    image is read.

    Args:
        array: the images, or what makes them.
        count: how many a function makes.
        digest: what stands for their content where that is known without reading them; else it is
            hashed.
    """

    def __init__(
        self,
        array: NDArray[np.uint8] | Callable[[], NDArray[np.uint8]],
        count: int = 0,
        digest: Callable[[], str] | None = None,
    ) -> None:
        self._array = array
        self._count = count if callable(array) else len(array)
        self._known = digest

    def __len__(self) -> int:
        return self._count

    @property
    def array(self) -> NDArray[np.uint8]:
        """All of them, made now if they were only promised."""
        found = self._array
        if callable(found):
            with _MAKING:
                made = self._array
                found = self._array = made() if callable(made) else made
        return found

    def read(self, index: int) -> NDArray[np.uint8]:
        image: NDArray[np.uint8] = self.array[index]
        return image

    def part(self, index: NDArray[np.int64]) -> ArrayImages:
        """The images at `index`."""

        def digest() -> str:
            return hash_strings([self.digest(), *map(str, index.tolist())])

        return ArrayImages(lambda: self.array[index], len(index), digest)

    def digest(self) -> str:
        return self._digest

    @cached_property
    def _digest(self) -> str:
        return hash_pixels(self.array) if self._known is None else self._known()


_MAKING = threading.RLock()
"""Held while promised images are made: several threads may want the first one."""


def hash_pixels(array: NDArray[np.uint8]) -> str:
    """A 16-digit hash of (N, H, W, 3) images."""
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()[:16]


@dataclass(frozen=True)
class Split:
    """Images with labels and ids that outlive any ordering or path."""

    images: Images
    labels: NDArray[np.int64]
    """(N,) class indices for single-label, (N, C) zeros and ones for multi-label."""
    ids: tuple[str, ...]
    """N original file names, or stable ids where there are no files."""
    captions: tuple[str, ...] | None = None
    """N captions, where the data set has any."""

    def __post_init__(self) -> None:
        if not len(self.images) == len(self.labels) == len(self.ids):
            raise ValueError("images, labels and ids of a split differ in length")
        if self.captions is not None and len(self.captions) != len(self.ids):
            raise ValueError("captions and ids of a split differ in length")

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Texts:
    """A data set's text package: every word a method may be given about its classes."""

    class_names: tuple[str, ...]
    templates: tuple[str, ...]
    """Prompt templates with one `{}` for the class name (an ensemble when several)."""
    descriptions: tuple[str, ...] | None = None
    """One sentence a class, or None where the data set has none."""
    invented: bool = False
    """The words are the embedded world's own: no other text tower was trained on them."""

    @cached_property
    def digest(self) -> str:
        """The text hash of a record."""
        parts = [*self.class_names, "|", *self.templates, "|", *(self.descriptions or ())]
        return hash_strings(parts)


@dataclass(frozen=True)
class DataSet:
    """A loaded data set. The order of `texts.class_names` gives the class indices."""

    name: str
    task: TaskKind
    version: str
    """Version of the recipe, part of every record: raise it when the same name means other data."""
    recipe: str
    """Name of the split recipe, for example `cao2019`."""
    texts: Texts
    train: Split
    test: Split
    validation: Callable[[], Split] | None = None
    """Builds the validation split that `--select val` uses; never overlaps train or test."""
    validation_source: str = ""
    """Where those come from, for the record."""
    group_counts: NDArray[np.int64] | None = None
    """(C,) counts that decide many/medium/few, where they are not the training counts."""
    scores: Scores = "logits"
    """For multi-label: what average precision is taken on."""
    notes: tuple[str, ...] = ()
    """What loading found that a reader of any result on these data should know; footnotes."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Known truth about the classes of the embedded world, by name, each (C,) long."""

    def __post_init__(self) -> None:
        shape = () if self.task == "single" else (self.num_classes,)
        most = self.num_classes - 1 if self.task == "single" else 1
        for name, labels in (("training", self.train.labels), ("test", self.test.labels)):
            if labels.shape[1:] != shape:
                raise ValueError(f"{self.name}: {name} labels of shape {labels.shape}")
            if labels.size and not 0 <= labels.min() <= labels.max() <= most:
                raise ValueError(f"{self.name}: {name} labels are not all 0 to {most}")
        refuse_shared(self.name, ("training", self.train.ids), ("test", self.test.ids))

    @property
    def num_classes(self) -> int:
        return len(self.texts.class_names)

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """(C,) training images a class; classes without any stay in place with a zero."""
        return _counts(self.train.labels, self.num_classes)

    @cached_property
    def gaps(self) -> tuple[str, ...]:
        """Footnotes on classes that have no training or no test images; they keep their places."""
        test = _counts(self.test.labels, self.num_classes)
        return gaps(self.texts.class_names, self.counts, test)

    @cached_property
    def split_hash(self) -> str:
        """Hash over the sample ids and labels of train and test, independent of paths and order."""
        lines = [
            f"{tag} {sid} {','.join(map(str, np.flatnonzero(y) if y.ndim else [int(y)]))}"
            for tag, split in (("train", self.train), ("test", self.test))
            for sid, y in zip(split.ids, split.labels, strict=True)
        ]
        return hash_strings(sorted(lines))


class Family(ABC):
    """A family of data sets. Subclasses are frozen dataclasses whose fields are the knobs.

    Registered with `@register(NAME, task="single")`. Construction does no work. A family with a
    field `imbalance` also answers to `NAME_irR`, which sets it to R.
    """

    name: ClassVar[str]
    task: ClassVar[TaskKind]
    version: ClassVar[str] = "1"
    """Raise when the same configuration gives other data or texts; part of every record's key."""
    default_backbone: ClassVar[str] = "ViT-B-16-quickgelu/openai"
    """Used when none is asked for."""
    default_groups: ClassVar[str] = "auto"
    """Rule for many, medium and few when none is asked for; `auto` goes by the task."""
    on_disk: ClassVar[bool] = True
    """Read from files, which may be missing or damaged; else drawn."""
    published: ClassVar[bool] = True
    """Somebody else's data, of which `download` may know something; else the user's."""

    def resolve(self, root: Path) -> Self:
        """This configuration with everything pinned that depends on the form of the data in `root`.

        The result is what a record's key is made of, so it must hold no paths. Must not fail when
        the data are missing: `plan` works without them.
        """
        return self

    def pinned(self) -> dict[str, Any]:
        """The knobs as they enter a record and its key: of a file its name and content, no path."""
        return dataclasses.asdict(self)  # type: ignore[call-overload, no-any-return]

    @abstractmethod
    def load(self, root: Path, split_seed: int) -> DataSet:
        """The data set, read from `root` (the data root of the command line).

        Raises:
            DataMissing: not there; the line says what is missing, which command downloads it,
                where to put it by hand and what works offline.
            DataError: there but damaged; the path of the damaged file is named.
        """

    def sizes(self) -> tuple[int, int] | None:
        """Training and test images, where they are known without reading the data."""
        return None

    def class_count(self) -> int | None:
        """How many classes, where that is known without reading the data."""
        return None

    def absent(self, root: Path) -> str:
        """What is not in `root`, in a few words, as far as a glance tells; "" if nothing is missed.

        For `plan`, which loads nothing.
        """
        return ""

    def notes(self) -> tuple[str, ...]:
        """What a reader of this configuration's results should know; printed with them."""
        return ()

    def download(self, root: Path) -> str:
        """Fetch the data to `root` where the publisher allows it; returns a line to print."""
        return f"{self.name} needs no download."

    @abstractmethod
    def card(self) -> dict[str, str]:
        """What `show NAME` prints: source, licence, layout on disk, counts, groups, and so on."""


def refuse_shared(
    owner: str, first: tuple[str, Sequence[str]], second: tuple[str, Sequence[str]]
) -> None:
    """Refuse that two splits, (what it is called, its ids) each, have an image in common.

    Raises:
        DataError: the same id in both; the first few are named.
    """
    shared = sorted(set(first[1]) & set(second[1]))
    if shared:
        raise DataError(
            f"{owner}: {counted(len(shared), 'image')} in both the {first[0]} and the {second[0]} "
            f"set: {', '.join(shared[:3])}{', …' if len(shared) > 3 else ''}."
        )


def _counts(labels: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """(N,) class indices or (N, C) zeros and ones -> (C,) images a class."""
    found = labels.sum(0) if labels.ndim == 2 else np.bincount(labels, minlength=classes)
    return np.asarray(found, dtype=np.int64)


def gaps(
    names: Sequence[str], train: NDArray[np.int64], test: NDArray[np.int64]
) -> tuple[str, ...]:
    """Footnotes on classes (C,) of which there are no training, or no test images."""
    return tuple(
        f"{len(empty)} of {len(names)} classes have no {what} images: {some(empty)}"
        for what, counts in (("training", train), ("test", test))
        if (empty := [names[c] for c in np.flatnonzero(counts == 0).tolist()])
    )


def hash_strings(strings: Sequence[str]) -> str:
    """A 16-digit hash of a sequence of strings; no two different sequences are written alike."""
    digest = hashlib.sha256()
    for text in strings:
        data = text.encode()
        digest.update(f"{len(data)}:".encode() + data)
    return digest.hexdigest()[:16]
