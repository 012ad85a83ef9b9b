"""Uniformly distributed category prototypes (Fu, He, Ding, Cao, Wang 2023, arXiv 2308.12522).

Only the abstract and one figure caption could be read, and no code is published. From them:
category prototypes are spread uniformly over a hypersphere; a prototype-based contrastive loss
draws image and text features of a category to its prototype; irrelevant text is filtered,
attributes are enhanced; a second stage fine-tunes for recognition with a classifier that
class-feature prototypes guide, against the bias of a learned one towards the head. **Everything
else here is our reconstruction**, on frozen features:

- Prototypes: a regular simplex where one fits, otherwise optimised (`parts/heads/prototypes.py`),
  rotated and assigned so that each lies near its class's text.
- Texts of a class (`parts/text/class_texts.py`): pieces less similar to the class's training images
  than its pieces are on average are dropped (the filter); the others are weighted by the
  probability of their class (the enhancement).
- Input: the mean of images and the mean of texts are subtracted, since they are most of what
  separates the modalities; images are also whitened within classes, because equidistant prototypes
  suit classes with equal spread in all directions. The paper is not known to do either.
- Matching (stage 1, `parts/heads/matching.py`): one residual linear map for images and texts, zero
  at first, trained by InfoNCE of both against the fixed prototypes, with logits adjusted by the
  class frequencies. It is shared because otherwise texts would not affect the map of images.
- Classifier (stage 2, same file): a weighted mean of two cosines, one with the fixed prototype, one
  with a direction between the class's text and a learned direction that starts at the class-feature
  prototype (mean mapped feature). With few images the text dominates, with many the learned one.

The values of the fields are ours too. They were chosen on images drawn for this purpose (glyph
worlds 1 to 4, none of which is the default one), never on test images. Single-label only: a feature
cannot be close to several prototypes that point away from each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.plugins.ranges import Count, NonNegative, OpenShare, Positive, Share
from methods.base import Batch, Predictor, Task, TextSource
from methods.parts.ensembling import views_for
from methods.parts.heads.linear_classifiers import SCALE
from methods.parts.heads.matching import GuidedClassifier, Matching, Whitening, class_means
from methods.parts.heads.prototypes import assigned, cosine_bound, max_cosine, spread
from methods.parts.image.two_stage import epochs_of_stages
from methods.parts.losses.base import Loss
from methods.parts.losses.single_label.la import LogitAdjusted
from methods.parts.text.class_texts import TextFilter, distinctive, fused, pieces, relevant
from methods.parts.training.learning import Learner, Learning
from methods.parts.training.schedules import ONLY, Schedule, Stage, Training
from methods.registry import register
from methods.space import Distribution, LogUniform, Uniform


@register(
    "prototype",
    paper="Fu et al. 2023, arXiv 2308.12522",
    needs="features",
    reconstruction="only the prototype framework's abstract could be read: whitening, losses, "
    "assignment, text filter and classifier are our reconstruction",
)
@dataclass(frozen=True)
class Prototype(Learner):
    """Matching to uniformly spread prototypes, then a guided classifier (our reconstruction)."""

    prototypes: Literal["uniform", "text"] = "uniform"
    """uniform: spread as far apart as possible; text: the class texts themselves (off)."""
    assignment: Literal["text", "random"] = "text"
    """text: a class gets a prototype near its text; random: it gets any."""
    centre: bool = True
    """Subtract the mean from images and texts."""
    shrinkage: Annotated[float, Share] = 0.2
    """Shrinkage of the whitening covariance to a multiple of the identity; 1: no whitening."""
    text: TextSource = "both"
    """Pieces of text of a class: its name; its description and, if there are several, the sentences
    of it; or both, and name and description in one."""
    text_filter: TextFilter = "images"
    """Drop pieces less similar than average to the class's training images, or to its name; none:
    drop nothing."""
    enhance: bool = True
    """Weight pieces by the probability of their class instead of equally."""
    matching: Literal["both", "image", "none"] = "both"
    """Features that stage 1 matches with the prototypes; none: no stage 1."""
    matching_scale: Annotated[float, Positive] = 30.0
    """Inverse temperature of the contrastive loss."""
    text_weight: Annotated[float, NonNegative] = 1.0
    """Weight of the texts' loss relative to the images'."""
    classifier: Literal["guided", "free", "none"] = "guided"
    """free: a cosine head that starts at the class means, the same as guided with prototype_share =
    pull = 0; none: no stage 2, the prototypes classify."""
    prototype_share: Annotated[float, Share] = 0.5
    """Weight of the fixed prototypes in the guided classifier."""
    pull: Annotated[float, NonNegative] = 3.0
    """Number of training images that weigh as much as a class's text."""
    scale: Annotated[float, Positive] = SCALE
    """Scale of the classifier's logits, LIFT's."""
    tau: Annotated[float, NonNegative] = 1.0
    """Strength of logit adjustment in both stages."""
    lr: Annotated[float, NonNegative] = 0.03
    """Learning rate of both stages, linear_probe's."""
    epochs: Annotated[int, Count] = 20
    """Epochs of both stages; LIFT's 10 for each."""
    classifier_share: Annotated[float, OpenShare] = 0.5
    """Share of the epochs for stage 2."""
    batch_size: Annotated[int, Count] = 128
    """This and the decay as in LIFT."""
    weight_decay: Annotated[float, NonNegative] = 5e-4
    tte: bool = False
    """Test-time ensembling: mean logits of five crops of each test image."""

    space: ClassVar[Mapping[str, Distribution]] = {
        "lr": LogUniform(0.003, 0.3),
        "matching_scale": LogUniform(15.0, 100.0),
        "prototype_share": Uniform(0.0, 1.0),
        "pull": LogUniform(0.3, 30.0),
    }

    def learn(self, task: Task) -> Learning:
        views = views_for(task, tte=self.tte)
        whitening = Whitening.of(task, self.shrinkage, centre=self.centre)
        texts = self._texts(task, whitening.origin)
        prototypes = self._prototypes(task, texts)
        matching = Matching(prototypes, texts, whitening, self.matching_scale)
        first, second = self._epochs()
        adjusted = LogitAdjusted(task.log_prior, self.tau)
        cost = Predictor(matching.requires_grad_(first > 0))
        if first:
            loss: Loss = adjusted
            if self.matching == "both":
                loss = MatchingLoss(matching, adjusted, self.text_weight)
            cost = yield Training(
                task, matching, loss, self._schedule(first), stage=Stage(epochs_after=second)
            )
        if not second:
            return replace(cost, views=views)
        matching.requires_grad_(False)
        guided = self.classifier == "guided"
        classifier = GuidedClassifier(
            matching,
            class_means(task, matching.images),
            task.counts,
            share=self.prototype_share if guided else 0.0,
            pull=self.pull if guided else 0.0,
            scale=self.scale,
        )
        stage = Stage(index=1, epochs_before=first) if first else ONLY
        last = yield Training(task, classifier, adjusted, self._schedule(second), stage=stage)
        return replace(
            last,
            trainable_params=cost.trainable_params + last.trainable_params,
            epochs=cost.epochs + last.epochs,
            images_seen=cost.images_seen + last.images_seen,
            views=views,
        )

    def _epochs(self) -> tuple[int, int]:
        """Epochs of each stage, 0 if it is off."""
        if self.matching == "none":
            return 0, 0 if self.classifier == "none" else self.epochs
        if self.classifier == "none":
            return self.epochs, 0
        return epochs_of_stages(self.epochs, self.classifier_share)

    def _schedule(self, epochs: int) -> Schedule:
        return Schedule(epochs, self.batch_size, self.lr, weight_decay=self.weight_decay)

    def _texts(self, task: Task, origin: Tensor) -> Tensor:
        """(C, D) one unit text feature per class, centred, filtered and enhanced.

        Args:
            task: texts, and the training images to compare them with.
            origin: (D,) mean that is subtracted from the images.
        """
        found = pieces(task, self.text)
        names = task.text_features() if self.text_filter == "name" else None
        if self.centre:
            found = found.centred()
            names = None if names is None else names - names.mean(0)
        means = class_means(task, lambda rows: F.normalize(rows - origin, dim=-1))
        weights = torch.ones_like(found.features[:, 0])
        if self.text_filter != "none":
            weights = weights * relevant(found, means if names is None else names)
        if self.enhance:
            weights = weights * distinctive(found, means, SCALE)
        return fused(found, weights, task.num_classes)

    def _prototypes(self, task: Task, texts: Tensor) -> Tensor:
        """(C, D) unit vectors, one per class."""
        if self.prototypes == "text":
            return texts
        classes, dim = texts.shape
        noise = task.normal_per_class("prototypes", dim) * dim**-0.5
        # The noise, keyed by name, breaks ties of classes with equal texts.
        anchors = noise if self.assignment == "random" else texts + 1e-3 * noise
        points = spread(classes, dim, task.generator("prototypes"), task.device)
        placed = assigned(points, anchors)
        task.detail(
            f"{classes} prototypes in {dim} dimensions: largest cosine {max_cosine(placed):.3f}, "
            f"lower bound {cosine_bound(classes, dim):.3f}"
        )
        return placed.to(texts)


class MatchingLoss(Loss):
    """InfoNCE of the images, and of the texts of the images' classes, against the prototypes.

    Args:
        matching: module that is trained under this loss.
        adjusted: loss of images and of texts.
        text_weight: weight of the texts' loss.
    """

    coupled = False
    text_weight: Tensor

    def __init__(self, matching: Matching, adjusted: LogitAdjusted, text_weight: float) -> None:
        super().__init__()
        self.matching = matching
        self.adjusted = adjusted
        weight = torch.tensor(text_weight, device=matching.texts.device)
        self.register_buffer("text_weight", weight, persistent=False)

    def forward(self, logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
        """(B, C) logits and (B,) labels -> (B,) losses."""
        texts = self.adjusted(self.matching.logits(self.matching.text(labels)), labels, batch)
        losses: Tensor = self.adjusted(logits, labels, batch) + self.text_weight * texts
        return losses
