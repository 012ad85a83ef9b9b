"""cRT: classifier re-training with class-balanced sampling (Kang et al. 2020, arXiv 1910.09217).

Stage 1 learns a representation from images in their natural distribution; stage 2 discards its
classifier and trains a linear one from random weights with class-balanced sampling. Stage 2's
values are those of the authors' code (github.com/facebookresearch/classifier-balancing, f162ade,
config/*/cls_crt.yaml): SGD with a learning rate of 0.1 for a batch of 256 (Places-LT) and 0.2 for
one of 512 (ImageNet-LT, iNaturalist 2018); 10 epochs and weight decay 5e-4, but 30 epochs and 1e-4
on iNaturalist 2018 (`configs/recipes/crt__inat2018__….yaml`). Stage 1 on a CLIP tower is ours, see
`parts/image/two_stage.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

from benchmarks.augment import Augmentation
from benchmarks.plugins.ranges import Count, NonNegative, OpenShare
from methods.base import Method, Predictor, Task
from methods.parts.heads.linear_classifiers import LinearHead, OnFeatures, initial_weight
from methods.parts.image.two_stage import FirstStage, epochs_of_stages, representation, untrained
from methods.parts.losses.single_label.ce import cross_entropy
from methods.parts.training.loop import ONLY, Schedule, Stage, train
from methods.registry import register
from methods.space import Distribution, LogUniform


@register(
    "crt",
    paper="Kang et al. 2020, arXiv 1910.09217",
    needs="images",
    reconstruction="stage 1 on a CLIP tower is ours; stage 2 sees features of unaugmented images",
)
@dataclass(frozen=True)
class Crt(Method):
    """A fine-tuned representation, then a new linear head under class-balanced sampling."""

    stage1: FirstStage = "adapter"
    """Part that stage 1 trains: adapter (AdaptFormer in every block), full (the whole tower) or
    frozen (nothing: there is no stage 1, and crt is only a balanced sampler)."""
    lr: Annotated[float, NonNegative] = 0.01
    """Learning rate of stage 1, LIFT's for adapters; for the whole tower LIFT's scripts use 5e-4 to
    1e-3."""
    head_lr: Annotated[float, NonNegative] = 0.1
    """Learning rate of stage 2 for a batch of 256, scaled with the batch size as in the authors'
    configs."""
    epochs: Annotated[int, Count] = 20
    """Epochs of both stages."""
    head_share: Annotated[float, OpenShare] = 0.5
    """Share of the epochs for stage 2: 10 (the authors' code) after LIFT's 10. On iNaturalist 2018
    it is 30 after LIFT's 20: epochs=50, head_share=0.6."""
    batch_size: Annotated[int, Count] = 128
    weight_decay: Annotated[float, NonNegative] = 5e-4
    """Weight decay of both stages; 1e-4 on iNaturalist 2018 (the authors' code)."""
    augment: Augmentation = "crop_flip"
    """Augmentation of stage 1; stage 2 uses features of unaugmented images."""

    space: ClassVar[Mapping[str, Distribution]] = {
        "lr": LogUniform(0.002, 0.05),
        "head_lr": LogUniform(0.01, 1.0),
    }

    def fit(self, task: Task) -> Predictor:
        if self.stage1 == "frozen":
            first, second = 0, self.epochs
            found = untrained(task)
            task.note("on frozen features crt is only a class-balanced sampler")
        else:
            first, second = epochs_of_stages(self.epochs, self.head_share)
            schedule = Schedule(
                first, self.batch_size, self.lr,
                weight_decay=self.weight_decay, augment=self.augment,
            )  # fmt: skip
            stage = Stage(epochs_after=second)
            found = representation(task, self.stage1, schedule, stage)
        head = LinearHead(initial_weight(task, "random", found.head.weight.shape[1]))
        schedule = Schedule(
            second, self.batch_size, self.head_lr * self.batch_size / 256,
            weight_decay=self.weight_decay, sampler="balanced",
        )  # fmt: skip
        stage = Stage(index=1, epochs_before=first) if first else ONLY
        last = train(found.task, OnFeatures(head), cross_entropy, schedule, "features", stage)
        return found.predictor(head, last)
