"""Losses, each one value a sample. z are logits, n_c training counts, pi_c = n_c / N."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from methods.base import Batch


class LogitAdjusted:
    """Cross-entropy on z + tau * log pi (Menon et al. 2021, arXiv 2007.07314, eq. 10).

    With tau = 0 it is plain cross-entropy, with tau = 1 balanced softmax (Ren et al. 2020).
    """

    def __init__(self, log_prior: Tensor, tau: float) -> None:
        self._shift = tau * log_prior  # (C,)

    def __call__(self, logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
        """(B, C) logits and (B,) labels -> (B,) losses."""
        return F.cross_entropy(logits + self._shift, labels, reduction="none")


def cross_entropy(logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
    """Plain cross-entropy: (B, C) logits and (B,) labels -> (B,) losses."""
    return F.cross_entropy(logits, labels, reduction="none")
