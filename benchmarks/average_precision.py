"""Average precision of multi-label scores, with NumPy alone.

A module of its own because methods choose epochs by it: it is part of their fingerprints, and the
declarations of metrics are not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def average_precisions(
    scores: NDArray[np.floating], labels: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(C,) average precision of each class, in [0, 1]; NaN if no sample has the class.

    AP = sum_k (R_k - R_{k-1}) P_k over the distinct scores in falling order, without interpolation
    (as scikit-learn's `average_precision_score`): samples of equal score count together.

    Args:
        scores: (N, C), infinities allowed; only their order within a class counts.
        labels: (N, C) zeros and ones.
    """
    result = np.full(labels.shape[1], np.nan)
    for c in range(labels.shape[1]):
        order = np.argsort(-scores[:, c], kind="stable")
        hits = np.cumsum(labels[order, c])
        if not len(hits) or hits[-1] == 0:
            continue
        last = last_of_ties(scores[order, c])
        precision, recall = hits[last] / (last + 1), hits[last] / hits[-1]
        result[c] = float((np.diff(recall, prepend=0.0) * precision).sum())
    return result


def last_of_ties(scores: NDArray[np.floating]) -> NDArray[np.intp]:
    """Indices of the last of each run of equal scores, of one or more sorted (N,) scores."""
    # Not `np.diff`: the difference of two equal infinities is NaN.
    return np.append(np.flatnonzero(scores[1:] != scores[:-1]), len(scores) - 1)
