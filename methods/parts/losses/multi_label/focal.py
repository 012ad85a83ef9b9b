"""Focal loss over sigmoids (Lin et al. 2017, arXiv 1708.02002)."""

from __future__ import annotations

import torch
from torch import Tensor

from methods.base import Batch, Task
from methods.parts.losses.base import Loss
from methods.parts.losses.multi_label.bce import elements


def make(task: Task) -> Loss:
    """Return the loss `focal` for multi-label data."""
    return SigmoidFocal()


class SigmoidFocal(Loss):
    """(1 - p_t)^gamma * BCE (Lin et al. 2017, arXiv 1708.02002, eq. 4), without their alpha.

    Args:
        gamma: 0 is plain binary cross-entropy.
    """

    coupled = False

    def __init__(self, gamma: float = 2.0) -> None:
        super().__init__()
        self._gamma = gamma

    def forward(self, logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
        """(B, C) logits, (B, C) labels -> (B,) losses."""
        losses = elements(logits, labels)
        return ((-torch.expm1(-losses)) ** self._gamma * losses).sum(1)
