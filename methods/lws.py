"""LWS: learnable weight scaling (Kang et al. 2020, arXiv 1910.09217, section 4).

Stage 1 learns a representation and a linear classifier from images in their natural distribution;
stage 2 freezes both and learns one factor per class on the classifier's output, with class-balanced
sampling. Stage 2's values are those of the authors' code
(github.com/facebookresearch/classifier-balancing, f162ade, config/*/cls_lws.yaml): 5 epochs of SGD,
factors that start at 1 and also scale the bias, learning rate 0.1 for a batch of 256 (Places-LT)
and 0.2 for one of 512 (ImageNet-LT, iNaturalist 2018), weight decay 5e-4, but 1e-4 on iNaturalist
2018 (`configs/recipes/lws__inat2018__….yaml`). Stage 1 on a CLIP tower is ours, see
`parts/image/two_stage.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from benchmarks.augment import Augmentation
from benchmarks.plugins.ranges import Count, NonNegative, OpenShare
from methods.base import Method, Predictor, Task
from methods.parts.heads.linear_classifiers import LinearHead, OnFeatures
from methods.parts.image.two_stage import FirstStage, epochs_of_stages, representation
from methods.parts.losses.single_label.ce import cross_entropy
from methods.parts.training.loop import Schedule, Stage, train
from methods.registry import register
from methods.space import Distribution, LogUniform


@register(
    "lws",
    paper="Kang et al. 2020, arXiv 1910.09217",
    needs="images",
    reconstruction="stage 1 on a CLIP tower is ours; stage 2 sees features of unaugmented images",
)
@dataclass(frozen=True)
class Lws(Method):
    """A fine-tuned classifier, then one learned scale per class under class-balanced sampling."""

    stage1: FirstStage = "adapter"
    """Part that stage 1 trains in addition to the head: adapter (AdaptFormer in every block), full
    (the whole tower) or frozen (nothing)."""
    lr: Annotated[float, NonNegative] = 0.01
    """Learning rate of stage 1, LIFT's for adapters; for the whole tower LIFT's scripts use 5e-4 to
    1e-3."""
    scale_lr: Annotated[float, NonNegative] = 0.1
    """Learning rate of stage 2 for a batch of 256, scaled with the batch size as in the authors'
    configs."""
    epochs: Annotated[int, Count] = 15
    """Epochs of both stages."""
    scale_share: Annotated[float, OpenShare] = 1 / 3
    """Share of the epochs for stage 2: 5 (the authors' code) after LIFT's 10. On iNaturalist 2018
    it is 5 after LIFT's 20: epochs=25, scale_share=0.2."""
    batch_size: Annotated[int, Count] = 128
    weight_decay: Annotated[float, NonNegative] = 5e-4
    """Weight decay of both stages; 1e-4 on iNaturalist 2018 (the authors' code)."""
    augment: Augmentation = "crop_flip"
    """Augmentation of stage 1; stage 2 uses features of unaugmented images."""

    space: ClassVar[Mapping[str, Distribution]] = {
        "lr": LogUniform(0.002, 0.05),
        "scale_lr": LogUniform(0.01, 1.0),
    }

    def fit(self, task: Task) -> Predictor:
        first, second = epochs_of_stages(self.epochs, self.scale_share)
        schedule = Schedule(
            first, self.batch_size, self.lr,
            weight_decay=self.weight_decay, augment=self.augment,
        )  # fmt: skip
        found = representation(task, self.stage1, schedule, Stage(epochs_after=second))
        schedule = Schedule(
            second, self.batch_size, self.scale_lr * self.batch_size / 256,
            weight_decay=self.weight_decay, sampler="balanced",
        )  # fmt: skip
        head = Scaled(found.head)
        stage = Stage(index=1, epochs_before=first)
        last = train(found.task, OnFeatures(head), cross_entropy, schedule, "features", stage)
        return found.predictor(head, last)


class Scaled(nn.Module):
    """s_c * head_c(x), the head frozen and s learned from 1.

    Args:
        head: (B, W) -> (B, C).
    """

    def __init__(self, head: LinearHead) -> None:
        super().__init__()
        self.head = head.requires_grad_(False)
        self.scale = nn.Parameter(torch.ones_like(head.bias))

    def forward(self, x: Tensor) -> Tensor:
        """(B, W) -> (B, C)."""
        logits: Tensor = self.head(x)
        return self.scale * logits
