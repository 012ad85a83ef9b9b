"""LIFT: lightweight fine-tuning for long-tailed recognition (Shi et al. 2024, arXiv 2309.10019).

AdaptFormer in every block of a frozen CLIP ViT, a cosine head on the class token before the CLIP
projection that starts at the projected text features, and the logit-adjusted loss. Values are
those of the authors' code (github.com/shijxcs/LIFT, 661ead9), without test-time ensembling.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks import randomness
from benchmarks.augment import Augmentation
from methods.base import Method, Predictor, Task, TextSource
from methods.parts.adapters import AdaptFormer, Slots, bottleneck_rule
from methods.parts.finetune import finetune, shape, text_head
from methods.parts.losses import LogitAdjusted
from methods.parts.training import Recipe
from methods.parts.vit import AdaptedViT, vit
from methods.registry import register


@register("lift", paper="Shi et al. 2024, arXiv 2309.10019", needs="images")
@dataclass(frozen=True)
class Lift(Method):
    """AdaptFormer in a frozen ViT, text-initialised cosine head, logit-adjusted loss."""

    lr: float = 0.01
    epochs: int = 10
    batch_size: int = 128
    weight_decay: float = 5e-4
    tau: float = 1.0
    bottleneck: int = 0
    """Width of the adapters; 0 takes LIFT's rule, 2^floor(log2(K / 2L))."""
    text: TextSource = "names"
    """What the head is initialised from (the first template alone, as in LIFT)."""
    augment: Augmentation = "crop_flip"

    def fit(self, task: Task) -> Predictor:
        visual = vit(task.backbone)
        width, blocks = shape(visual)
        bottleneck = self.bottleneck or bottleneck_rule(task.num_classes, blocks)
        keys = [randomness.key(task.seed, "block", i) for i in range(blocks)]
        slots = [Slots(mlp=AdaptFormer(width, bottleneck, key)) for key in keys]
        recipe = Recipe(
            self.epochs, self.batch_size, self.lr,
            weight_decay=self.weight_decay, augment=self.augment,
        )  # fmt: skip
        loss = LogitAdjusted(task.log_prior, self.tau)
        return finetune(task, AdaptedViT(visual, slots), text_head(task, self.text), loss, recipe)
