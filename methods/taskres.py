"""TaskRes: a learned residual on the text classifier (Yu et al. 2023, arXiv 2211.10277).

logits = s * cos(x, t_c + alpha r_c) with the text features t_c frozen, r_c = 0 at first, and s the
backbone's logit scale. Values are those of the authors' code (github.com/geekyutao/TaskRes,
5195359, with Dassl's weight decay). Two things differ: there is no first epoch at a learning rate
of 1e-5 (the shared loop has no warm-up), and frozen features of unaugmented images replace random
crops and flips. Their "enhanced base", a text projection that they trained beforehand, is not here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

from benchmarks.plugins.ranges import Count, NonNegative
from methods.base import Task, TextSource
from methods.parts.ensembling import views_for
from methods.parts.heads.text_residual import TextResidual, raw_text_features
from methods.parts.losses.single_label.ce import cross_entropy
from methods.parts.training.learning import Learner, Learning
from methods.parts.training.schedules import Schedule, Training
from methods.registry import register
from methods.space import Distribution, LogUniform, Uniform


@register("taskres", paper="Yu et al. 2023, arXiv 2211.10277", needs="features")
@dataclass(frozen=True)
class TaskRes(Learner):
    """TaskRes: a learned residual on the frozen text classifier."""

    alpha: Annotated[float, NonNegative] = 0.5
    """Factor on the residual; 1 on Oxford Flowers (authors' scripts)."""
    text: TextSource = "names"
    """Texts that fill the prompts of the text classifier."""
    ensemble: bool = False
    """Average the features of all templates; the authors' code uses one, on ImageNet eight."""
    lr: Annotated[float, NonNegative] = 0.002
    """Adam's; 2e-4 on ImageNet (authors' scripts)."""
    epochs: Annotated[int, Count] = 200
    """8 or 16 images per class; 100 for fewer (authors' scripts)."""
    batch_size: Annotated[int, Count] = 256
    weight_decay: Annotated[float, NonNegative] = 5e-4
    """Decay of the residual, part of Adam's gradient (Dassl's default)."""
    tte: bool = False
    """Test-time ensembling: mean logits of five crops of each test image."""

    space: ClassVar[Mapping[str, Distribution]] = {
        "lr": LogUniform(2e-4, 0.2),
        "alpha": Uniform(0.1, 1.0),
    }

    def learn(self, task: Task) -> Learning:
        views = views_for(task, tte=self.tte)
        texts = raw_text_features(task, self.text, ensemble=self.ensemble)
        module = TextResidual(texts, scale=task.backbone.logit_scale, alpha=self.alpha)
        schedule = Schedule(
            self.epochs, self.batch_size, self.lr,
            weight_decay=self.weight_decay, optimiser="adam",
        )  # fmt: skip
        predictor = yield Training(task, module, cross_entropy, schedule)
        return dataclasses.replace(predictor, views=views)
