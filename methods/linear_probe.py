"""A head on frozen features under any of the losses: the baseline of the other methods."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from benchmarks.errors import NotApplicable
from benchmarks.plugins.ranges import Count, NonNegative, Positive, Share
from methods.base import Task
from methods.parts.ensembling import views_for
from methods.parts.heads.linear_classifiers import SCALE, head_training
from methods.parts.losses import LossName, multi_label_settings, named_loss
from methods.parts.losses.base import LossFunction
from methods.parts.losses.multi_label.bce import binary_cross_entropy
from methods.parts.losses.single_label.ce import cross_entropy
from methods.parts.training.learning import Learner, Learning
from methods.parts.training.schedules import Schedule
from methods.registry import register
from methods.space import Distribution, LogUniform


@register(
    "linear_probe",
    paper="Radford et al. 2021, arXiv 2103.00020",
    needs="features",
    tasks=("single", "multi"),
)
@dataclass(frozen=True)
class LinearProbe(Learner):
    """A cosine or linear head on frozen features, under any of the losses."""

    loss: LossName = "auto"
    """auto: ce on single-label, bce on multi-label data. asl, bal, bce and db are for multi-label
    data, focal has a form for each, the others are for single-label data."""
    tau: Annotated[float, NonNegative] = 1.0
    """Strength of la (LIFT's code)."""
    db_neg_scale: Annotated[float, Positive] = 2.0
    """lambda of db: 2 for COCO-LT, whose 80 classes are closer to most data sets; 5 for VOC-LT."""
    db_mu: Annotated[float, Share] = 0.2
    """mu of db: 0.2 for COCO-LT, 0.3 for VOC-LT (the authors' configs)."""
    asl_gamma_pos: Annotated[float, NonNegative] = 0.0
    """Focusing exponent of asl's positives (training scripts of ASL and LMPT; 1 in ASL's class)."""
    asl_detach: bool = True
    """No gradient through asl's focusing factors (the same scripts); false: as in its equations."""
    bal_power: Annotated[float, NonNegative] = 1.6
    """Exponent of bal's class weights: 1.6 for COCO-LT, 1.35 for VOC-LT (LM-CLIP's configs)."""
    bal_divisor: Annotated[float, NonNegative] = 0.0
    """Divisor of the logits in bal; 0: the largest logit of the batch (LM-CLIP's code)."""
    cb_reduction: Literal["weights", "batch"] = "weights"
    """weights: cb divides a batch by its weights (LIFT's code); batch: by its images, with a mean
    weight of 1 over the classes (the authors' code)."""
    head: Literal["cosine", "linear"] = "cosine"
    init: Literal["random", "text", "class_mean"] = "random"
    lr: Annotated[float, NonNegative] = 0.03
    """LIFT+ reports 0.03 as the best for its linear probes (arXiv 2504.13282, code)."""
    epochs: Annotated[int, Count] = 10
    batch_size: Annotated[int, Count] = 128
    weight_decay: Annotated[float, NonNegative] = 5e-4
    tte: bool = False
    """Test-time ensembling: mean logits of five crops of each test image."""

    space: ClassVar[Mapping[str, Distribution]] = {
        "lr": LogUniform(0.003, 0.3),
        "weight_decay": LogUniform(5e-6, 5e-3),
    }

    def learn(self, task: Task) -> Learning:
        views = views_for(task, tte=self.tte)
        schedule = Schedule(self.epochs, self.batch_size, self.lr, weight_decay=self.weight_decay)
        loss = self._loss(task)
        predictor = yield head_training(task, loss, schedule, head=self.head, init=self.init)
        return dataclasses.replace(predictor, views=views)

    def _loss(self, task: Task) -> LossFunction:
        if self.loss in ("ldam", "ldam_drw") and self.head == "linear":
            raise NotApplicable(f"{self.loss}'s margins are cosines: it needs head=cosine")
        if self.loss == "auto":
            if task.kind == "single":
                return cross_entropy
            task.note("the loss is bce, linear_probe's default for multi-label data")
            return binary_cross_entropy
        return named_loss(
            self.loss,
            task,
            scale=SCALE,
            tau=self.tau,
            **multi_label_settings(self),
            cb_reduction=self.cb_reduction,
        )
