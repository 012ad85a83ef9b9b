"""Balanced public data sets of which a long tail is drawn: the knobs they share, and the draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.datasets import long_tail
from benchmarks.datasets.files.texts import WithTexts

VALIDATION_PER_CLASS = 20


@dataclass(frozen=True)
class DrawnTail(WithTexts):
    """A family whose training images are drawn as Cao et al. 2019 do it (see `recipes`)."""

    imbalance: float = 100.0
    """Ratio of the largest to the smallest class."""
    profile: str = "exp"
    """`exp`, or `step` (the first classes are large, the others small)."""
    head_share: float = 0.5
    """Share of large classes; for `step` alone."""

    def _check_tail(self) -> None:
        long_tail.check(self.imbalance, self.profile, self.head_share)
        long_tail.refuse_idle_head_share(
            self.name, self.profile, self.head_share, type(self).head_share
        )

    def _tail(self, images: float, classes: int) -> NDArray[np.int64]:
        """(C,) training images a class, drawn from `images` of all classes together."""
        return long_tail.class_counts(
            images / classes, classes, self.imbalance, self.profile, self.head_share
        )


def validation_source(others: Sequence[NDArray[np.int64]]) -> str:
    """Where validation images come from, given those of each class that may serve; "" if none."""
    served = sum(len(o) > 0 for o in others)
    if not served:
        return ""
    return (
        "official training images that the long-tailed subset did not draw, up to "
        f"{VALIDATION_PER_CLASS} a class, {served} of {len(others)} classes have some"
    )
