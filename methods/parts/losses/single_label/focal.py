"""Focal loss over a softmax (Lin et al. 2017, arXiv 1708.02002)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from methods.base import Batch, Task
from methods.parts.losses.base import Loss


def make(task: Task) -> Loss:
    """Return the loss `focal` for single-label data."""
    return Focal()


class Focal(Loss):
    """(1 - p_y)^gamma * cross-entropy (Lin et al. 2017, arXiv 1708.02002, eq. 4), over a softmax.

    Args:
        gamma: 0 is plain cross-entropy.
    """

    coupled = False

    def __init__(self, gamma: float = 2.0) -> None:
        super().__init__()
        self._gamma = gamma

    def forward(self, logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
        """(B, C) logits and (B,) labels -> (B,) losses."""
        losses = F.cross_entropy(logits, labels, reduction="none")
        return (-torch.expm1(-losses)) ** self._gamma * losses
