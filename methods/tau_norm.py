"""tau-normalised classifier (Kang et al. 2020, arXiv 1910.09217, section 4) on frozen features.

A linear head is trained with plain cross-entropy; its weights w_c become w_c / |w_c|^tau and its
bias is dropped. Rare classes end up with shorter weights, so tau > 0 favours them: 0 only drops the
bias, 1 leaves only the directions. tau is chosen after training: with validation images it is
searched in [0, 1] by balanced accuracy (the authors' script reports a range of tau on the test
set). On multi-label data it has no effect: a positive factor and a bias do not change a class's
average precision.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from torch import Tensor, nn

from benchmarks.plugins.ranges import Count, NonNegative
from methods.base import Task
from methods.parts.ensembling import views_for
from methods.parts.heads.linear_classifiers import LinearHead, OnFeatures, initial_weight
from methods.parts.losses.single_label.ce import cross_entropy
from methods.parts.training.learning import Learner, Learning
from methods.parts.training.schedules import Schedule, Training
from methods.parts.training.scoring import validation_score
from methods.registry import register
from methods.space import Distribution, LogUniform

STEPS = 20
"""Steps in which the search divides [0, 1]."""


@register("tau_norm", paper="Kang et al. 2020, arXiv 1910.09217", needs="features")
@dataclass(frozen=True)
class TauNorm(Learner):
    """A linear head whose weights are normalised to length^(1 - tau) after plain training."""

    tau: Annotated[float, NonNegative] = 1.0
    """Exponent without validation images; with them (`--select val`) it is searched in steps of
    0.05. The default is full normalisation, which needs no search (ours)."""
    init: Literal["random", "text", "class_mean"] = "random"
    lr: Annotated[float, NonNegative] = 0.03
    """This and the following as in linear_probe."""
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
        head = LinearHead(initial_weight(task, self.init, task.train.features().shape[1]))
        schedule = Schedule(self.epochs, self.batch_size, self.lr, weight_decay=self.weight_decay)
        trained = yield Training(task, OnFeatures(head), cross_entropy, schedule)
        tau = self.tau if task.validation is None else best_tau(task, head)
        if task.validation is not None:
            task.note("tau chosen on validation images")
            task.detail(f"tau = {tau:g}")
        normalised = OnFeatures(TauNormalised(head, tau)).eval()
        return dataclasses.replace(trained, logits=normalised, views=views)


class TauNormalised(nn.Module):
    """x . w_c / |w_c|^tau, without the bias.

    Args:
        head: a trained linear head.
        tau: 0 keeps the weights, 1 scales them all to length 1.
    """

    def __init__(self, head: LinearHead, tau: float) -> None:
        super().__init__()
        weight = head.weight.detach()
        length = weight.norm(dim=1, keepdim=True).clamp(min=1e-12)
        self._head = LinearHead(weight / length**tau)  # its bias is zero

    def forward(self, x: Tensor) -> Tensor:
        """(B, D) -> (B, C)."""
        logits: Tensor = self._head(x)
        return logits


def best_tau(task: Task, head: LinearHead) -> float:
    """The smallest tau in [0, 1] with the highest balanced accuracy on validation images."""

    def score(tau: float) -> float:
        module = OnFeatures(TauNormalised(head, tau))
        return validation_score(task, module, "features", batch_size=1024)

    return max((step / STEPS for step in range(STEPS + 1)), key=score)
