"""Expected calibration error: how far confidence and accuracy are apart (Guo et al. 2017)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
BINS = 15
"""Bins of equal width on (0, 1]."""


def bin_of(confidence: NDArray[Any], bins: int = BINS) -> NDArray[np.int64]:
    """(N,) the bin of each confidence (N,), from 0; the upper end of a bin belongs to it."""
    found: NDArray[np.int64] = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    return found


def expected_calibration_error(
    confidence: Array, right: NDArray[np.bool_], bins: int = BINS, weights: Array | None = None
) -> float | None:
    """Mean gap between confidence and accuracy in percent over equal-width bins.

    Args:
        confidence: (N,) probability of the predicted class.
        right: (N,) True where it was the true class.
        bins: number of bins on (0, 1].
        weights: (N,) weight of each image; by default all count alike.
    """
    if not len(confidence):
        return None
    which = bin_of(confidence, bins)
    if weights is None:
        gaps = np.bincount(which, weights=confidence - right, minlength=bins)
        return float(100.0 * np.abs(gaps).sum() / len(confidence))
    gaps = np.bincount(which, weights=weights * (confidence - right), minlength=bins)
    return float(100.0 * np.abs(gaps).sum() / weights.sum())
