"""LIFT+ (Shi et al. 2025, arXiv 2504.13282): LIFT with minimalist augmentation, in half the epochs.

The model and the loss are LIFT's: adapters in every block of a frozen CLIP ViT, a cosine head that
starts at the projected text features, logit adjustment. What differs is the training: square crops
that grow towards the whole image (`benchmarks/augment.py`), bicubic and without mirroring, a
larger learning rate, fewer epochs, and a uniform start of the adapters. Values are those of the
authors' code (github.com/shijxcs/LIFT-plus, ea555ea). Its evaluation is `--transform lift_plus`
(bicubic, shorter side to 8/7 of the input); the published numbers also use test-time ensembling
(`tte`). Prompts of vpt start as in LIFT.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from benchmarks.augment import Augmentation
from benchmarks.plugins.ranges import Count, NonNegative
from methods.base import Method, Predictor, Task, TextSource
from methods.parts.image.adapters import bottleneck_rule
from methods.parts.image.finetune import (
    AdapterKind,
    adapted,
    finetune,
    shape,
    text_head,
    tower_loss,
)
from methods.parts.image.vit import vit
from methods.parts.training.loop import Schedule
from methods.registry import register
from methods.space import Distribution, LogUniform, Uniform

_MATRICES = {"lora": 4, "vpt": 1, "vpt_shallow": 1}
"""Matrices per block in the rule of sizes, where they are not 2."""


@register("lift_plus", paper="Shi et al. 2025, arXiv 2504.13282", needs="images")
@dataclass(frozen=True)
class LiftPlus(Method):
    """LIFT in 5 epochs: square crops that grow over the epochs, a larger learning rate."""

    adapter: AdapterKind = "adaptformer"
    """Adapters of lift; its card says what they are. The share of mask is that of the rule."""
    loss: Literal["ce", "la"] = "la"
    lr: Annotated[float, NonNegative] = 0.02
    """LIFT has 0.01."""
    epochs: Annotated[int, Count] = 5
    """15 on iNaturalist 2018."""
    batch_size: Annotated[int, Count] = 128
    weight_decay: Annotated[float, NonNegative] = 5e-4
    tau: Annotated[float, NonNegative] = 1.0
    """Strength of la."""
    bottleneck: Annotated[int, NonNegative] = 0
    """Width of adaptformer and adapter, rank of lora; 0 takes the rule for K classes and L blocks,
    2^floor(log2(K / 2L)), for lora 2^floor(log2(K / 4L))."""
    prompts: Annotated[int, NonNegative] = 0
    """Prompt tokens per block of vpt; 0 takes the rule 2^floor(log2(K / L))."""
    text: TextSource = "names"
    """Texts that initialise the head (with the first template only)."""
    augment: Augmentation = "square_crop_convex"
    """The smallest crop is 8 % of the area in the first of 5 epochs, then 11, 20, 39 and 100 %.
    LIFT trains with crop_flip."""
    tte: bool = False
    """Test-time ensembling: mean logits of five crops."""

    space: ClassVar[Mapping[str, Distribution]] = {
        "lr": LogUniform(0.004, 0.1),
        "tau": Uniform(0.5, 2.0),
    }

    def fit(self, task: Task) -> Predictor:
        _, blocks = shape(vit(task.backbone))
        size = bottleneck_rule(task.num_classes, blocks, _MATRICES.get(self.adapter, 2))
        tower = adapted(
            task, self.adapter, self.bottleneck or size, self.prompts or size, "kaiming_uniform"
        )
        schedule = Schedule(
            self.epochs, self.batch_size, self.lr,
            weight_decay=self.weight_decay, augment=self.augment,
        )  # fmt: skip
        loss = tower_loss(task, self.loss, self.tau)
        return finetune(task, tower, text_head(task, self.text), loss, schedule, tte=self.tte)
