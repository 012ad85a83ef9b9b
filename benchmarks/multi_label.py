"""Ranking and decisions of multi-label scores: AUROC, thresholds and F1 by class, with NumPy alone.

A threshold is chosen on validation images and never on the images that it is tested on.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.average_precision import last_of_ties

Array = NDArray[np.float64]


def aurocs(scores: NDArray[np.floating], labels: NDArray[np.int64]) -> Array:
    """(C,) area under the ROC curve of each class, in [0, 1].

    The probability that a positive has a higher score than a negative, where equal scores count
    half (Mann and Whitney's U divided by the number of pairs).

    Args:
        scores: (N, C); only their order within a class counts.
        labels: (N, C) zeros and ones.

    Returns:
        NaN for a class that all samples have, or none.
    """
    result = np.full(labels.shape[1], np.nan)
    for c in range(labels.shape[1]):
        positives = int(labels[:, c].sum())
        negatives = len(labels) - positives
        if not positives or not negatives:
            continue
        _, block, sizes = np.unique(scores[:, c], return_inverse=True, return_counts=True)
        # Mean place from 1 of each sample in rising order; those of equal score share it.
        places = (np.cumsum(sizes) - (sizes - 1) / 2)[block]
        above = places[labels[:, c] > 0].sum() - positives * (positives + 1) / 2
        result[c] = above / (positives * negatives)
    return result


def f1_thresholds(
    scores: NDArray[np.floating], labels: NDArray[np.int64]
) -> tuple[float | None, ...]:
    """The threshold of each class with the highest F1 on these samples.

    A sample has the class if its score is the threshold or above. Thresholds are scores that occur;
    of several with the same F1 the highest counts.

    Args:
        scores: (V, C) finite scores of validation samples.
        labels: (V, C) zeros and ones.

    Returns:
        C thresholds; None for a class without positives, which is then never predicted.
    """
    found: list[float | None] = []
    for c in range(labels.shape[1]):
        order = np.argsort(-scores[:, c], kind="stable")
        hits = np.cumsum(labels[order, c])
        if not len(hits) or hits[-1] == 0:
            found.append(None)
            continue
        last = last_of_ties(scores[order, c])
        f1 = 2.0 * hits[last] / (last + 1 + hits[-1])
        found.append(float(scores[order[last[int(f1.argmax())]], c]))
    return tuple(found)


def f1_at(
    thresholds: Sequence[float | None],
    scores: NDArray[np.floating],
    labels: NDArray[np.int64],
) -> Array:
    """(C,) F1 in percent of the decisions at given thresholds; 0 without a hit.

    Args:
        thresholds: C, as from `f1_thresholds` on other samples.
        scores: (N, C).
        labels: (N, C) zeros and ones.
    """
    least = np.array([np.inf if value is None else value for value in thresholds])
    chosen = scores >= least
    hits = (chosen & (labels > 0)).sum(0)
    both = chosen.sum(0) + labels.sum(0)
    return np.asarray(200.0 * hits / np.maximum(both, 1))
