"""ASL, the asymmetric loss (Ridnik et al. 2021, arXiv 2009.14119)."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from methods.base import Batch, Task
from methods.parts.losses.base import Loss


def make(task: Task) -> Loss:
    """Return the loss `asl`."""
    return Asymmetric()


class Asymmetric(Loss):
    """ASL (Ridnik et al. 2021, arXiv 2009.14119, eqs. 4-7).

    Positives cost (1 - p)^gamma_pos * -log p, negatives p_m^gamma_neg * -log(1 - p_m) with the
    shifted probability p_m = max(p - clip, 0). The defaults are those of `AsymmetricLoss` in the
    authors' code (github.com/Alibaba-MIIL/ASL). Three things differ from that code:

    - Gradients flow through the focusing factors, as in the equations. The training scripts of ASL
      and LMPT detach the factors (`disable_torch_grad_focal_loss=True`).
    - gamma_pos is 1, as in the class; those training scripts set it to 0.
    - Logarithms are exact; the code bounds their arguments below by 1e-8, where gradients vanish.

    Args:
        gamma_pos: focusing exponent of positives.
        gamma_neg: focusing exponent of negatives.
        clip: probability shift of negatives; one with p <= clip costs nothing.
    """

    coupled = False

    def __init__(self, gamma_pos: float = 1.0, gamma_neg: float = 4.0, clip: float = 0.05) -> None:
        super().__init__()
        self._gamma_pos = gamma_pos
        self._gamma_neg = gamma_neg
        self._log_clip = math.log(clip) if clip else -math.inf

    def forward(self, logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
        """(B, C) logits, (B, C) labels -> (B,) losses."""
        log_p = F.logsigmoid(logits)
        # log(1 - p_m) = log min(1 - p + clip, 1)
        log_rest = torch.logaddexp(
            F.logsigmoid(-logits), torch.full_like(logits, self._log_clip)
        ).clamp(max=0)
        positive = (-torch.expm1(log_p)) ** self._gamma_pos * -log_p
        negative = (-torch.expm1(log_rest)) ** self._gamma_neg * -log_rest
        return torch.where(labels > 0, positive, negative).sum(1)
