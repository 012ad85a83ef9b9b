"""Metrics as sums of what each test image contributes.

Every metric is a sum over strata of means of the parts that the test images contribute. For
accuracies this is exact (`accuracy_parts`; the strata are the classes, whose numbers of test images
are fixed by design). For average precision the parts are jackknife values (`precision_parts`; a
single stratum).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.average_precision import average_precisions, last_of_ties
from benchmarks.metrics import Metric, Outcome, class_weights, metrics_of, single_label_outcome

Array = NDArray[np.float64]


def compared_metrics(task: str) -> list[Metric]:
    """The metrics of which intervals are reported."""
    return [metric for metric in metrics_of(task) if metric.compared]


def accuracy_parts(
    right: NDArray[np.bool_],
    labels: NDArray[np.int64],
    membership: NDArray[np.str_],
    prior: Array | None = None,
    named: Sequence[Metric] = (),
) -> dict[str, Array]:
    """Contribution of each image to each metric of single-label data that is compared.

    Args:
        right: (N,) True where the prediction is the label.
        labels: (N,) true classes, the strata.
        membership: (C,) group of each class.
        prior: (C,) class prior of the test distribution, by default that of the test images.
        named: metrics over groups of classes that the user names.

    Returns:
        Metric -> (N,) parts in percent; a group without tested classes is left out.
    """
    outcome = single_label_outcome(right, labels, membership, prior=prior)
    share = class_weights(outcome)
    return {
        name: 100.0 * right * slopes[labels] + rest * share[labels]
        for name, slopes, rest in _linear(outcome, "single", named)
    }


def precision_parts(
    scores: NDArray[np.floating],
    labels: NDArray[np.int64],
    membership: NDArray[np.str_],
    named: Sequence[Metric] = (),
) -> dict[str, Array]:
    """Contribution of each image to each metric of multi-label data that is compared.

    These are jackknife values: the metric plus N - 1 times its loss without the image, centred so
    that their mean is the metric. All images are one stratum. The bootstrap is no better with few
    positives, and a thousand times slower.

    Args:
        scores: (N, C); only their order within a class counts.
        labels: (N, C) zeros and ones.
        membership: (C,) group of each class.
        named: metrics over groups of classes that the user names.

    Returns:
        Metric -> (N,) parts in percent; a group without tested classes is left out.
    """
    images = np.asarray(labels.sum(0))
    values = np.full(len(images), np.nan)
    if any(metric.weights is None for metric in compared_metrics("multi")):
        values = 100.0 * average_precisions(scores, labels)  # slow, and weighted means do without
    outcome = Outcome(values, images, membership)
    linear = _linear(outcome, "multi", named)
    parts = {name: np.full(len(labels), rest) for name, _, rest in linear}
    for c in np.flatnonzero(outcome.tested()):
        own = 100.0 * _precision_parts(scores[:, c], labels[:, c])
        for name, slopes, _ in linear:
            if slopes[c]:
                parts[name] += slopes[c] * own
    return parts


def part_steps(
    labels: NDArray[np.int64],
    membership: NDArray[np.str_],
    prior: Array | None = None,
    named: Sequence[Metric] = (),
) -> dict[str, Array]:
    """The most by which each part changes when the prediction of its image turns.

    Of average precision this is the loss of a positive image that falls behind all others.
    Intervals need it where no image was seen to turn.

    Args:
        labels: (N,) true classes, or (N, C) zeros and ones of multi-label data.
        membership: (C,) group of each class.
        prior: (C,) class prior of the test distribution, by default that of the test images.
        named: metrics over groups of classes that the user names.

    Returns:
        Metric -> (N,) in percent, zero for images that do not count. Only metrics that are weighted
        means of class values; of others the change depends on the predictions.
    """
    if labels.ndim == 1:
        none = np.zeros(len(labels), dtype=bool)
        outcome = single_label_outcome(none, labels, membership, prior=prior)
    else:
        outcome = Outcome(np.zeros(labels.shape[1]), labels.sum(0), membership)
    found = {}
    task = "single" if labels.ndim == 1 else "multi"
    for metric in [*compared_metrics(task), *named]:
        if metric.weights is None or not (weights := metric.weights(outcome)).any():
            continue
        if labels.ndim == 1:
            found[metric.key] = 100.0 * weights[labels]
        else:
            shares = weights / np.maximum(outcome.images, 1)
            found[metric.key] = 100.0 * len(labels) * (labels @ shares)
    return found


def _linear(outcome: Outcome, task: str, named: Sequence[Metric]) -> list[tuple[str, Array, float]]:
    """Each compared metric as a linear function of the class values: name, slopes, intercept.

    The function is exact for a weighted mean of the values. Any other metric is replaced by its
    tangent at the values (the delta method).
    """
    found = []
    for metric in [*compared_metrics(task), *named]:
        if metric.weights is not None:
            weights = metric.weights(outcome)
            if weights.any():
                found.append((metric.key, weights, 0.0))
        elif (value := metric.function(outcome)) is not None:
            slopes = metric.slopes(outcome)
            rest = value - float(slopes @ np.nan_to_num(outcome.values))
            found.append((metric.key, slopes, rest))
    return found


def _precision_parts(scores: NDArray[np.floating], labels: NDArray[np.int64]) -> Array:
    """(N,) jackknife values of a class's average precision, which is their mean.

    AP = sum over blocks of equal score of (new positives) · (precision so far) / (positives).
    Leaving out an image changes the precisions at its own block and below by one image, and by one
    positive if it is one.
    """
    number = len(scores)
    order = np.argsort(-scores, kind="stable")
    y = labels[order].astype(np.float64)
    last = last_of_ties(scores[order])  # of each block
    block = np.repeat(np.arange(len(last)), np.diff(last, prepend=-1))
    hits, above = np.cumsum(y)[last], last + 1.0
    new, total, fewer = np.diff(hits, prepend=0.0), hits[-1], np.maximum(last, 1.0)
    value = float((new * hits / above).sum() / total)
    before = np.cumsum(new * hits / above) - new * hits / above
    at = hits / fewer
    without_negative = (before + new * at + _after(new * at)) / total
    at = (hits - 1) / fewer
    # Without its only positive a class has no average precision; it counts as 0 then.
    without_positive = (before + (new - 1) * at + _after(new * at)) / max(total - 1, 1.0)
    without = np.where(y > 0, without_positive[block], without_negative[block])
    parts = np.empty(number)
    parts[order] = value + (number - 1) * (without.mean() - without)
    return parts


def _after(values: Array) -> Array:
    """The sum of the values after each position."""
    return np.asarray(np.cumsum(values[::-1])[::-1] - values)
