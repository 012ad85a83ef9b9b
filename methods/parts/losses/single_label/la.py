"""Logit-adjusted cross-entropy (Menon et al. 2021, arXiv 2007.07314)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from methods.base import Batch, Task
from methods.parts.losses.base import Loss


def make(task: Task, *, tau: float) -> Loss:
    """Return the loss `la` of strength `tau`."""
    return LogitAdjusted(task.log_prior, tau)


class LogitAdjusted(Loss):
    """Cross-entropy on z + tau * log pi (Menon et al. 2021, arXiv 2007.07314, eq. 10).

    With tau = 0 it is plain cross-entropy, with tau = 1 balanced softmax (Ren et al. 2020).

    Args:
        log_prior: (C,) log pi.
        tau: strength.
    """

    coupled = False
    shift: Tensor

    def __init__(self, log_prior: Tensor, tau: float) -> None:
        super().__init__()
        self.register_buffer("shift", tau * log_prior, persistent=False)  # (C,)

    def forward(self, logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
        """(B, C) logits and (B,) labels -> (B,) losses."""
        return F.cross_entropy(logits + self.shift, labels, reduction="none")
