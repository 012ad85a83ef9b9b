"""Long-tail profiles, and the draw of a long-tailed subset from a balanced training set.

Both follow Cao et al. 2019, "Learning Imbalanced Datasets with Label-Distribution-Aware Margin
Loss" (arXiv 1906.07413; code: kaidic/LDAM-DRW, `imbalance_cifar.py`), as most CIFAR-LT results do.
Their code seeds NumPy's global generator once and shuffles the indices of one class after another.
A separate generator with the same seed draws the same images and leaves the global one alone.
The profile `head_tail` is that of LT-Soups (`benchmarks.head_tail`).
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.errors import UserError
from benchmarks.head_tail import head_tail_counts

Profile = Literal["exp", "step", "head_tail"]
PROFILES = ("exp", "step", "head_tail")

Indices = NDArray[np.int64]


def class_counts(
    n_max: float, classes: int, imbalance: float, profile: str = "exp", head_share: float = 0.5
) -> Indices:
    """Return the training images of each class, largest class first.

    Args:
        n_max: images of the largest class.
        classes: number of classes C.
        imbalance: ratio of the largest to the smallest class.
        profile: `exp`: n_i = int(n_max · r^(i/(C−1))) with r = 1/imbalance; `step`: the first
            classes have n_max images each, the others int(n_max · r); `head_tail`: exponential
            within the head, n_max to 101, and within the tail, 100 to n_max · r.
        head_share: share of large classes, for `step` and `head_tail` (published for `step`: half).

    Returns:
        (C,) counts; with a small n_max, a count may be 0.

    Raises:
        UserError: a parameter is out of its range.
    """
    check(imbalance, profile, head_share)
    ratio = 1.0 / imbalance
    if profile == "step":
        heads = int(classes * head_share)
        counts = [int(n_max)] * heads + [int(n_max * ratio)] * (classes - heads)
    elif profile == "head_tail":
        heads = int(classes * head_share)
        return head_tail_counts(n_max, n_max * ratio, heads, classes - heads)
    else:
        # Same order of operations as the published code: int() of a float near a whole number
        # could otherwise differ by one.
        counts = [int(n_max * ratio ** (i / max(classes - 1.0, 1.0))) for i in range(classes)]
    return np.array(counts, dtype=np.int64)


def check(imbalance: float, profile: str, head_share: float) -> None:
    """Refuse invalid profile parameters.

    Raises:
        UserError: a parameter is out of its range; the message gives the range.
    """
    if not (math.isfinite(imbalance) and imbalance >= 1):
        raise UserError(f"imbalance={imbalance}: the ratio must be a number of 1 or more.")
    if profile not in PROFILES:
        raise UserError(f"profile='{profile}': must be one of {', '.join(PROFILES)}.")
    if not 0 < head_share < 1:
        raise UserError(f"head_share={head_share}: must be between 0 and 1.")


def refuse_unused_head_share(name: str, profile: str, head_share: float, default: float) -> None:
    """Refuse a head share that the profile does not use.

    Raises:
        UserError: data set `name` has a head share other than the default, but profile `exp`.
    """
    if profile == "exp" and head_share != default:
        raise UserError(f"{name}.head_share={head_share:g} needs profile=step or head_tail.")


def draw(
    labels: Indices, counts: Indices, seed: int, spare: int = 0
) -> tuple[Indices, list[Indices]]:
    """Draw a long-tailed subset.

    Args:
        labels: (N,) class of each image, in the order that the draw is defined over.
        counts: (C,) number to draw from each class, as returned by `class_counts`.
        seed: the split seed.
        spare: number of images per class to return from those not drawn.

    Returns:
        Indices of the drawn images, class by class in drawing order as in the published code; and
        for each class the indices of up to `spare` images not drawn.
    """
    random = np.random.RandomState(seed)  # the legacy generator, as in the published draw
    drawn, others = [], []
    for label, count in enumerate(counts):
        indices = np.flatnonzero(labels == label)
        random.shuffle(indices)
        drawn.append(indices[:count])
        others.append(indices[count : count + spare])
    return np.concatenate(drawn).astype(np.int64), others
