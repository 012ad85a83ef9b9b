"""Rules that hold for every method: groups of classes and training budgets.

Group rules differ between codebases and change the numbers, so each has a name and every record
names its rule:
`lift` (many > 100, few < 20; LIFT, classifier-balancing), `oltr` (>= 100, <= 20; OLTR),
`lmpt` (>= 100, < 20; LMPT), `thirds` (by rank, where fixed thresholds leave groups empty).
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

PROTOCOL_VERSION = 1
"""Part of every source fingerprint. Increase it when the same cell would give other numbers."""
PIXELS_VERSION = 2
"""Part of the fingerprint of every method that needs images. Increase it when training would see
other pixels of the same sample in the same epoch. 2: crops equal torchvision's at any size."""
FEATURES_VERSION = 2
"""Part of every source fingerprint and of the names of stored features. Increase it when the same
images or texts would have other frozen features, for example after a change to the towers' forward
pass. 2: texts pass through folded layers."""

CROPS = 5
"""Views of a test image with test-time ensembling: the four corners and the centre."""
UNREPEATABLE = "run with --no-deterministic: the same run need not repeat its numbers"
"""Footnote of records made with that flag; such a record is stale for a run without it."""

GroupRule = Literal["lift", "oltr", "lmpt", "thirds"]
GROUPS = ("many", "medium", "few")

EQUAL_BUDGET: dict[str, Any] = {"epochs": 5, "batch_size": 32, "augment": "none"}
"""Values that protocol `equal` sets for every method that has the field.

No augmentation, because methods on frozen features cannot use any. Batches of 32 instead of 128,
because with 128 training at the published learning rates had not converged after five epochs (on
validation draws of the embedded world).
"""


def budget(protocol: str, fields: Container[str]) -> dict[str, Any]:
    """The values that a protocol sets for a method's fields; a recipe or the user may override."""
    return {k: v for k, v in EQUAL_BUDGET.items() if k in fields} if protocol == "equal" else {}


def group_of(
    counts: NDArray[np.int64], rule: str, rank: NDArray[np.int64] | None = None
) -> NDArray[np.str_]:
    """The group of each class.

    Args:
        counts: (C,) training images per class.
        rule: one of `GroupRule`.
        rank: (C,) rank of each class in the long tail, 0 is the head, if the data set defines one
            independently of its counts. `thirds` breaks ties by it, so that the groups contain the
            same classes at any imbalance ratio.

    Returns:
        (C,) "many", "medium" or "few".
    """
    if rule == "thirds":
        # Without a rank, ties are broken by class index. If C is not a multiple of 3, the first
        # groups are the larger ones.
        order = np.lexsort((np.arange(len(counts)) if rank is None else rank, -counts))
        place = np.empty(len(counts), dtype=np.int64)
        place[order] = np.arange(len(counts))
        return np.array(GROUPS)[place * 3 // len(counts)]
    if rule not in get_args(GroupRule):
        raise ValueError(f"unknown group rule '{rule}'")
    many = counts > 100 if rule == "lift" else counts >= 100
    few = counts <= 20 if rule == "oltr" else counts < 20
    return np.where(many, "many", np.where(few, "few", "medium"))
