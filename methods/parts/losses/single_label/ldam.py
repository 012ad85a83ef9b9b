"""LDAM: label-distribution-aware margins (Cao et al. 2019, arXiv 1906.07413)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from methods.base import Batch, Task
from methods.parts.losses.base import Loss


def make(task: Task, *, scale: float) -> Loss:
    """Return the loss `ldam` for a head whose cosines are multiplied by `scale`."""
    return Ldam(task.counts, scale)


class Ldam(Loss):
    """LDAM without re-weighting (Cao et al. 2019, arXiv 1906.07413, eq. 13).

    Cross-entropy after s * m_y is subtracted from the true class's logit. m_c is proportional to
    n_c^(-1/4) and at most `max_margin`; the logits are s times cosines already, as in LIFT. This is
    `--loss_type LDAM --train_rule None` of the authors' code (github.com/kaidic/LDAM-DRW).

    Args:
        counts: (C,) n_c.
        scale: s, the factor on the head's cosines.
        max_margin: margin of the smallest class, in units of a cosine.
    """

    coupled = False
    margins: Tensor

    def __init__(self, counts: Tensor, scale: float, max_margin: float = 0.5) -> None:
        super().__init__()
        margins = counts.clamp(min=1) ** -0.25
        margins = scale * max_margin * margins / margins[counts > 0].max()
        self.register_buffer("margins", margins, persistent=False)  # (C,)

    def forward(self, logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
        """(B, C) logits and (B,) labels -> (B,) losses."""
        classes = torch.arange(logits.shape[1], device=labels.device)
        margins = (labels[:, None] == classes) * self.margins  # (B, C)
        return F.cross_entropy(logits - margins, labels, reduction="none")
