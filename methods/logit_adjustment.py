"""Logit adjustment (Menon et al. 2021, arXiv 2007.07314) on frozen features.

`train` learns with cross-entropy on z + tau log pi (eq. 10) and predicts with z; `posthoc` learns
with plain cross-entropy and predicts with z - tau log pi (eq. 9). pi are the training frequencies.

`zero_shot` trains nothing: zero-shot logits minus tau times the log of the prior that they carry
from the backbone's *pre-training* (GLA, Zhu et al. 2023, arXiv 2310.08106). The training
frequencies would be the wrong prior, because zero-shot logits never saw them: subtracting them
harms the head classes without a gain elsewhere. This is GLA's correction alone; `gla` is its
ensemble with a fine-tuned model. `parts.heads.priors` estimates the prior.

None of this applies to multi-label data: a shift of a class's logits does not change its average
precision.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from benchmarks.plugins.ranges import Count, NonNegative
from methods.base import Predictor, Task
from methods.parts.ensembling import views_for
from methods.parts.heads.linear_classifiers import head_training
from methods.parts.heads.priors import prior_from_images, prior_from_texts
from methods.parts.losses.single_label.ce import cross_entropy
from methods.parts.losses.single_label.la import LogitAdjusted
from methods.parts.training.learning import Learner, Learning
from methods.parts.training.schedules import Schedule
from methods.registry import register
from methods.space import Distribution, LogUniform, Uniform


@register("logit_adjustment", paper="Menon et al. 2021, arXiv 2007.07314", needs="features")
@dataclass(frozen=True)
class LogitAdjustment(Learner):
    """Logit adjustment by the class frequencies, or of zero-shot logits by a pre-training prior."""

    mode: Literal["train", "posthoc", "zero_shot"] = "train"
    """In the training loss, after training, or on zero-shot logits (which trains nothing)."""
    prior: Literal["reweighted", "texts"] = "reweighted"
    """mode=zero_shot: estimate the pre-training prior from the training images, with equal weight
    for every class, or from the class texts alone."""
    tau: Annotated[float, NonNegative] = 1.0
    """Strength; 1 is the Bayes classifier for balanced classes."""
    head: Literal["cosine", "linear"] = "cosine"
    init: Literal["random", "text", "class_mean"] = "random"
    lr: Annotated[float, NonNegative] = 0.03
    """Equal to linear_probe's, so that the two differ only in the adjustment."""
    epochs: Annotated[int, Count] = 10
    batch_size: Annotated[int, Count] = 128
    weight_decay: Annotated[float, NonNegative] = 5e-4
    tte: bool = False
    """Test-time ensembling: mean logits of five crops of each test image."""

    space: ClassVar[Mapping[str, Distribution]] = {
        "lr": LogUniform(0.003, 0.3),
        "tau": Uniform(0.5, 2.0),
        "weight_decay": LogUniform(5e-6, 5e-3),
    }

    def learn(self, task: Task) -> Learning:
        views = views_for(task, tte=self.tte)
        if self.mode == "zero_shot":
            return dataclasses.replace(self._zero_shot(task), views=views)
        schedule = Schedule(self.epochs, self.batch_size, self.lr, weight_decay=self.weight_decay)
        train_time = self.mode == "train"
        loss = LogitAdjusted(task.log_prior, self.tau) if train_time else cross_entropy
        posthoc = None if train_time else self.tau * task.log_prior  # (C,)
        training = head_training(
            task, loss, schedule, head=self.head, init=self.init, posthoc=posthoc
        )
        predictor = yield training
        return dataclasses.replace(predictor, views=views)

    def _zero_shot(self, task: Task) -> Predictor:
        scale = task.backbone.logit_scale
        texts = task.text_features()  # (C, D)
        weight = scale * texts
        if self.prior == "texts":
            log_prior = prior_from_texts(texts, scale)
        else:
            log_prior = prior_from_images(task.train.features(), task.train.labels, weight)
            if bool((task.counts == 0).any()):
                task.note("classes without training images take the others' mean log prior")
        shift = self.tau * log_prior
        return Predictor(lambda batch: batch.inputs @ weight.T - shift)
