"""The rules every method is measured by: groups of classes and budgets.

Group rules differ between codebases and move numbers, so each has a name and is in every record:
`lift` (many > 100, few < 20; LIFT, classifier-balancing), `oltr` (>= 100, <= 20; OLTR),
`lmpt` (>= 100, < 20; LMPT), `thirds` (by rank, where fixed thresholds leave groups empty).
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

PROTOCOL_VERSION = 1
"""Raise when the same cell would give other numbers: it is part of every source fingerprint."""
PIXELS_VERSION = 2
"""Raise when training on images would see other pixels of the same sample in the same epoch: it is
part of the fingerprint of every method that needs images. 2: crops as torchvision's in any size."""
FEATURES_VERSION = 2
"""Raise when the same images or texts would have other frozen features, by another pass of the
towers for example: it is part of every source fingerprint and of the names of stored features. 2:
texts through folded layers."""

UNREPEATABLE = "run with --no-deterministic: the same run need not repeat its numbers"
"""The footnote of such a record, which is stale for a run without that flag."""

GroupRule = Literal["lift", "oltr", "lmpt", "thirds"]
GROUPS = ("many", "medium", "few")

EQUAL_BUDGET: dict[str, Any] = {"epochs": 5, "batch_size": 32, "augment": "none"}
"""What protocol `equal` sets for every method that has the field.

No augmentation, because methods on frozen features cannot have any. Batches of 32 rather than 128,
because with 128 the published learning rates had not arrived after five epochs (seen on validation
draws of the embedded world).
"""


def budget(protocol: str, fields: Container[str]) -> dict[str, Any]:
    """What a protocol sets of a method's fields; a recipe or the user may still change it."""
    return {k: v for k, v in EQUAL_BUDGET.items() if k in fields} if protocol == "equal" else {}


def group_of(
    counts: NDArray[np.int64], rule: str, rank: NDArray[np.int64] | None = None
) -> NDArray[np.str_]:
    """The group of each class.

    Args:
        counts: (C,) training images a class.
        rule: one of `GroupRule`.
        rank: (C,) place of each class in the tail, 0 the head, where a data set has one apart from
            its counts: `thirds` settles ties by it, so that they are the same classes at any ratio.

    Returns:
        (C,) "many", "medium" or "few".
    """
    if rule == "thirds":
        # Without a rank, ties are broken by class index. The larger groups come first when C is no
        # multiple of 3.
        order = np.lexsort((np.arange(len(counts)) if rank is None else rank, -counts))
        place = np.empty(len(counts), dtype=np.int64)
        place[order] = np.arange(len(counts))
        return np.array(GROUPS)[place * 3 // len(counts)]
    if rule not in get_args(GroupRule):
        raise ValueError(f"no group rule is called '{rule}'")
    many = counts > 100 if rule == "lift" else counts >= 100
    few = counts <= 20 if rule == "oltr" else counts < 20
    return np.where(many, "many", np.where(few, "few", "medium"))
