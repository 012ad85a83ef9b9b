"""LDAM with deferred re-weighting (Cao et al. 2019, arXiv 1906.07413)."""

from __future__ import annotations

import torch
from torch import Tensor

from methods.base import Batch, Task
from methods.parts.losses.base import Loss
from methods.parts.losses.class_weights import effective_number_weights, weighted_mean_shares
from methods.parts.losses.single_label.ldam import Ldam


def make(task: Task, *, scale: float) -> Loss:
    """Return the loss `ldam_drw` for a head whose cosines are multiplied by `scale`."""
    return LdamDrw(task.counts, scale)


class LdamDrw(Ldam):
    """LDAM, and in the last fifth of the epochs samples weighted by effective number.

    The authors' code (github.com/kaidic/LDAM-DRW) weights from epoch 160 of 200; taking this as a
    share of shorter trainings is our reading. The arguments are those of `Ldam`.
    """

    coupled = True
    deferred: Tensor
    weights: Tensor

    def __init__(self, counts: Tensor, scale: float, max_margin: float = 0.5) -> None:
        super().__init__(counts, scale, max_margin)
        self.register_buffer("deferred", effective_number_weights(counts), persistent=False)
        self.register_buffer("weights", torch.ones_like(counts), persistent=False)

    def at_epoch(self, epoch: int, epochs: int) -> None:
        """Weight from 4/5 of the epochs on; a training of one epoch is weighted throughout."""
        late = epoch >= epochs * 4 // 5
        self.weights = self.deferred if late else torch.ones_like(self.deferred)

    def forward(self, logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
        """(B, C) logits and (B,) labels -> (B,) losses."""
        losses = super().forward(logits, labels, batch)
        return weighted_mean_shares(losses, self.weights[labels])
