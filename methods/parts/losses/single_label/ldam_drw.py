"""LDAM with deferred re-weighting (Cao et al. 2019, arXiv 1906.07413)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from methods.base import Batch, Task
from methods.parts.losses.base import Loss
from methods.parts.losses.class_weights import effective_number_weights, weighted_mean_shares


def make(task: Task, *, scale: float) -> Loss:
    """Return the loss `ldam_drw` for a head whose cosines are multiplied by `scale`."""
    return LdamDrw(task.counts, scale)


class LdamDrw(Loss):
    """LDAM with deferred re-weighting (Cao et al. 2019, arXiv 1906.07413, eq. 13).

    Cross-entropy after s * m_y is subtracted from the true class's logit. m_c is proportional to
    n_c^(-1/4) and at most `max_margin`; the logits are s times cosines already, as in LIFT. In the
    last fifth of the epochs the samples are weighted by effective number: the authors' code
    (github.com/kaidic/LDAM-DRW) does so from epoch 160 of 200; taking this as a share of shorter
    trainings is our reading.

    Args:
        counts: (C,) n_c.
        scale: s, the factor on the head's cosines.
        max_margin: margin of the smallest class, in units of a cosine.
    """

    coupled = True
    margins: Tensor
    deferred: Tensor
    weights: Tensor

    def __init__(self, counts: Tensor, scale: float, max_margin: float = 0.5) -> None:
        super().__init__()
        margins = counts.clamp(min=1) ** -0.25
        margins = scale * max_margin * margins / margins[counts > 0].max()
        self.register_buffer("margins", margins, persistent=False)  # (C,)
        self.register_buffer("deferred", effective_number_weights(counts), persistent=False)
        self.register_buffer("weights", torch.ones_like(counts), persistent=False)

    def at_epoch(self, epoch: int, epochs: int) -> None:
        """Weight from 4/5 of the epochs on; a training of one epoch is weighted throughout."""
        late = epoch >= epochs * 4 // 5
        self.weights = self.deferred if late else torch.ones_like(self.deferred)

    def forward(self, logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
        """(B, C) logits and (B,) labels -> (B,) losses."""
        classes = torch.arange(logits.shape[1], device=labels.device)
        margins = (labels[:, None] == classes) * self.margins  # (B, C)
        losses = F.cross_entropy(logits - margins, labels, reduction="none")
        return weighted_mean_shares(losses, self.weights[labels])
