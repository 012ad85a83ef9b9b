"""Predictions of runs for single test images, small enough for a page."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.calibration_error import BINS, bin_of
from benchmarks.errors import UserError
from benchmarks.metrics import single_label_outcome
from benchmarks.priors import prior_in
from benchmarks.protocol import GROUPS
from reports.compare.parts import compared_metrics
from reports.compare.runs import Read
from reports.figures.outcomes import image_weights
from reports.page.packing import bits, packed
from results.schema import Record

LARGEST = 7_000_000
"""Characters of all predictions of a page; runs beyond have none."""


class Predicted:
    """The predictions of runs on single-label data.

    Images are sorted by class, then by id, so that the numbers of images by class tell the labels.
    A run has one bit for each image, whether it is right, and the predicted class of those that are
    wrong: half of what the classes of all images take. Probabilities become sums over bins.

    Args:
        read: returns the predictions of a record; None if there are none.
    """

    def __init__(self, read: Read | None) -> None:
        self._read = read
        self._sets: list[tuple[NDArray[np.str_], NDArray[np.int64]]] = []
        self._weights: dict[tuple[int, tuple[str, ...], bytes | None], int] = {}
        self.weights: list[dict[str, str]] = []
        """Weights of the classes in each compared metric, (C,) float64, for each set of test images
        and groups of classes."""
        self._size = 0
        self.left_out = 0
        """Runs without predictions because the page would become too large."""

    def sets(self) -> list[str]:
        """For each set of test images, the number of images of each class: (C,) uint32."""
        return [packed(np.bincount(labels).astype(np.uint32)) for _, labels in self._sets]

    def of(self, record: Record) -> dict[str, Any]:
        """The predictions of a run; empty if it has none or they would be too large."""
        if self._read is None or record.status != "done" or record.task != "single":
            return {}
        if self._size > LARGEST:
            self.left_out += 1
            return {}
        try:
            arrays = self._read(record)
        except UserError:  # the tables say which rows could not be tested
            return {}
        order = np.lexsort((arrays["ids"], arrays["labels"]))
        labels = arrays["labels"][order].astype(np.int64)
        right = arrays["right"] if "right" in arrays else arrays["top5"][:, 0] == arrays["labels"]
        right = right[order]
        number = self._set(arrays["ids"][order], labels)
        found: dict[str, Any] = {
            "images": number,
            "weights": self._weights_of(number, record),
            "right": bits(right),
        }
        if "top5" in arrays:
            small = np.uint8 if len(record.class_names) <= 256 else np.uint16
            found["wrong"] = packed(arrays["top5"][order, 0][~right].astype(small))
        if "top5_prob" in arrays:
            assert record.groups is not None
            groups = np.array(record.groups.membership)[labels]
            weights = image_weights(record, labels)[labels]
            found["bins"] = packed(_bins(arrays["top5_prob"][order, 0], right, groups, weights))
        self._size += sum(len(value) for value in found.values() if isinstance(value, str))
        return found

    def _weights_of(self, number: int, record: Record) -> int:
        assert record.groups is not None
        prior = prior_in(record.dataset_config, record.groups.train_counts)
        key = number, record.groups.membership, None if prior is None else prior.tobytes()
        if key not in self._weights:
            labels = self._sets[number][1]
            none = np.zeros(len(labels), dtype=bool)
            members = np.array(record.groups.membership)
            outcome = single_label_outcome(none, labels, members, prior=prior)
            found = {
                metric.key: metric.weights(outcome)
                for metric in compared_metrics(record.task)
                if metric.weights is not None
            }
            self._weights[key] = len(self.weights)
            self.weights.append({key: packed(own) for key, own in found.items() if own.any()})
        return self._weights[key]

    def _set(self, ids: NDArray[np.str_], labels: NDArray[np.int64]) -> int:
        for number, known in enumerate(self._sets):
            if np.array_equal(known[0], ids) and np.array_equal(known[1], labels):
                return number
        self._sets.append((ids, labels))
        return len(self._sets) - 1


def _bins(
    confidence: NDArray[np.float32],
    right: NDArray[np.bool_],
    groups: NDArray[np.str_],
    weights: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Images, sum of confidence and right ones in each bin of each group: (3 groups, BINS, 3).

    Each image counts by its weight.

    Args:
        confidence: (N,) probability of the predicted class.
        right: (N,) True where it is the true one.
        groups: (N,) group of the true class.
        weights: (N,) weight of each image.
    """
    place = bin_of(confidence)
    found = np.zeros((len(GROUPS), BINS, 3), dtype=np.float32)
    for own, group in zip(found, GROUPS, strict=True):
        chosen = groups == group
        for column, values in enumerate([weights, weights * confidence, weights * right]):
            own[:, column] = np.bincount(place[chosen], values[chosen], BINS)
    return found
