"""The distribution-balanced loss (Wu et al. 2020, arXiv 2007.09654)."""

from __future__ import annotations

import torch
from torch import Tensor

from methods.base import Batch, Task
from methods.parts.losses.base import Loss
from methods.parts.losses.multi_label.bce import elements


def make(task: Task, *, db_neg_scale: float, db_mu: float) -> Loss:
    """Return the loss `db` with lambda = `db_neg_scale` and mu = `db_mu`."""
    return DistributionBalanced(task.counts, len(task.train), neg_scale=db_neg_scale, mu=db_mu)


class DistributionBalanced(Loss):
    """Distribution-balanced focal loss (Wu et al. 2020, arXiv 2007.09654).

    With r_c = (1/n_c) / sum over the sample's classes j of 1/n_j, the weight of an element is
    alpha + sigmoid(beta (r_c - mu)). nu_c = -kappa/lambda * log(N/n_c - 1) is added to the logit of
    every class; then the logits of negatives are multiplied by lambda and their weights divided by
    it. The focal factor is computed for each element from these logits, as in the authors' code
    (github.com/wutong16/DistributionBalancedLoss); LMPT's copy takes a mean first, which makes it
    one number per batch. A class without training images counts as half an image, a class in every
    image as half an image less; a sample without labels gets the limit of large r_c.

    Args:
        counts: (C,) n_c.
        images: N.
        neg_scale: lambda; 2 for COCO-LT (80 classes), 5 for VOC-LT (20) in the authors' configs.
        mu: 0.2 for COCO-LT, 0.3 for VOC-LT.
        alpha: 0.1 in both configs, which also agree on the next four.
        beta: 10.
        kappa: 0.05 (`init_bias` of the code).
        gamma: focusing exponent, 2.
        factor: factor on the whole loss, 2 (`balance_param` of the code).
    """

    coupled = False
    inverse: Tensor
    nu: Tensor

    def __init__(
        self,
        counts: Tensor,
        images: int,
        *,
        neg_scale: float = 2.0,
        mu: float = 0.2,
        alpha: float = 0.1,
        beta: float = 10.0,
        kappa: float = 0.05,
        gamma: float = 2.0,
        factor: float = 2.0,
    ) -> None:
        super().__init__()
        counts = counts.clamp(0.5, images - 0.5)
        nu = -kappa / neg_scale * (images / counts - 1).log()
        self.register_buffer("inverse", 1 / counts, persistent=False)  # (C,)
        self.register_buffer("nu", nu, persistent=False)  # (C,)
        self._neg_scale, self._gamma, self._factor = neg_scale, gamma, factor
        self._alpha, self._beta, self._mu = alpha, beta, mu

    def forward(self, logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
        """(B, C) logits, (B, C) labels -> (B,) losses."""
        repeats = (labels * self.inverse).sum(1, keepdim=True)  # (B, 1)
        ratio = self.inverse / repeats.clamp(min=torch.finfo(repeats.dtype).tiny)
        weights = self._alpha + torch.sigmoid(self._beta * (ratio - self._mu))  # (B, C)
        scale = 1 + (self._neg_scale - 1) * (1 - labels.to(logits.dtype))
        losses = elements((logits + self.nu) * scale, labels)
        focus = (-torch.expm1(-losses)) ** self._gamma
        return self._factor * (weights / scale * focus * losses).sum(1)
