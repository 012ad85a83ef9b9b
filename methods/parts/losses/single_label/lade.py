"""LADE: label distribution disentangling (Hong et al. 2021, arXiv 2012.00321)."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from methods.base import Batch, Task
from methods.parts.losses.base import Loss


def make(task: Task) -> Loss:
    """Return the loss `lade`."""
    return Lade(task.counts, task.log_prior)


class Lade(Loss):
    """LADE (Hong et al. 2021, arXiv 2012.00321): balanced softmax - alpha * sum_c pi_c R_c.

    R_c is the regularised Donsker-Varadhan bound of class c on the batch,

        R_c = mean of z_c over the samples of c - S_c - lambda S_c^2,
        S_c = log mean_i exp(z_ic - log pi_c + log 1/C),

    as in the authors' and LIFT's code, which agree. The first mean is 0 where the batch has no
    sample of c.

    Args:
        counts: (C,) n_c.
        log_prior: (C,) log pi.
        alpha: weight of the bound.
        regulariser: lambda.
    """

    coupled = True
    prior: Tensor
    log_prior: Tensor

    def __init__(
        self, counts: Tensor, log_prior: Tensor, alpha: float = 0.1, regulariser: float = 0.1
    ) -> None:
        super().__init__()
        self.register_buffer("prior", counts / counts.sum(), persistent=False)  # (C,)
        self.register_buffer("log_prior", log_prior, persistent=False)
        self._alpha = alpha
        self._regulariser = regulariser

    def forward(self, logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
        """(B, C) logits and (B,) labels -> (B,) losses."""
        size, classes = logits.shape
        balanced = F.cross_entropy(logits + self.log_prior, labels, reduction="none")
        each = torch.arange(classes, device=labels.device)
        here = (labels[:, None] == each).sum(0)  # (C,) samples in the batch
        own = logits.gather(1, labels[:, None])[:, 0]
        first = size * self.prior[labels] / here[labels] * own  # (B,); their mean is the sum
        second = torch.logsumexp(logits - self.log_prior - math.log(classes), 0) - math.log(size)
        spread = (self.prior * (second + self._regulariser * second.square())).sum()
        return balanced + self._alpha * (spread - first)
