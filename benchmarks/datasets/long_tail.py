"""How a balanced training set is thinned out to a long-tailed one.

The recipe is that of Cao et al. 2019, "Learning Imbalanced Datasets with Label-Distribution-Aware
Margin Loss" (arXiv 1906.07413; code: kaidic/LDAM-DRW, `imbalance_cifar.py`), which most CIFAR-LT
results use. Their code seeds NumPy's global generator once and shuffles the classes' indices one
after another; a generator of one's own gives the same draws and disturbs nobody.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.errors import UserError

Profile = Literal["exp", "step"]
PROFILES = ("exp", "step")

Indices = NDArray[np.int64]


def class_counts(
    n_max: float, classes: int, imbalance: float, profile: str = "exp", head_share: float = 0.5
) -> Indices:
    """Training images for each class, the first class having the most.

    Args:
        n_max: images of the largest class.
        classes: number of classes C.
        imbalance: ratio of the largest to the smallest class.
        profile: `exp`: n_i = int(n_max · r^(i/(C−1))) with r = 1/imbalance; `step`: the first
            classes have n_max images each, the others int(n_max · r).
        head_share: share of the classes that are large under `step` (published: half).

    Returns:
        (C,) counts; a small n_max can leave a class with none.

    Raises:
        UserError: a parameter out of its range.
    """
    check(imbalance, profile, head_share)
    ratio = 1.0 / imbalance
    if profile == "step":
        heads = int(classes * head_share)
        counts = [int(n_max)] * heads + [int(n_max * ratio)] * (classes - heads)
    else:
        # Evaluated in the published order of operations: int() of a float near a whole number
        # would otherwise differ by one.
        counts = [int(n_max * ratio ** (i / max(classes - 1.0, 1.0))) for i in range(classes)]
    return np.array(counts, dtype=np.int64)


def check(imbalance: float, profile: str, head_share: float) -> None:
    """Refuse parameters that mean no distribution.

    Raises:
        UserError: naming the parameter and its range.
    """
    if not (math.isfinite(imbalance) and imbalance >= 1):
        raise UserError(f"imbalance={imbalance}: the ratio must be a number of 1 or more.")
    if profile not in PROFILES:
        raise UserError(f"profile='{profile}': known are {' and '.join(PROFILES)}.")
    if not 0 < head_share < 1:
        raise UserError(f"head_share={head_share}: must lie between 0 and 1.")


def refuse_idle_head_share(name: str, profile: str, head_share: float, default: float) -> None:
    """Refuse a head share that nothing would read.

    Raises:
        UserError: it is not the default, and the profile of the data set `name` is another.
    """
    if profile != "step" and head_share != default:
        raise UserError(f"{name}.head_share={head_share:g} needs profile=step.")


def draw(
    labels: Indices, counts: Indices, seed: int, spare: int = 0
) -> tuple[Indices, list[Indices]]:
    """Draw a long-tailed subset.

    Args:
        labels: (N,) class of each image, in the order that the recipe is defined over.
        counts: (C,) how many to draw of each class, as from `class_counts`.
        seed: the split seed.
        spare: how many further images of each class to name, of those not drawn.

    Returns:
        Indices of the drawn images, class by class in drawing order as the published code has
        them; and for each class the indices of up to `spare` others.
    """
    random = np.random.RandomState(seed)  # the legacy stream: the published draw is from it
    drawn, others = [], []
    for label, count in enumerate(counts):
        indices = np.flatnonzero(labels == label)
        random.shuffle(indices)
        drawn.append(indices[:count])
        others.append(indices[count : count + spare])
    return np.concatenate(drawn).astype(np.int64), others
