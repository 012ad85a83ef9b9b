"""ASL, the asymmetric loss (Ridnik et al. 2021, arXiv 2009.14119)."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from methods.base import Batch, Task
from methods.parts.losses.base import Loss

LEAST = math.log(1e-8)
"""Bound of the logarithms, below which they are constant and have no gradient (`eps`)."""


def make(task: Task, *, asl_gamma_pos: float = 0.0, asl_detach: bool = True) -> Loss:
    """Return the loss `asl`."""
    return Asymmetric(asl_gamma_pos, detach=asl_detach)


class Asymmetric(Loss):
    """ASL (Ridnik et al. 2021, arXiv 2009.14119, eqs. 4-7).

    Positives cost (1 - p)^gamma_pos * -log p, negatives p_m^gamma_neg * -log(1 - p_m) with the
    shifted probability p_m = max(p - clip, 0). The defaults are those of the training scripts of
    ASL (github.com/Alibaba-MIIL/ASL, 8c9e0bd, train.py) and of LMPT, which agree; the class
    `AsymmetricLoss` itself has gamma_pos = 1.

    Args:
        gamma_pos: focusing exponent of positives.
        gamma_neg: focusing exponent of negatives.
        clip: probability shift of negatives; one with p <= clip costs nothing.
        detach: no gradient through the focusing factors, which are then weights
            (`disable_torch_grad_focal_loss`); False: the gradient of the equations.
    """

    coupled = False

    def __init__(
        self,
        gamma_pos: float = 0.0,
        gamma_neg: float = 4.0,
        clip: float = 0.05,
        *,
        detach: bool = True,
    ) -> None:
        super().__init__()
        self._gamma_pos = gamma_pos
        self._gamma_neg = gamma_neg
        self._log_clip = math.log(clip) if clip else -math.inf
        self._detach = detach

    def forward(self, logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
        """(B, C) logits, (B, C) labels -> (B,) losses."""
        log_p = F.logsigmoid(logits)
        # log(1 - p_m) = log min(1 - p + clip, 1)
        log_rest = torch.logaddexp(
            F.logsigmoid(-logits), torch.full_like(logits, self._log_clip)
        ).clamp(max=0)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self._detach):
            positive = (-torch.expm1(log_p)) ** self._gamma_pos
            negative = (-torch.expm1(log_rest)) ** self._gamma_neg
        positive, negative = positive * -log_p.clamp(min=LEAST), negative * -log_rest.clamp(LEAST)
        return torch.where(labels > 0, positive, negative).sum(1)
