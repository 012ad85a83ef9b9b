"""Trainings on a part of the training images.

some = limited(task, 20, "first")       # at most 20 images of every class
part = restricted(task, some)           # a task with these images and their counts
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks import randomness
from benchmarks.augment import InEpoch
from methods.base import Batch, Samples, Task


def limited(task: Task, most: int, *purpose: str | int) -> NDArray[np.int64]:
    """(M,) positions of at most `most` training images of every class, drawn at random.

    The draw is keyed by seed, purpose and sample id: permuting the classes changes nothing, and a
    class's images do not depend on the other classes.

    Args:
        task: single-label task.
        most: images of a class.
        purpose: key of the draw.
    """
    order = randomness.shuffled(task.train.keys, task.seed, "subset", *purpose)
    labels = task.train.labels.cpu().numpy()[order]
    rank = np.empty(len(labels), dtype=np.int64)  # of each image among those of its class
    for label in np.unique(labels):
        rank[labels == label] = np.arange((labels == label).sum())
    positions: NDArray[np.int64] = np.sort(order[rank < most])
    return positions


def restricted(task: Task, positions: NDArray[np.int64]) -> Task:
    """The task with some of its training images, and with their counts."""
    train = Subset(task.train, positions)
    counts = torch.bincount(train.labels, minlength=task.num_classes).to(task.counts)
    return dataclasses.replace(task, train=train, counts=counts)


class Subset:
    """Some of the samples of a split, as `methods.base.Samples`.

    Args:
        whole: all samples.
        positions: (M,) positions of the chosen ones.
    """

    def __init__(self, whole: Samples, positions: NDArray[np.int64]) -> None:
        self._whole = whole
        self._positions = positions
        self._chosen = torch.from_numpy(positions).to(whole.labels.device)
        self.labels = whole.labels[self._chosen]

    def __len__(self) -> int:
        return len(self._positions)

    @property
    def keys(self) -> NDArray[np.uint64]:
        return self._whole.keys[self._positions]

    @property
    def captions(self) -> tuple[str, ...] | None:
        every = self._whole.captions
        return None if every is None else tuple(every[i] for i in self._positions)

    def features(self) -> Tensor:
        return self._whole.features()[self._chosen]

    def batch(
        self,
        index: NDArray[np.int64],
        *,
        needs: str,
        augment: InEpoch = "none",
        stream: tuple[Any, ...] = (),
    ) -> Batch:
        return next(self.loader([index], needs=needs, augment=augment, stream=stream))

    def loader(
        self,
        parts: Sequence[NDArray[np.int64]],
        *,
        needs: str,
        augment: InEpoch = "none",
        stream: tuple[Any, ...] = (),
    ) -> Iterator[Batch]:
        there = [self._positions[part] for part in parts]
        # One copy to the device for all batches, as in `feature_batches`.
        every = torch.from_numpy(np.concatenate(parts)).to(self.labels.device)
        places = every.split([len(part) for part in parts])
        batches = self._whole.loader(there, needs=needs, augment=augment, stream=stream)
        for place, batch in zip(places, batches, strict=True):
            yield Batch(place, batch.features, batch.images)
