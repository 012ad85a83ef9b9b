"""Binary cross-entropy."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from methods.base import Batch, Task
from methods.parts.losses.base import LossFunction


def make(task: Task) -> LossFunction:
    """Return the loss `bce`."""
    return binary_cross_entropy


def elements(logits: Tensor, labels: Tensor) -> Tensor:
    """(B, C) binary cross-entropies, -log p_t."""
    return F.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype), reduction="none")


def binary_cross_entropy(logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
    """Binary cross-entropy: (B, C) logits, (B, C) labels -> (B,) losses."""
    return elements(logits, labels).sum(1)
