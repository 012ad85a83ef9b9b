"""Plain cross-entropy."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from methods.base import Batch, Task
from methods.parts.losses.base import LossFunction


def make(task: Task) -> LossFunction:
    """Return the loss `ce`."""
    return cross_entropy


def cross_entropy(logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
    """Plain cross-entropy: (B, C) logits and (B,) labels -> (B,) losses."""
    return F.cross_entropy(logits, labels, reduction="none")
