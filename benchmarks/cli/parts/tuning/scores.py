"""The score of a trial, its standard error, and the images and classes that it rests on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.protocol import GROUPS
from reports.compare.intervals import Interval, paired_interval
from reports.compare.parts import accuracy_parts, part_steps, precision_parts
from reports.compare.runs import Read
from results.schema import Record

OBJECTIVES = {"single": "balanced accuracy (%)", "multi": "mAP (%)"}
_METRICS = {"single": "balanced", "multi": "overall"}


@dataclass(frozen=True, eq=False)
class Score:
    """The objective of a trial, from the images that its models were not fitted on."""

    parts: NDArray[np.float64]
    """(R, N) parts that N images contribute to the objective in R runs, in percent."""
    strata: NDArray[np.int64]
    """(N,) class of each image, or zeros for multi-label data."""
    steps: NDArray[np.float64]
    """(N,) change of a part when its image turns, so that no standard error is zero."""

    @property
    def value(self) -> float:
        """Mean over the runs, in percent."""
        return self._interval.a

    @property
    def error(self) -> float:
        """Standard error in points: over the images and over the runs, with the classes fixed.

        A single run cannot show how much runs vary, so its standard error leaves that out.
        """
        return _standard_error(self._interval)

    def near(self, other: Score) -> bool:
        """True if this score is less than one standard error below another, image by image.

        The standard error is that of the difference on the same images (the rule of one standard
        error; Breiman et al. 1984, section 3.4.3, with pairs).
        """
        paired = paired_interval(other.parts, self.parts, self.strata, self.steps)
        return paired.difference <= _standard_error(paired)

    @cached_property
    def _interval(self) -> Interval:
        return paired_interval(self.parts, np.zeros_like(self.parts), self.strata, self.steps)


def _standard_error(interval: Interval) -> float:
    return math.sqrt(interval.images.variance + interval.own_variance())


def score_of(runs: Sequence[Sequence[Record]], read: Read) -> Score:
    """The score of a trial.

    Args:
        runs: for each run, the records of its folds. The predictions of all folds are pooled.
        read: reads the predictions of a record.

    Raises:
        UserError: predictions that cannot be read.
    """
    rows = []
    for folds in runs:
        pooled = _pooled(folds, read)
        labels, groups = pooled["labels"], _membership(folds[0])
        if folds[0].task == "multi":
            parts = precision_parts(pooled["scores"], labels, groups)
            strata = np.zeros(len(labels), dtype=np.int64)
        else:
            strata = labels.astype(np.int64)
            parts = accuracy_parts(pooled["top5"][:, 0] == strata, strata, groups)
        metric = _METRICS[folds[0].task]
        rows.append(parts[metric])
    return Score(np.stack(rows), strata, part_steps(labels, groups)[metric])


@dataclass(frozen=True)
class Scored:
    """The images and classes that score the trials of a search."""

    images: int
    classes: Mapping[str, tuple[int, int]]
    """Group of classes -> number of its classes with images, and of all; `all` comes first."""
    left_out: tuple[int, ...]
    """Training images of the classes without images, ascending."""

    @property
    def blind(self) -> list[str]:
        """Groups of which no class is scored."""
        return [name for name, (scored, whole) in self.classes.items() if whole and not scored]

    def as_texts(self) -> dict[str, Any]:
        """The numbers as a recipe holds them, such as {images: 14, classes: 4 of 10}."""
        counts = {name: f"{scored} of {whole}" for name, (scored, whole) in self.classes.items()}
        return {"images": self.images, "classes": counts.pop("all"), **counts}


def scored_by(folds: Sequence[Record], read: Read) -> Scored:
    """The images and classes that score a trial.

    Args:
        folds: the records of the folds of one run.
        read: reads the predictions of a record.

    Raises:
        UserError: predictions that cannot be read.
    """
    labels, groups = _pooled(folds, read)["labels"], _membership(folds[0])
    classes = len(groups)
    images = labels.sum(0) if labels.ndim == 2 else np.bincount(labels, minlength=classes)
    tested = np.asarray(images) > 0
    assert folds[0].groups is not None
    train = np.array(folds[0].groups.train_counts)
    counts = {"all": (int(tested.sum()), classes)}
    for name in GROUPS:
        mine = groups == name
        if mine.any():
            counts[name] = int((tested & mine).sum()), int(mine.sum())
    return Scored(len(labels), counts, tuple(sorted(train[~tested].tolist())))


def _pooled(folds: Sequence[Record], read: Read) -> dict[str, NDArray[Any]]:
    found = [read(record) for record in folds]
    names = found[0].keys() & {"labels", "top5", "scores"}
    return {name: np.concatenate([arrays[name] for arrays in found]) for name in names}


def _membership(record: Record) -> NDArray[np.str_]:
    assert record.groups is not None
    return np.array(record.groups.membership)
