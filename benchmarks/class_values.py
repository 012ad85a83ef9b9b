"""Summaries of values by class, and F1 of single-label predictions, with NumPy alone."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
FLOOR = 0.001
"""Lowest value of a class in a harmonic mean, in percent, as in LIFT's evaluator."""
WORST = 0.1
"""Share of the classes that are the worst ones."""


def harmonic_mean(values: Array) -> float:
    """Harmonic mean of (K,) percentages, each of which counts as at least `FLOOR`.

    LIFT's evaluator (Shi et al. 2024, `hmean_acc`) has the same floor. A class without any right
    prediction therefore does not make the mean 0, but it pulls it below C · 0.001 % for C classes.
    """
    return float(1.0 / (1.0 / np.maximum(values, FLOOR)).mean())


def geometric_mean(values: Array) -> float:
    """Geometric mean of (K,) percentages: 0 if one of them is.

    LIFT's evaluator (`gmean_acc`) multiplies the values, which underflows for thousands of classes;
    the logarithms here do not.
    """
    if (values <= 0).any():
        return 0.0
    return float(np.exp(np.log(values).mean()))


def worst_mean(values: Array, share: float = WORST) -> float:
    """Mean of the lowest of (K,) values: that share of them, rounded up, so at least one."""
    number = math.ceil(round(share * len(values), 9))
    return float(np.sort(values)[:number].mean())


def f1_of_predictions(
    predicted: NDArray[np.int64],
    labels: NDArray[np.int64],
    classes: int,
    weights: Array | None = None,
) -> Array:
    """(C,) F1 of each class in percent, 0 for a class that is neither there nor predicted.

    F1 = 2 TP / (2 TP + FP + FN), as scikit-learn's `f1_score(average=None, zero_division=0)`.

    Args:
        predicted: (N,) predicted classes.
        labels: (N,) true classes.
        classes: C.
        weights: (N,) weight of each image; by default all count alike.
    """
    right = predicted == labels
    hits, guesses, images = (
        np.bincount(which, weights=None if weights is None else weights[chosen], minlength=classes)
        for which, chosen in (
            (labels[right], right), (predicted, slice(None)), (labels, slice(None))
        )
    )  # fmt: skip
    both = guesses + images
    return np.asarray(200.0 * hits / np.where(both > 0, both, 1.0))
