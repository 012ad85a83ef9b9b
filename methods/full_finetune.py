"""Full fine-tuning: the whole image tower trained, as the reference for adapters.

Text-initialised cosine head, loss and schedule of LIFT (Shi et al. 2024). LIFT's scripts state the
best learning rate of a search: 5e-4 on ImageNet-LT, 1e-3 on Places-LT. LIFT's code trains only the
blocks; so does `trained=blocks`. The multi-label form is ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from benchmarks.augment import Augmentation
from benchmarks.plugins.ranges import Count, NonNegative
from methods.base import Method, Predictor, Task, TextSource
from methods.parts.image.finetune import TowerLoss, finetune, text_head, tower_loss, unfrozen
from methods.parts.training.loop import Schedule
from methods.registry import register
from methods.space import Distribution, LogUniform, Uniform


@register(
    "full_finetune",
    paper="Shi et al. 2024, arXiv 2309.10019",
    needs="images",
    tasks=("single", "multi"),
)
@dataclass(frozen=True)
class FullFinetune(Method):
    """The whole image tower trained, text-initialised cosine head, logit-adjusted loss."""

    trained: Literal["tower", "blocks"] = "tower"
    """blocks: patch embedding, positions, first and last norm stay frozen, as in LIFT's code."""
    loss: TowerLoss = "auto"
    """auto: la on single-label data (LIFT's scripts), bce on multi-label (ours)."""
    lr: Annotated[float, NonNegative] = 5e-4
    """LIFT's scripts for ImageNet-LT; 1e-3 for Places-LT."""
    epochs: Annotated[int, Count] = 10
    batch_size: Annotated[int, Count] = 128
    weight_decay: Annotated[float, NonNegative] = 5e-4
    tau: Annotated[float, NonNegative] = 1.0
    """Strength of la."""
    text: TextSource = "names"
    """Texts that initialise the head."""
    augment: Augmentation = "crop_flip"
    tte: bool = False
    """Test-time ensembling: mean logits of five crops, as in LIFT's table."""

    space: ClassVar[Mapping[str, Distribution]] = {
        "lr": LogUniform(1e-4, 1e-2),
        "tau": Uniform(0.5, 2.0),
    }

    def fit(self, task: Task) -> Predictor:
        tower = unfrozen(task, self.trained)
        schedule = Schedule(
            self.epochs, self.batch_size, self.lr,
            weight_decay=self.weight_decay, augment=self.augment,
        )  # fmt: skip
        loss = tower_loss(task, self.loss, self.tau)
        return finetune(task, tower, text_head(task, self.text), loss, schedule, tte=self.tte)
