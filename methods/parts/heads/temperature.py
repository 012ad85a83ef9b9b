"""Temperature at which a classifier is as confident as it is accurate.

Dividing all logits by T > 0 changes no prediction, but the confidence, the mean probability of the
predicted class, falls from 1 to 1/C as T grows. The T at which confidence equals accuracy is the
calibration of GLA (Zhu et al. 2023, arXiv 2310.08106; `Calibrater.search_T` in its code, which
stops within 0.1 points). Calibrated classifiers can be added: their logits have one scale.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

RANGE = (0.01, 100.0)
"""Smallest and largest temperature. The ends are returned if no T between them fits."""
STEPS = 40
"""Halvings of the range, in its logarithm."""

Part = tuple[Tensor, Tensor, Tensor]
"""(n, C) logits, (n,) classes and (n,) weights of some samples."""


@torch.no_grad()
def calibrated(parts: Callable[[], Iterable[Part]]) -> Tensor:
    """The temperature T, a scalar on the device of the logits.

    Args:
        parts: gives the samples in parts, as often as it is called: all their logits at once may
            not fit into memory. The weights of all samples sum to one.
    """
    right = sum(((z.argmax(1) == y) * w).sum() for z, y, w in parts())
    assert isinstance(right, Tensor)  # or there are no samples
    low, high = (torch.full_like(right, end).log() for end in RANGE)
    for _ in range(STEPS):
        middle = (low + high) / 2
        sure = sum(((z / middle.exp()).softmax(1).amax(1) * w).sum() for z, _, w in parts())
        # Without a branch, so that the host does not wait for the device.
        over = sure > right
        low, high = torch.where(over, middle, low), torch.where(over, high, middle)
    return ((low + high) / 2).exp()


def balanced_weights(labels: Tensor, classes: int) -> Tensor:
    """(N,) weights that sum to one and give every class with samples the same total.

    Args:
        labels: (N,) classes.
        classes: C.
    """
    counts = torch.bincount(labels, minlength=classes)  # (C,)
    return 1 / (counts[labels] * (counts > 0).sum())
