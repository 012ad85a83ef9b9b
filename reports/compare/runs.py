"""Predictions of runs, read once, and what each test image contributes to each metric."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.metrics import Metric
from benchmarks.priors import prior_in
from reports.compare.parts import Array, accuracy_parts, precision_parts
from results.schema import Record

Read = Callable[[Record], Mapping[str, NDArray[Any]]]
"""Returns the predictions stored with a record."""
NEEDED = frozenset({"ids", "labels", "top5", "top5_prob", "true_prob", "scores", "right"})
"""Names of the prediction arrays that comparisons, figures and sets use, if present."""
Images = tuple[NDArray[np.str_], NDArray[np.int64]]
"""Sample ids in their order and labels, (N,) or (N, C)."""
Parts = Mapping[str, Array]
"""Metric -> (N,) contributions of the images."""
_KEPT = 48
"""Runs whose parts are kept: those of two rows, and of the rows that all others are compared with.
The parts of a run take 200 kB with 5,000 test images."""


class Runs:
    """The predictions of runs.

    Args:
        read: returns the predictions of a record.
        named: metrics over groups of classes that the user names.
    """

    def __init__(self, read: Read, named: Sequence[Metric] = ()) -> None:
        self._read, self._named = read, named
        self._runs: dict[str, _Run] = {}
        self._images: list[Images] = []
        self._kept: dict[str, Parts] = {}

    def images(self, record: Record) -> Images:
        """The test images of a run: the same object for equal images.

        Raises:
            UserError: the predictions are missing or damaged.
        """
        return self._run(record).images

    def parts(self, record: Record) -> Parts:
        """The parts of a run; those that were used last are kept.

        Raises:
            UserError: the predictions are missing or damaged.
        """
        found = self._kept.pop(record.key, None) or self._run(record).parts()
        self._kept[record.key] = found
        if len(self._kept) > _KEPT:
            del self._kept[next(iter(self._kept))]
        return found

    def _run(self, record: Record) -> _Run:
        if record.key not in self._runs:
            ids, labels, parts = _load(record, self._read(record), self._named)
            self._runs[record.key] = _Run(self._shared(ids, labels), parts)
        return self._runs[record.key]

    def _shared(self, ids: NDArray[np.str_], labels: NDArray[np.int64]) -> Images:
        """The same object for equal images, so that a hundred runs keep one copy."""
        for known in self._images:
            if np.array_equal(known[0], ids) and np.array_equal(known[1], labels):
                return known
        self._images.append((ids, labels))
        return self._images[-1]


@dataclass(frozen=True)
class _Run:
    """The predictions of a run, in the order of its sample ids."""

    images: Images
    parts: Callable[[], Parts]
    """Computes the parts; those that are quick to compute are not kept in memory."""


def _load(
    record: Record, data: Mapping[str, NDArray[Any]], named: Sequence[Metric]
) -> tuple[NDArray[np.str_], NDArray[np.int64], Callable[[], Parts]]:
    """Ids, labels and parts of a run."""
    assert record.groups is not None and record.metrics is not None
    order = np.argsort(data["ids"], kind="stable")
    labels = data["labels"][order].astype(np.int64)
    membership = np.array(record.groups.membership)
    if record.task == "multi":
        kept = precision_parts(data["scores"][order], labels, membership, named)
        return data["ids"][order], labels, lambda: kept
    right = data["right"][order] if "right" in data else data["top5"][order, 0] == labels
    # The smallest integer type for the labels, because a table may have hundreds of runs.
    small = labels.astype(np.min_scalar_type(max(len(membership) - 1, 0)))
    prior = prior_in(record.dataset_config, record.groups.train_counts)
    return data["ids"][order], small, lambda: accuracy_parts(right, small, membership, prior, named)
