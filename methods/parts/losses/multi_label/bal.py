"""The balanced asymmetric loss of LM-CLIP (Timmermann et al., github.com/damilab/lm-clip)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from methods.base import Batch, Task
from methods.parts.losses.base import Loss
from methods.parts.losses.multi_label.asl import LEAST


def make(task: Task, *, bal_power: float = 1.6, bal_divisor: float = 0.0) -> Loss:
    """Return the loss `bal`, as published or with a fixed divisor of the logits."""
    weights = rarity_weights(task.counts, bal_power)
    return BalancedAsymmetric(weights, bal_divisor) if bal_divisor else BatchScaled(weights)


def rarity_weights(counts: Tensor, power: float) -> Tensor:
    """(C,) (n_min / n_c)^power, 1 for the rarest class.

    n_min is over the classes with training images. A class without any has weight 1.
    """
    rarest = counts[counts > 0].min()
    return (rarest / counts.clamp(min=rarest)) ** power


class BalancedAsymmetric(Loss):
    """Asymmetric loss with class weights and label smoothing, on logits divided by a constant.

    With x = z / divisor, p = sigmoid(x), q = min(1 - p + clip, 1), y in {0, 1} and the smoothed
    label t = (1 - smoothing) y + smoothing / C, an element costs

        (1 - p t - q (1 - y))^(gamma_pos t + gamma_neg (1 - y))
            * -(t (1 + w_c) log p + (1 - y) log q),

    and gradients flow through the factor. This is the released code (9983999, asl_loss.py,
    `BalancedAsymmetricLossOptimized`) with the values of its configs for ViT-B/16; the paper was
    not read. Two things differ: a sample's loss is the sum over the classes, there the mean; and a
    negative with p <= clip costs nothing, where their factor is a power of a negative number, NaN.

    The division keeps sigmoids of scaled cosines from saturating. Behind a calibration or a
    `SigmoidBias` they do not, and a divisor of 1 will do.

    This is one part of LM-CLIP. The others are CLIP's contrastive loss with captions made of the
    class names, and a sampler that draws images of rare classes more often.

    Args:
        weights: (C,) w_c, see `rarity_weights`.
        divisor: divisor of the logits.
        gamma_pos: focusing exponent of positives.
        gamma_neg: focusing exponent of negatives.
        clip: probability shift of negatives.
        smoothing: label smoothing.
    """

    coupled = False
    weights: Tensor

    def __init__(
        self,
        weights: Tensor,
        divisor: float = 1.0,
        *,
        gamma_pos: float = 0.0,
        gamma_neg: float = 9.8,
        clip: float = 0.05,
        smoothing: float = 0.1,
    ) -> None:
        super().__init__()
        self.register_buffer("weights", weights, persistent=False)
        self._divisor = divisor
        self._gamma_pos, self._gamma_neg = gamma_pos, gamma_neg
        self._clip, self._smoothing = clip, smoothing

    def divided(self, logits: Tensor) -> Tensor:
        """(B, C) logits -> (B, C)."""
        return logits / self._divisor

    def forward(self, logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
        """(B, C) logits, (B, C) labels -> (B,) losses."""
        x = self.divided(logits)
        absent = 1 - labels.to(x.dtype)
        smoothed = (1 - self._smoothing) * (1 - absent) + self._smoothing / x.shape[1]
        log_p = F.logsigmoid(x)
        p, q = log_p.exp(), (torch.sigmoid(-x) + self._clip).clamp(max=1)
        cost = smoothed * (1 + self.weights) * log_p.clamp(min=LEAST) + absent * q.log()
        base = (1 - p * smoothed - q * absent).clamp(min=0)
        factor = base ** (self._gamma_pos * smoothed + self._gamma_neg * absent)
        return -(factor * cost).sum(1)


class BatchScaled(BalancedAsymmetric):
    """The loss as released: its divisor is the largest logit of the batch.

    A sample's loss then depends on the batch that it is in, and the gradient flows through the
    largest logit. If that is not positive, the loss is NaN, which ends the training: a division by
    it would exchange high and low logits. It is positive for cosines of images and texts.
    """

    coupled = True

    def divided(self, logits: Tensor) -> Tensor:
        """(B, C) logits -> (B, C), at most 1."""
        largest = logits.max()
        return logits / torch.where(largest > 0, largest, torch.nan)
