"""Sage: semantic-guided fine-tuning (Peng, Zhang, Cheung 2025, arXiv 2507.12807).

Only the abstract could be read and no code is published. From it: an SG-Adapter passes class
descriptions through the attention mechanism to the visual encoder, the text encoder stays frozen,
and a distribution-mismatch-aware compensation factor enters the loss. **Everything else here is our
reconstruction**, on the frame of LIFT (adapters in every block, text-initialised cosine head,
logit-adjusted loss):

- SG-Adapter: beside LIFT's AdaptFormer, the tokens of each block attend to the frozen text features
  of the class descriptions (`parts.adapters.TextAttention`).
- Compensation: what is learned of class c from n_c samples is an estimate. For a plug-in mean with
  shared covariance, its expected log-density at a fresh sample falls short by d_eff / (2 n_c). The
  training softmax therefore gets z + log pi + log w with log w_c = -d_eff / (2 n_c), lower for tail
  classes. For a cosine head of scale s, -s |x - w|^2 / 2 is the log-density up to a constant, hence
  d_eff = s * tr(within-class covariance). The trace is that of the frozen joint-space features, a
  proxy for the space before the projection in which the adapted head works.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from benchmarks import randomness
from benchmarks.augment import Augmentation
from methods.base import Method, Predictor, Task, TextSource
from methods.parts.adapters import AdaptFormer, Slots, Sum, TextAttention, bottleneck_rule
from methods.parts.finetune import finetune, shape, text_head
from methods.parts.heads import SCALE
from methods.parts.losses import LogitAdjusted
from methods.parts.training import Recipe
from methods.parts.vit import AdaptedViT, vit
from methods.registry import register


@register(
    "sage",
    paper="Peng et al. 2025, arXiv 2507.12807",
    needs="images",
    reconstruction="only Sage's abstract could be read: adapter and factor are our reconstruction",
)
@dataclass(frozen=True)
class Sage(Method):
    """Semantic-guided adapters and distribution-mismatch compensation (our reconstruction)."""

    guidance: Literal["cross", "none"] = "cross"
    """cross: tokens attend to the class descriptions in every block."""
    attention_width: int = 32
    compensation: Literal["class", "none"] = "class"
    """class: the class constant -d_eff / (2 n_c) in the training softmax."""
    max_nats: float = 3.0
    """The compensation is cut here: a class with one image has no estimate worth more."""
    text: TextSource = "descriptions"
    """What guides; the head starts from the names, as LIFT's does."""
    lr: float = 0.01
    """This and the rest as LIFT, for want of Sage's own values."""
    epochs: int = 10
    batch_size: int = 128
    weight_decay: float = 5e-4
    tau: float = 1.0
    bottleneck: int = 0
    """Width of the adapters; 0 takes LIFT's rule."""
    augment: Augmentation = "crop_flip"

    def fit(self, task: Task) -> Predictor:
        visual = vit(task.backbone)
        width, blocks = shape(visual)
        bottleneck = self.bottleneck or bottleneck_rule(task.num_classes, blocks)
        slots = []
        guides = task.text_features(self.text, ensemble=False) if self.guidance == "cross" else None
        for block in range(blocks):
            key = randomness.key(task.seed, "block", block)
            adapter: nn.Module = AdaptFormer(width, bottleneck, key)
            if guides is not None:
                guide = TextAttention(width, guides, self.attention_width, key)
                adapter = Sum(adapter, guide)
            slots.append(Slots(mlp=adapter))
        shift = self.tau * task.log_prior
        if self.compensation == "class":
            shift = shift + compensation(
                task.train.features(), task.train.labels, task.counts, self.max_nats
            )
        recipe = Recipe(
            self.epochs, self.batch_size, self.lr,
            weight_decay=self.weight_decay, augment=self.augment,
        )  # fmt: skip
        loss = LogitAdjusted(shift, tau=1.0)
        return finetune(task, AdaptedViT(visual, slots), text_head(task), loss, recipe)


def compensation(features: Tensor, labels: Tensor, counts: Tensor, max_nats: float) -> Tensor:
    """(C,) log w_c = -d_eff / (2 n_c), not below -max_nats; our reconstruction.

    Args:
        features: (N, D) L2-normalised training features.
        labels: (N,) classes.
        counts: (C,) training images a class; a class without any is treated as if it had one.
        max_nats: largest compensation.
    """
    sums = torch.zeros(len(counts), features.shape[1], device=features.device)
    sums.index_add_(0, labels, features)
    means = sums / counts.clamp(min=1)[:, None]  # (C, D)
    # Pooled unbiased trace: N - C degrees of freedom, classes with one image contribute nothing.
    freedom = (counts - 1).clamp(min=0).sum().clamp(min=1)
    trace = (features - means[labels]).square().sum() / freedom
    return (-SCALE * trace / (2 * counts.clamp(min=1))).clamp(min=-max_nats)
