"""CLAP and ZS-LP: linear probes that start at the text classifier (arXiv 2312.12730).

ZS-LP trains w_c from w_c = t_c by cross-entropy on s * cos(x, w_c), with t_c the text features and
s the backbone's logit scale. CLAP adds the penalty

    (1 / C) * sum over c of lambda_c |w_c - t_c|^2,

where lambda_c is the mean zero-shot probability of class c over its own training images: classes
whose texts already do well stay near them. Nothing is searched on validation images. Values are
those of the authors' code (github.com/jusiro/CLAP, dbdf409), whose command fixes lambda_c during
training. Three things differ: there is no first epoch at a learning rate of 1e-5 (the shared loop
has no warm-up), frozen features of unaugmented images replace those of 20 random views of each, and
a class without training images, where their lambda_c is 0 / 0, gets the mean of the others (as in
the same authors' SS-Text).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.plugins.ranges import Count, NonNegative
from methods.base import Batch, Task, TextSource
from methods.parts.ensembling import views_for
from methods.parts.heads.text_residual import TextResidual, raw_text_features
from methods.parts.losses.base import Loss
from methods.parts.training.learning import Learner, Learning
from methods.parts.training.schedules import Schedule, Training
from methods.registry import register
from methods.space import Distribution, LogUniform

AT_ONCE = 4096
"""Images whose zero-shot probabilities are computed at once."""


@register("clap", paper="Silva-Rodríguez et al. 2024, arXiv 2312.12730", needs="features")
@dataclass(frozen=True)
class Clap(Learner):
    """CLAP, a probe tied to the text classifier class by class; with constraint=none ZS-LP."""

    constraint: Literal["class", "none"] = "class"
    """class: CLAP's penalty; none: ZS-LP."""
    text: TextSource = "names"
    """Texts that fill the prompts of the text classifier."""
    ensemble: bool = False
    """Average the features of all templates; the authors' code uses one, on ImageNet eight."""
    lr: Annotated[float, NonNegative] = 0.1
    epochs: Annotated[int, Count] = 300
    """For any number of shots (authors' configuration), each of N / 256 steps."""
    batch_size: Annotated[int, Count] = 256
    weight_decay: Annotated[float, NonNegative] = 0.0
    """Decay of w_c - t_c; none in the authors' configuration."""
    tte: bool = False
    """Test-time ensembling: mean logits of five crops of each test image."""

    space: ClassVar[Mapping[str, Distribution]] = {"lr": LogUniform(0.01, 10.0)}

    def learn(self, task: Task) -> Learning:
        views = views_for(task, tte=self.tte)
        texts = raw_text_features(task, self.text, ensemble=self.ensemble)
        module = TextResidual(texts, scale=task.backbone.logit_scale)
        trust = zero_shot_confidence(task, module) if self.constraint == "class" else None
        schedule = Schedule(self.epochs, self.batch_size, self.lr, weight_decay=self.weight_decay)
        predictor = yield Training(task, module, TiedToTexts(module, trust), schedule)
        return dataclasses.replace(predictor, views=views)


class TiedToTexts(Loss):
    """Cross-entropy plus the mean over the classes of lambda_c |r_c|^2.

    Args:
        module: classifier with the residuals r_c (C, D).
        trust: (C,) lambda_c; None for no penalty.
    """

    coupled = False
    trust: Tensor | None

    def __init__(self, module: TextResidual, trust: Tensor | None) -> None:
        super().__init__()
        self._residual = module.residual
        self.register_buffer("trust", trust, persistent=False)

    def forward(self, logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
        """(B, C) logits and (B,) labels -> (B,) losses."""
        losses = F.cross_entropy(logits, labels, reduction="none")
        if self.trust is None:
            return losses
        return losses + (self.trust * self._residual.square().sum(-1)).mean()


@torch.no_grad()
def zero_shot_confidence(task: Task, module: TextResidual) -> Tensor:
    """(C,) mean probability of each class over its own training images, before training.

    A class without training images has the mean of the others.
    """
    labels = task.train.labels
    own = torch.cat(
        [
            module(batch).softmax(-1).gather(1, of_batch[:, None])[:, 0]
            for batch, of_batch in task.batches(task.train, "features", AT_ONCE)
        ]
    )
    sums = torch.zeros(task.num_classes, device=own.device).index_add_(0, labels, own)
    means = sums / task.counts.clamp(min=1)
    present = task.counts > 0
    return torch.where(present, means, means.sum() / present.sum())
