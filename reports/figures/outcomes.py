"""Test predictions of runs, read once for tables and figures, and the little that figures keep.

Figures need the predicted classes and their probabilities. Runs whose predictions are not there, or
of which only the correctness is kept, have none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.errors import UserError
from benchmarks.priors import prior_in
from benchmarks.protocol import GROUPS
from reports.compare.comparison import Comparer
from reports.compare.intervals import Interval
from reports.compare.runs import Read
from reports.table import Row, Table
from results.schema import Record


@dataclass(frozen=True)
class Run:
    """The test predictions of a run on single-label data."""

    label: NDArray[np.int64]
    """(N,) true classes."""
    predicted: NDArray[np.int64]
    """(N,) likeliest classes."""
    confidence: NDArray[np.float32]
    """(N,) their probabilities."""
    group: NDArray[np.int8]
    """(C,) index in GROUPS of each class."""

    nearest: NDArray[np.int64] | None
    """(C,) class whose name is nearest to that of each class; None in records made before."""
    weight: NDArray[np.float64]
    """(C,) weight of a test image of each class, 1 on average: what the class prior of the test
    distribution makes of it."""

    @property
    def right(self) -> NDArray[np.bool_]:
        """(N,) True where the likeliest class is the true one."""
        return np.asarray(self.predicted == self.label)

    def of_group(self, name: str) -> NDArray[np.bool_]:
        """(N,) True for the images of a group's classes."""
        return np.asarray(self.group[self.label] == GROUPS.index(name))


class Outcomes:
    """The predictions of the runs of a report.

    Args:
        read: returns the predictions of a record.
    """

    def __init__(self, read: Read) -> None:
        self._read = read
        self._runs: dict[str, Run | None] = {}

    def read(self, record: Record) -> Mapping[str, NDArray[Any]]:
        """The predictions of a record, of which the part for figures is kept.

        Raises:
            UserError: they are missing or damaged.
        """
        data = self._read(record)
        if record.key not in self._runs:
            self._runs[record.key] = _run(record, data)
        return data

    def runs(self, row: Row) -> list[Run]:
        """The runs of a row on single-label data; empty if the predictions of one are not there."""
        found = [self._run(record) for record in row.done]
        return [run for run in found if run is not None] if None not in found else []

    def _run(self, record: Record) -> Run | None:
        if record.key not in self._runs:
            try:
                self.read(record)
            except UserError:
                self._runs[record.key] = None
        return self._runs[record.key]

    def difference(self, table: Table, a: Row, b: Row, metric: str) -> Interval | None:
        """The interval of A - B; None for an empty group, and where it cannot be computed."""
        try:
            return Comparer(self.read).interval(table, a, b, metric)
        except UserError:
            return None


def image_weights(record: Record, labels: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the weight of a test image of each class, (C,), 1 on average over the images.

    Args:
        record: of single-label data, under a class prior or as it was measured.
        labels: (N,) true classes.
    """
    assert record.groups is not None
    classes = len(record.groups.membership)
    prior = prior_in(record.dataset_config, record.groups.train_counts)
    if prior is None:
        return np.ones(classes)
    images = np.bincount(labels, minlength=classes)
    weights = prior / np.maximum(images, 1)
    return np.asarray(weights * len(labels) / max(float(weights @ images), np.finfo(float).tiny))


def _run(record: Record, data: Mapping[str, NDArray[Any]]) -> Run | None:
    if record.task != "single" or record.groups is None or not {"top5", "top5_prob"} <= data.keys():
        return None
    small = np.min_scalar_type(max(len(record.groups.membership) - 1, 0))
    return Run(
        label=data["labels"].astype(small),
        predicted=data["top5"][:, 0].astype(small),
        confidence=data["top5_prob"][:, 0].astype(np.float32),
        nearest=np.array(record.nearest) if record.nearest else None,
        group=np.array([GROUPS.index(name) for name in record.groups.membership], dtype=np.int8),
        weight=image_weights(record, data["labels"]),
    )
