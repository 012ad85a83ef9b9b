"""Facts about the skew of a data set's training counts, for cards."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.protocol import group_of

Counts = NDArray[np.int64]


def gini(counts: Counts) -> float:
    """Gini coefficient of (C,) counts: 0 if all are equal, near 1 if one class has everything.

    The mean absolute difference of two classes divided by twice the mean count.
    """
    rising = np.sort(counts).astype(np.float64)
    places = 2 * np.arange(1, len(rising) + 1) - len(rising) - 1
    return float((places * rising).sum() / (len(rising) * max(rising.sum(), 1.0)))


def head_share(counts: Counts, groups: NDArray[np.str_]) -> float:
    """Share of the training images that the classes of the group `many` have, from 0 to 1.

    Args:
        counts: (C,) images of each class; a multi-label image counts for each of its classes.
        groups: (C,) group of each class.
    """
    return float(counts[groups == "many"].sum() / max(counts.sum(), 1))


def skew_facts(counts: Counts, task: str, rule: str = "auto") -> dict[str, str]:
    """Facts that `show` prints about training counts.

    Args:
        counts: (C,) images of each class.
        task: `single` or `multi`.
        rule: rule of the groups; `auto` takes that of the task.
    """
    if rule == "auto":
        rule = "lift" if task == "single" else "lmpt"
    groups = group_of(counts, rule)
    head, share = int((groups == "many").sum()), 100 * head_share(counts, groups)
    of = "training images" if task == "single" else "training labels"
    return {
        "skew": f"Gini coefficient {gini(counts):.2f}; head: the {head} many-shot classes of "
        f"{len(counts)} have {share:.0f} % of the {of}"
    }
