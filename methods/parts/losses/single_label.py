"""Single-label losses, each one value a sample.

z are logits (B, C), n_c training counts, pi_c = n_c / N. Formulas and defaults are those of LIFT's
code (github.com/shijxcs/LIFT, utils/losses.py), which runs them on a cosine head of scale 25,
unless a docstring names another source. A class without training images counts as half an image in
log pi (`Task.log_prior`) and is left out where margins are scaled to their maximum.

Two losses are not sums over samples: a weighted mean is divided by the weights in the batch, and
the bound of LADE is estimated on the batch. They are shared out over the samples so that the mean
over the batch is the published value. They say that they are `coupled`, so that where a batch is
accumulated from micro-batches they still see all of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.errors import NotApplicable
from methods.base import Batch, Task
from methods.parts.training.schedules import Loss


def single_label_loss(name: str, task: Task, *, tau: float, scale: float) -> Loss:
    """The loss called `name` for the counts of `task`.

    Args:
        name: ce, balanced_softmax, la, ldam_drw, cb, grw, focal or lade.
        task: a single-label task.
        tau: strength of `la`; the other losses ignore it.
        scale: factor on the head's cosines, which the margins of `ldam_drw` are multiplied by.

    Raises:
        NotApplicable: no single-label loss has this name.
    """
    counts = task.counts
    makers: dict[str, Callable[[], Loss]] = {
        "ce": lambda: cross_entropy,
        "balanced_softmax": lambda: LogitAdjusted(task.log_prior, 1.0),
        "la": lambda: LogitAdjusted(task.log_prior, tau),
        "ldam_drw": lambda: LdamDrw(counts, scale),
        "cb": lambda: Weighted(effective_number_weights(counts)),
        "grw": lambda: Weighted(inverse_frequency_weights(counts)),
        "focal": Focal,
        "lade": lambda: Lade(counts, task.log_prior),
    }
    if name not in makers:
        raise NotApplicable(f"{name} is no loss for single-label data: {', '.join(makers)} are")
    return makers[name]()


def cross_entropy(logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
    """Plain cross-entropy: (B, C) logits and (B,) labels -> (B,) losses."""
    return F.cross_entropy(logits, labels, reduction="none")


class LogitAdjusted(nn.Module):
    """Cross-entropy on z + tau * log pi (Menon et al. 2021, arXiv 2007.07314, eq. 10).

    With tau = 0 it is plain cross-entropy, with tau = 1 balanced softmax (Ren et al. 2020).

    Args:
        log_prior: (C,) log pi.
        tau: strength.
    """

    shift: Tensor

    def __init__(self, log_prior: Tensor, tau: float) -> None:
        super().__init__()
        self.register_buffer("shift", tau * log_prior, persistent=False)  # (C,)

    def forward(self, logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
        """(B, C) logits and (B,) labels -> (B,) losses."""
        return F.cross_entropy(logits + self.shift, labels, reduction="none")


class Focal(nn.Module):
    """(1 - p_y)^gamma * cross-entropy (Lin et al. 2017, arXiv 1708.02002, eq. 4), over a softmax.

    Args:
        gamma: 0 is plain cross-entropy.
    """

    def __init__(self, gamma: float = 2.0) -> None:
        super().__init__()
        self._gamma = gamma

    def forward(self, logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
        """(B, C) logits and (B,) labels -> (B,) losses."""
        losses = F.cross_entropy(logits, labels, reduction="none")
        return (-torch.expm1(-losses)) ** self._gamma * losses


# ---- class weights -------------------------------------------------------------------------------


def effective_number_weights(counts: Tensor, beta: float = 0.9999) -> Tensor:
    """(C,) (1 - beta) / (1 - beta^n_c) (Cui et al. 2019, arXiv 1901.05555); `cb`."""
    # expm1 keeps 1 - beta^n exact for small n in single precision.
    return (1 - beta) / -torch.expm1(counts.clamp(min=1) * math.log(beta))


def inverse_frequency_weights(counts: Tensor, rho: float = 1.0) -> Tensor:
    """(C,) n_c^-rho (LIFT's generalised re-weighting); `grw`."""
    return counts.clamp(min=1) ** -rho


def _weighted_mean_shares(losses: Tensor, weights: Tensor) -> Tensor:
    """(B,) whose mean is sum_i w_i l_i / sum_i w_i, as torch's own weighted cross-entropy."""
    return losses * weights * (len(losses) / weights.sum())


class Weighted(nn.Module):
    """Cross-entropy weighted by class; the mean over a batch is divided by the weights in it.

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
        return _weighted_mean_shares(losses, self.weights[labels])


def _is_own(labels: Tensor, classes: int) -> Tensor:
    """(B, C) whether a class is the sample's own; unlike `one_hot` it can be stacked."""
    return labels[:, None] == torch.arange(classes, device=labels.device)


# ---- margins -------------------------------------------------------------------------------------


class LdamDrw(nn.Module):
    """LDAM with deferred re-weighting (Cao et al. 2019, arXiv 1906.07413, eq. 13).

    Cross-entropy after s * m_y is taken off the true class's logit, m_c proportional to n_c^(-1/4)
    and at most `max_margin`: the logits are s times cosines already, as in LIFT. In the last fifth
    of the epochs the samples are weighted by effective number: from 160 of 200 in the authors' code
    (github.com/kaidic/LDAM-DRW), which as a share of shorter trainings is our reading.

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
        """Weights from epoch 4/5 on; a training of one epoch is weighted throughout."""
        late = epoch >= epochs * 4 // 5
        self.weights = self.deferred if late else torch.ones_like(self.deferred)

    def forward(self, logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
        """(B, C) logits and (B,) labels -> (B,) losses."""
        margins = _is_own(labels, logits.shape[1]) * self.margins  # (B, C)
        losses = F.cross_entropy(logits - margins, labels, reduction="none")
        return _weighted_mean_shares(losses, self.weights[labels])


# ---- LADE ----------------------------------------------------------------------------------------


class Lade(nn.Module):
    """LADE (Hong et al. 2021, arXiv 2012.00321): balanced softmax - alpha * sum_c pi_c R_c.

    R_c is the regularised Donsker-Varadhan bound of class c on the batch,

        R_c = mean of z_c over the samples of c - S_c - lambda S_c^2,
        S_c = log mean_i exp(z_ic - log pi_c + log 1/C),

    as in the authors' and LIFT's code, which agree; the first mean is 0 where the batch has no
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
        here = _is_own(labels, classes).sum(0)  # (C,) samples in the batch
        own = logits.gather(1, labels[:, None])[:, 0]
        first = size * self.prior[labels] / here[labels] * own  # (B,); their mean is the sum
        second = torch.logsumexp(logits - self.log_prior - math.log(classes), 0) - math.log(size)
        spread = (self.prior * (second + self._regulariser * second.square())).sum()
        return balanced + self._alpha * (spread - first)
