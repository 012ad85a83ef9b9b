"""Metrics of test predictions. Accuracies are in percent; an empty group or class is None."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.protocol import GROUPS
from results.schema import Metrics

Array = NDArray[np.float64]


def single_label_metrics(
    predicted: NDArray[np.int64],
    confidence: Array,
    labels: NDArray[np.int64],
    membership: NDArray[np.str_],
) -> Metrics:
    """Accuracies of single-label predictions.

    Args:
        predicted: (N,) likeliest classes.
        confidence: (N,) their probabilities.
        labels: (N,) true classes.
        membership: (C,) groups, as from `group_of`.

    `overall` is over images; `balanced` and the groups are unweighted means over the classes that
    have test images.
    """
    classes = len(membership)
    right = predicted == labels
    total = np.bincount(labels, minlength=classes)
    hits = np.bincount(labels[right], minlength=classes)
    with np.errstate(invalid="ignore"):
        accuracy = 100.0 * hits / total  # NaN for a class without test images
    tested = accuracy[total > 0]
    return Metrics(
        overall=float(100.0 * right.mean()) if len(labels) else None,
        **_group_means(accuracy, membership),
        balanced=_mean(accuracy),
        worst_class=float(tested.min()) if tested.size else None,
        ece=expected_calibration_error(confidence, right),
        per_class=_by_class(accuracy),
    )


def multi_label_metrics(
    scores: NDArray[np.floating], labels: NDArray[np.int64], membership: NDArray[np.str_]
) -> Metrics:
    """Average precisions of multi-label predictions.

    Args:
        scores: (N, C); only their order within a class counts.
        labels: (N, C) zeros and ones; a sample may have no class, which then counts for none.
        membership: (C,) groups, as from `group_of`.

    `overall` (mAP) and the groups are unweighted means over the classes that have test images.
    """
    precision = 100.0 * average_precisions(scores, labels)
    tested = precision[~np.isnan(precision)]
    return Metrics(
        overall=_mean(precision),
        **_group_means(precision, membership),
        balanced=None,
        worst_class=float(tested.min()) if tested.size else None,
        ece=None,
        per_class=_by_class(precision),
    )


def _group_means(values: Array, membership: NDArray[np.str_]) -> dict[str, float | None]:
    """Means of (C,) `values` over the classes of each group."""
    return {name: _mean(values[membership == name]) for name in GROUPS}


def _mean(values: Array) -> float | None:
    """Mean of the classes that have a value; None where none has."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else None


def _by_class(values: Array) -> tuple[float | None, ...]:
    return tuple(None if np.isnan(value) else float(value) for value in values)


def average_precisions(scores: NDArray[np.floating], labels: NDArray[np.int64]) -> Array:
    """(C,) average precision of each class, in [0, 1]; NaN where no sample has the class.

    AP = sum_k (R_k - R_{k-1}) P_k over the distinct scores in falling order, without interpolation
    (as scikit-learn's `average_precision_score`): samples of equal score are taken together.

    Args:
        scores: (N, C); only their order within a class counts.
        labels: (N, C) zeros and ones.
    """
    result = np.full(labels.shape[1], np.nan)
    for c in range(labels.shape[1]):
        order = np.argsort(-scores[:, c], kind="stable")
        sorted_scores, hits = scores[order, c], np.cumsum(labels[order, c])
        if not len(hits) or hits[-1] == 0:
            continue
        last = np.append(np.flatnonzero(np.diff(sorted_scores)), len(hits) - 1)  # of equal scores
        precision, recall = hits[last] / (last + 1), hits[last] / hits[-1]
        result[c] = float((np.diff(recall, prepend=0.0) * precision).sum())
    return result


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
