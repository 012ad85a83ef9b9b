"""Multi-label losses on sigmoids: one value a sample, the sum over its classes.

z are logits (B, C), p = sigmoid(z), y labels (B, C), n_c training images with class c, N all. The
sum is the negative log-likelihood of a sample, of the size that softmax losses have, so that
learning rates carry over; the codes of DB and LMPT take the mean over the classes instead: divide
by C to use their learning rates. Sigmoids saturate on scaled cosines: see `heads.SigmoidBias`.
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


def multi_label_loss(name: str, task: Task, *, db_neg_scale: float, db_mu: float) -> Loss:
    """The loss called `name` for the counts of `task`.

    Args:
        name: bce, db, asl or focal.
        task: a multi-label task.
        db_neg_scale: lambda of `db`.
        db_mu: mu of `db`.

    Raises:
        NotApplicable: no multi-label loss has this name.
    """
    makers: dict[str, Callable[[], Loss]] = {
        "bce": lambda: binary_cross_entropy,
        "db": lambda: DistributionBalanced(
            task.counts, len(task.train), neg_scale=db_neg_scale, mu=db_mu
        ),
        "asl": Asymmetric,
        "focal": SigmoidFocal,
    }
    if name not in makers:
        raise NotApplicable(f"{name} is no loss for multi-label data: {', '.join(makers)} are")
    return makers[name]()


def _elements(logits: Tensor, labels: Tensor) -> Tensor:
    """(B, C) binary cross-entropies."""
    return F.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype), reduction="none")


def binary_cross_entropy(logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
    """Binary cross-entropy: (B, C) logits, (B, C) labels -> (B,) losses."""
    return _elements(logits, labels).sum(1)


class SigmoidFocal(nn.Module):
    """(1 - p_t)^gamma * BCE (Lin et al. 2017, arXiv 1708.02002, eq. 4), without their alpha.

    Args:
        gamma: 0 is plain binary cross-entropy.
    """

    def __init__(self, gamma: float = 2.0) -> None:
        super().__init__()
        self._gamma = gamma

    def forward(self, logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
        """(B, C) logits, (B, C) labels -> (B,) losses."""
        losses = _elements(logits, labels)  # -log p_t
        return ((-torch.expm1(-losses)) ** self._gamma * losses).sum(1)


class Asymmetric(nn.Module):
    """ASL (Ridnik et al. 2021, arXiv 2009.14119, eqs. 4-7).

    Positives (1 - p)^gamma_pos * -log p; negatives p_m^gamma_neg * -log(1 - p_m) with the shifted
    p_m = max(p - clip, 0). Gradients flow through the focusing factors too, as the equations have
    it; the authors' code (github.com/Alibaba-MIIL/ASL), whose defaults these are, detaches them
    unless it is told not to (`disable_torch_grad_focal_loss`).

    Args:
        gamma_pos: focusing of positives.
        gamma_neg: focusing of negatives.
        clip: probability below which a negative costs nothing.
    """

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


class DistributionBalanced(nn.Module):
    """Distribution-balanced focal loss (Wu et al. 2020, arXiv 2007.09654).

    With r_c = (1/n_c) / sum over the sample's classes j of 1/n_j, the weight of an element is
    alpha + sigmoid(beta (r_c - mu)); nu_c = -kappa/lambda * log(N/n_c - 1) is added to the logit of
    every class; the logits of negatives are then multiplied by lambda and their weights divided by
    it. The focal factor is taken element by element on these logits, as in the authors' code
    (github.com/wutong16/DistributionBalancedLoss); LMPT's copy takes a mean first, which makes it
    one number a batch. A class without training images counts as half an image, one in every image
    as half an image less; a sample without labels has the limit of large r_c.

    Args:
        counts: (C,) n_c.
        images: N.
        neg_scale: lambda; 2 for COCO-LT (80 classes), 5 for VOC-LT (20) in the authors' configs.
        mu: 0.2 for COCO-LT, 0.3 for VOC-LT.
        alpha: 0.1 in both, as the next four are.
        beta: 10.
        kappa: 0.05 (`init_bias` of the code).
        gamma: focusing, 2.
        factor: on the whole loss, 2 (`balance_param` of the code).
    """

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
        losses = _elements((logits + self.nu) * scale, labels)  # -log p_t
        focus = (-torch.expm1(-losses)) ** self._gamma
        return self._factor * (weights / scale * focus * losses).sum(1)
