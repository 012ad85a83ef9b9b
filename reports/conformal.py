"""Conformal prediction sets from stored probabilities: their coverage and size by class.

Split conformal sets with the usual score 1 - p(class). A record has no predictions on validation
images, so random halves of the test images calibrate the sets of the other halves, many times over;
reports say so. Coverage holds over images and may fail for rare classes: that is what Ding,
Fermanian and Salmon study on long-tailed data (arXiv 2507.06867; code:
tiffanyding/long-tail-conformal), whose share of classes below half coverage is reported, too.

Records keep the five highest probabilities and that of the true class. So coverage is exact, and so
are sizes up to four; of larger sets the size has bounds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.metrics import Array

SPLITS = 100
"""Random halves over which coverage and sizes are averaged."""
NEEDED = ("ids", "labels", "top5_prob", "true_prob")
"""Arrays of predictions that sets are made from."""


@dataclass(frozen=True)
class Sets:
    """Prediction sets of a run, averaged over the halves."""

    images: NDArray[np.int64]
    """(C,) test images of each class."""
    coverage: Array
    """(C,) share of the images of each class whose set has it, in percent; NaN without images."""
    smallest: Array
    """(C,) lower bound of the mean size of their sets."""
    largest: Array
    """(C,) upper bound; equal to the lower one where all sizes are known."""


def prediction_sets(
    arrays: Mapping[str, NDArray[Any]], classes: int, coverage: float, splits: int = SPLITS
) -> Sets:
    """Sets that have the true class of a new image with a probability of `coverage`.

    Args:
        arrays: predictions of a run on single-label data: `NEEDED`.
        classes: C.
        coverage: probability in percent, below 100.
        splits: number of random halves; they depend on the sample ids alone, so all runs on the
            same images have the same ones.
    """
    order = np.argsort(arrays["ids"], kind="stable")
    labels = arrays["labels"][order].astype(np.int64)
    true = arrays["true_prob"][order].astype(np.float64)
    top = arrays["top5_prob"][order].astype(np.float64)
    rest = np.maximum(1.0 - top.sum(1), 0.0)
    sums = np.zeros((4, classes))
    for number in range(splits):
        shuffled = np.random.default_rng([number, len(true)]).permutation(len(true))
        half, tested = np.array_split(shuffled, 2)
        least = threshold(true[half], coverage)
        known = (top[tested] >= least).sum(1)
        more = known + np.where(known == top.shape[1], _others(rest[tested], least, classes), 0)
        covered = true[tested] >= least
        for place, values in enumerate((np.ones(len(tested)), covered, known, more)):
            sums[place] += np.bincount(labels[tested], weights=values, minlength=classes)
    with np.errstate(invalid="ignore"):
        means = sums[1:] / sums[0]  # NaN for a class without images
    images = np.bincount(labels, minlength=classes)
    return Sets(images, 100.0 * means[0], means[1], np.minimum(means[2], classes))


def threshold(true: Array, coverage: float) -> float:
    """The least probability of a class in a set.

    With n calibration images it is the k-th highest probability of their true classes, for
    k = ceil((n + 1) coverage); 0 if there are too few images.

    Args:
        true: (n,) probabilities of the true classes of the calibration images.
        coverage: in percent.
    """
    rank = int(np.ceil(round((len(true) + 1) * coverage / 100.0, 9)))
    return float(np.sort(true)[len(true) - rank]) if rank <= len(true) else 0.0


def _others(rest: Array, least: float, classes: int) -> Array:
    """Most classes beyond the highest ones that can be in a set, given their probability."""
    if least <= 0.0:
        return np.full(len(rest), float(classes))
    return np.floor(rest / least + 1e-6)
