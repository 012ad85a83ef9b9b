"""The rules every method is measured by: groups of classes, metrics, budgets.

Group rules differ between codebases and move numbers, so each has a name and is in every record:
`lift` (many > 100, few < 20; LIFT, classifier-balancing), `oltr` (>= 100, <= 20; OLTR),
`lmpt` (>= 100, < 20; LMPT), `thirds` (by rank, where fixed thresholds leave groups empty).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

PROTOCOL_VERSION = 1
"""Raise when the same cell would give other numbers: it is part of every source fingerprint."""

GroupRule = Literal["lift", "oltr", "lmpt", "thirds"]
GROUPS = ("many", "medium", "few")

EQUAL_BUDGET: dict[str, Any] = {"epochs": 5, "batch_size": 32, "augment": "none"}
"""What protocol `equal` sets for every method that has the field.

No augmentation, because methods on frozen features cannot have any. Batches of 32 rather than 128,
because with 128 the published learning rates had not arrived after five epochs (seen on validation
draws of the embedded world).
"""

Array = NDArray[np.float64]


def group_of(counts: NDArray[np.int64], rule: str) -> NDArray[np.str_]:
    """The group of each class.

    Args:
        counts: (C,) training images a class.
        rule: one of `GroupRule`.

    Returns:
        (C,) "many", "medium" or "few".
    """
    if rule == "thirds":
        # Ties are broken by class index; the larger groups come first when C is no multiple of 3.
        rank = np.empty(len(counts), dtype=np.int64)
        rank[np.argsort(-counts, kind="stable")] = np.arange(len(counts))
        return np.array(GROUPS)[rank * 3 // len(counts)]
    if rule not in ("lift", "oltr", "lmpt"):
        raise ValueError(f"no group rule is called '{rule}'")
    many = counts > 100 if rule == "lift" else counts >= 100
    few = counts <= 20 if rule == "oltr" else counts < 20
    return np.where(many, "many", np.where(few, "few", "medium"))


@dataclass(frozen=True)
class SingleLabelMetrics:
    """Metrics of one test run, accuracies in percent; None where a group or class is empty."""

    overall: float | None
    many: float | None
    medium: float | None
    few: float | None
    balanced: float | None
    worst_class: float | None
    ece: float | None
    per_class: tuple[float | None, ...]


def single_label_metrics(
    probabilities: Array, labels: NDArray[np.int64], membership: NDArray[np.str_]
) -> SingleLabelMetrics:
    """Accuracies of single-label predictions.

    Args:
        probabilities: (N, C) rows that sum to one.
        labels: (N,) true classes.
        membership: (C,) groups, as from `group_of`.

    `overall` is over images; `balanced` and the groups are unweighted means over the classes that
    have test images.
    """
    classes = probabilities.shape[1]
    predicted = probabilities.argmax(1)
    right = predicted == labels
    total = np.bincount(labels, minlength=classes)
    hits = np.bincount(labels[right], minlength=classes)
    with np.errstate(invalid="ignore"):
        accuracy = 100.0 * hits / total

    def mean(mask: NDArray[np.bool_]) -> float | None:
        values = accuracy[mask & (total > 0)]
        return float(values.mean()) if values.size else None

    everyone = np.ones(classes, dtype=bool)
    tested = accuracy[total > 0]
    return SingleLabelMetrics(
        overall=float(100.0 * right.mean()) if len(labels) else None,
        many=mean(membership == "many"),
        medium=mean(membership == "medium"),
        few=mean(membership == "few"),
        balanced=mean(everyone),
        worst_class=float(tested.min()) if tested.size else None,
        ece=expected_calibration_error(probabilities.max(1), right),
        per_class=tuple(float(a) if n else None for a, n in zip(accuracy, total, strict=True)),
    )


def expected_calibration_error(
    confidence: Array, right: NDArray[np.bool_], bins: int = 15
) -> float | None:
    """Mean gap between confidence and accuracy in percent over equal-width bins (Guo et al. 2017).

    Args:
        confidence: (N,) probability of the predicted class.
        right: (N,) whether it was the true class.
        bins: number of bins on (0, 1].
    """
    if not len(confidence):
        return None
    which = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(which, weights=confidence - right, minlength=bins)
    return float(100.0 * np.abs(gaps).sum() / len(confidence))
