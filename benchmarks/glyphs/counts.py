"""Numbers of training images per class in a long tail."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.errors import UserError
from benchmarks.head_tail import head_tail_counts


def tail_counts(
    classes: int, n_max: int, imbalance: float, profile: str, head_share: float, total: str
) -> NDArray[np.int64]:
    """(C,) counts by rank, the largest first, none below 1.

    Args:
        classes: C, 2 or more.
        n_max: count of the largest class if the total is free.
        imbalance: ratio of the largest to the smallest count.
        profile: `exp` (as in CIFAR-LT), `step` or `head_tail`.
        head_share: share of head classes in a step or in `head_tail`.
        total: `free`, or `fixed` to the total of `exp` at ratio 100 with this n_max.

    Raises:
        UserError: the parts of `head_tail`, which are numbers of images, cannot be had.
    """
    if profile == "head_tail":
        if total == "fixed":
            raise UserError("profile=head_tail needs total=free: its parts are numbers of images.")
        heads = int(head_share * classes)
        counts = head_tail_counts(n_max, n_max / imbalance, heads, classes - heads)
        return np.maximum(counts, 1)
    weights = _weights(classes, imbalance, profile, head_share)
    if total == "free":
        return np.array([max(1, int(n_max * w)) for w in weights], dtype=np.int64)
    reference = _weights(classes, 100.0, "exp", head_share)
    return _share_out(sum(max(1, int(n_max * w)) for w in reference), weights)


def _weights(classes: int, imbalance: float, profile: str, head_share: float) -> list[float]:
    """Counts relative to the largest, by rank."""
    smallest = 1.0 / imbalance
    if profile == "exp":
        # Rounded, so that the last bit of a platform's pow() cannot change an int() below.
        return [round(smallest ** (rank / (classes - 1)), 12) for rank in range(classes)]
    head = max(1, round(head_share * classes))
    return [1.0] * head + [smallest] * (classes - head)


def _share_out(total: int, weights: list[float]) -> NDArray[np.int64]:
    """`total` split in proportion to `weights`, at least 1 each.

    Bisection finds the largest n_max whose counts, rounded down, do not exceed the total. The
    remainder is distributed one by one to the largest fractions, lower ranks first.
    """
    low, high = 0.0, 2.0 * total  # weights[0] is 1, so n_max = 2 · total is too much
    for _ in range(100):
        middle = (low + high) / 2
        fits = sum(max(1, int(middle * w)) for w in weights) <= total
        low, high = (middle, high) if fits else (low, middle)
    counts = [max(1, int(low * w)) for w in weights]
    by_fraction = sorted(range(len(weights)), key=lambda i: (counts[i] - low * weights[i], i))
    for i in by_fraction[: total - sum(counts)]:
        counts[i] += 1
    return np.array(counts, dtype=np.int64)
