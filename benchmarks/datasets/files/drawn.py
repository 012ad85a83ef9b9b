"""Base class of data sets that draw a long tail from balanced public data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from benchmarks.datasets import long_tail
from benchmarks.datasets.files.texts import WithTexts
from benchmarks.datasets.long_tail import Profile
from benchmarks.plugins.ranges import OpenShare, Range
from benchmarks.plugins.values import check_fields

VALIDATION_PER_CLASS = 20


@dataclass(frozen=True)
class DrawnTail(WithTexts):
    """Family whose training images are drawn as in Cao et al. 2019 (see `long_tail`)."""

    imbalance: Annotated[float, Range(1)] = 100.0
    """Ratio of the largest to the smallest class."""
    profile: Profile = "exp"
    """`exp`, `step` (the first classes are large, the others small), or `head_tail`: exponential
    within the head, down to 101 images, and within the tail, from 100 (LT-Soups)."""
    head_share: Annotated[float, OpenShare] = 0.5
    """Share of large classes, for `step` and `head_tail`."""

    def _check(self) -> None:
        check_fields(f"data set {self.name}", self)
        long_tail.refuse_unused_head_share(
            self.name, self.profile, self.head_share, type(self).head_share
        )

    def _profile_card(self) -> str:
        """Return the profile as cards show it."""
        share = "" if self.profile == "exp" else f", head share {self.head_share:g}"
        return f"{self.profile}, imbalance {self.imbalance:g}{share}"

    def _tail(self, images: float, classes: int) -> NDArray[np.int64]:
        """Return (C,) training images per class, drawn from `images` in total."""
        return long_tail.class_counts(
            images / classes, classes, self.imbalance, self.profile, self.head_share
        )


def validation_source(others: Sequence[NDArray[np.int64]]) -> str:
    """Describe the source of the validation images; "" if there are none.

    Args:
        others: for each class, the indices of its undrawn training images.
    """
    covered = sum(len(o) > 0 for o in others)
    if not covered:
        return ""
    return (
        "official training images that the long-tailed subset did not draw, up to "
        f"{VALIDATION_PER_CLASS} per class; {covered} of {len(others)} classes have some"
    )
