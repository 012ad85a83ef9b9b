"""Cross-entropy weighted by class, and weights computed from the training counts."""

from __future__ import annotations

import math
from typing import Literal

from torch import Tensor
from torch.nn import functional as F

from methods.base import Batch
from methods.parts.losses.base import Loss

Reduction = Literal["weights", "batch"]
"""weights: a batch's weighted losses are divided by its weights, as in LIFT's code; batch: by its
images, with weights whose mean over the classes is 1, as in Cui et al.'s code."""


def effective_number_weights(counts: Tensor, beta: float = 0.9999) -> Tensor:
    """(C,) (1 - beta) / (1 - beta^n_c) (Cui et al. 2019, arXiv 1901.05555)."""
    # expm1 keeps 1 - beta^n exact for small n in single precision.
    return (1 - beta) / -(counts.clamp(min=1) * math.log(beta)).expm1()


def weighted_mean_shares(losses: Tensor, weights: Tensor) -> Tensor:
    """(B,) values whose mean is sum_i w_i l_i / sum_i w_i, torch's weighted cross-entropy."""
    return losses * weights * (len(losses) / weights.sum())


class Weighted(Loss):
    """Cross-entropy weighted by class; the mean over a batch is divided by the batch's weights.

    Args:
        weights: (C,); their common scale does not matter.
    """

    coupled = True
    weights: Tensor

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.register_buffer("weights", weights, persistent=False)

    def forward(self, logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
        """(B, C) logits and (B,) labels -> (B,) losses."""
        losses = F.cross_entropy(logits, labels, reduction="none")
        return weighted_mean_shares(losses, self.weights[labels])


class WeightedByClass(Loss):
    """Cross-entropy times the weight of the class, so that the mean is divided by the images.

    Args:
        weights: (C,).
        counts: (C,) training images; the weights of classes with images are scaled to a mean of 1.
    """

    coupled = False
    weights: Tensor

    def __init__(self, weights: Tensor, counts: Tensor) -> None:
        super().__init__()
        self.register_buffer("weights", weights / weights[counts > 0].mean(), persistent=False)

    def forward(self, logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
        """(B, C) logits and (B,) labels -> (B,) losses."""
        return F.cross_entropy(logits, labels, reduction="none") * self.weights[labels]
