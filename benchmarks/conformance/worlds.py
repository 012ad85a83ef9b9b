"""Variants of the tiny world: few classes, rare classes, other words, another order of images."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.backbone.names import BackboneId
from benchmarks.backbones import Backbone
from benchmarks.conformance.tiny import selected, tiny_backbone, tiny_data
from benchmarks.datasets.base import ArrayImages, DataSet, Family, Split, TaskKind


def picked(split: Split, index: NDArray[np.int64]) -> Split:
    """Return the samples at `index`, in that order."""
    assert isinstance(split.images, ArrayImages)
    captions = split.captions
    return Split(
        ArrayImages(split.images.array[index]),
        split.labels[index],
        tuple(split.ids[i] for i in index),
        None if captions is None else tuple(captions[i] for i in index),
    )


def restricted(data: DataSet, classes: Sequence[int]) -> DataSet:
    """Return the data with only these classes and the images that have one of them."""
    keep = list(classes)

    def part(split: Split) -> Split:
        if split.labels.ndim == 2:
            index = np.flatnonzero(split.labels[:, keep].any(1))
            return dataclasses.replace(picked(split, index), labels=split.labels[index][:, keep])
        index = np.flatnonzero(np.isin(split.labels, keep))
        new = np.array([keep.index(label) for label in split.labels[index]], dtype=np.int64)
        return dataclasses.replace(picked(split, index), labels=new)

    descriptions = data.texts.descriptions
    texts = dataclasses.replace(
        data.texts,
        class_names=tuple(data.texts.class_names[i] for i in keep),
        descriptions=None if descriptions is None else tuple(descriptions[i] for i in keep),
    )
    return dataclasses.replace(
        data, texts=texts, train=part(data.train), test=part(data.test), validation=None,
        hierarchy=selected(data.hierarchy, keep),
    )  # fmt: skip


def thinned(data: DataSet, label: int, images: int) -> DataSet:
    """Return the data with at most `images` training images of one class."""
    labels = data.train.labels
    has = labels[:, label] > 0 if labels.ndim == 2 else labels == label
    index = np.sort(np.concatenate([np.flatnonzero(~has), np.flatnonzero(has)[:images]]))
    return dataclasses.replace(data, train=picked(data.train, index))


def disguised(split: Split, order: NDArray[np.int64]) -> Split:
    """Return the images in another order, with wrong labels."""
    return dataclasses.replace(picked(split, order), labels=np.roll(split.labels, 5, axis=0))


def own_backbone() -> Backbone:
    """Return a private copy of the tiny backbone; safe to mutate."""
    tiny = tiny_backbone()
    return dataclasses.replace(
        tiny, model=copy.deepcopy(tiny.model), preprocess=dict(tiny.preprocess)
    )


class Counting:
    """A tokenizer that records if it was used."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.used = False

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        self.used = True
        tokens: Tensor = self._tokenizer(*args, **kwargs)
        return tokens

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)


def ignorant(backbone: Backbone) -> tuple[Backbone, Counting]:
    """Return a backbone that counts as trained on other words, and its tokenizer."""
    ident = BackboneId("tiny/file", "file", "tiny", "file", "tiny-file")
    tokenizer = Counting(backbone.tokenizer)
    return dataclasses.replace(backbone, id=ident, tokenizer=tokenizer), tokenizer


@dataclass(frozen=True)
class TinyFamily(Family):
    """The tiny world as a data set family, for the runner."""

    kind: TaskKind = "single"

    name: ClassVar[str] = "tiny"
    version: ClassVar[str] = "1"

    @property
    def task(self) -> TaskKind:  # type: ignore[override]
        """The kind of labels."""
        return self.kind

    def load(self, root: Path, split_seed: int) -> DataSet:
        """Return the tiny world; `root` is not read."""
        return tiny_data(self.kind)

    def card(self) -> dict[str, str]:
        """Return nothing: the family is not listed."""
        return {}
