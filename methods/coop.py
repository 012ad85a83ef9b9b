"""CoOp: learned context vectors before the class names (Zhou et al. 2022, arXiv 2109.01134).

Values are those of the authors' code (github.com/KaiyangZhou/CoOp, configs/trainers/CoOp/*.yaml,
with Dassl's momentum and weight decay): 16 contexts shared by all classes, from a normal
distribution with standard deviation 0.02, class name at the end, SGD under a cosine schedule. Two
things differ: there is no first epoch at a learning rate of 1e-5 (the shared loop has no warm-up),
and frozen features of unaugmented images replace random crops and flips.

The paper is about single-label data. The multi-label form is our reconstruction: a sigmoid loss in
place of the softmax, on scaled and shifted cosines (`parts.heads.calibration`). With
`scores=softmax` of a data set it is measured as in LMPT, on the softmax of the backbone's scale
times cosine.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

from benchmarks.plugins.ranges import Count, NonNegative, Positive, Share
from methods.base import Task
from methods.parts.ensembling import views_for
from methods.parts.losses import MultiLabelLossName, multi_label_settings, named_loss
from methods.parts.losses.base import LossFunction
from methods.parts.losses.single_label.ce import cross_entropy
from methods.parts.text.prompts import Position, PromptClassifier, PromptLearner, prompt_schedule
from methods.parts.training.learning import Learner, Learning
from methods.parts.training.schedules import Training
from methods.registry import register
from methods.space import Distribution, LogUniform, OneOf


@register(
    "coop",
    paper="Zhou et al. 2022, arXiv 2109.01134",
    needs="features",
    tasks=("single", "multi"),
    reconstruction={"multi": "CoOp's multi-label form is our reconstruction"},
)
@dataclass(frozen=True)
class CoOp(Learner):
    """Context vectors before the class names, learned through the frozen text tower."""

    contexts: Annotated[int, Count] = 16
    """M, context vectors per prompt."""
    class_specific: bool = False
    """Separate contexts for every class (CSC in the paper) instead of shared ones."""
    init: str = ""
    """Text that the context starts at, instead of random numbers (CTX_INIT: "a photo of a" in the
    authors' files named ctxv1); it has as many context vectors as tokens."""
    position: Position = "end"
    """Place of the class name (CLASS_TOKEN_POSITION): after all context vectors, in the middle of
    them, or in front."""
    loss: MultiLabelLossName = "bce"
    """Multi-label: the loss, summed over the classes."""
    db_neg_scale: Annotated[float, Positive] = 2.0
    """lambda of db: 2 for COCO-LT, 5 for VOC-LT."""
    db_mu: Annotated[float, Share] = 0.2
    """mu of db: 0.2 for COCO-LT, 0.3 for VOC-LT."""
    asl_gamma_pos: Annotated[float, NonNegative] = 0.0
    """Focusing exponent of asl's positives (training scripts of ASL and LMPT; 1 in ASL's class)."""
    asl_detach: bool = True
    """No gradient through asl's focusing factors (the same scripts); false: as in its equations."""
    bal_power: Annotated[float, NonNegative] = 1.6
    """Exponent of bal's class weights: 1.6 for COCO-LT, 1.35 for VOC-LT (LM-CLIP's configs)."""
    bal_divisor: Annotated[float, NonNegative] = 0.0
    """Divisor of the logits in bal; 0: the largest logit of the batch (LM-CLIP's code)."""
    lr: Annotated[float, NonNegative] = 0.002
    epochs: Annotated[int, Count] = 50
    """The value for all of ImageNet; 200 with 16 shots per class."""
    batch_size: Annotated[int, Count] = 32
    weight_decay: Annotated[float, NonNegative] = 5e-4
    tte: bool = False
    """Test-time ensembling: mean logits of five crops of each test image."""

    space: ClassVar[Mapping[str, Distribution]] = {
        "lr": LogUniform(1e-3, 1.0),
        "class_specific": OneOf((False, True)),
    }

    def learn(self, task: Task) -> Learning:
        views = views_for(task, tte=self.tte)
        prompts = PromptLearner(
            task,
            self.contexts,
            class_specific=self.class_specific,
            init=self.init,
            position=self.position,
        )
        loss = cross_entropy if task.kind == "single" else self._multi_label(task)
        schedule = prompt_schedule(self.epochs, self.batch_size, self.lr, self.weight_decay)
        module = PromptClassifier(prompts, task, loss)
        predictor = yield Training(task, module, loss, schedule, uncalibrated=module.uncalibrated)
        return dataclasses.replace(predictor, views=views)

    def _multi_label(self, task: Task) -> LossFunction:
        return named_loss(self.loss, task, **multi_label_settings(self))
