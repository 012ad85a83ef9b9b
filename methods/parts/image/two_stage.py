"""Decoupled training (Kang et al. 2020, arXiv 1910.09217): a representation, then its classifier.

    first, second = epochs_of_stages(epochs, share)
    found = representation(task, "adapter", Schedule(first, …), Stage(0, epochs_after=second))
    last = train(found.task, OnFeatures(head), loss, schedule, "features", Stage(1, first))
    return found.predictor(head, last)

The first stage trains tower and linear head by plain cross-entropy on images in their natural
distribution. In the second the tower is frozen, so its features are computed once, from unaugmented
images. The paper trains networks from scratch; the form for a CLIP tower is ours: the first stage
trains adapters or the whole tower, and its head starts at the projected class names.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.augment import InEpoch
from benchmarks.errors import UserError
from methods.base import Batch, Predictor, Samples, Task, feature_batches
from methods.parts.heads.linear_classifiers import SCALE, LinearHead
from methods.parts.image.finetune import adapted, text_head, unfrozen
from methods.parts.image.vit import AdaptedClassifier, AdaptedViT, vit
from methods.parts.losses.single_label.ce import cross_entropy
from methods.parts.training.loop import Schedule, Stage, train

FirstStage = Literal["adapter", "full", "frozen"]
"""Part of the tower that the first stage trains: AdaptFormer in every block, all, or nothing."""


def epochs_of_stages(epochs: int, share: float) -> tuple[int, int]:
    """Epochs of the first and of the second stage, at least one each.

    Raises:
        UserError: fewer than two epochs.
    """
    if epochs < 2:
        raise UserError(f"epochs: a method with two stages needs 2 or more, not {epochs}.")
    second = min(max(1, round(epochs * share)), epochs - 1)
    return epochs - second, second


@dataclass(frozen=True)
class Representation:
    """Result of the first stage: a tower that is not trained any further."""

    task: Task
    """The task, with (N, W) features of this tower in place of the backbone's."""
    tower: AdaptedViT
    head: LinearHead
    """The classifier that was trained with it."""
    cost: Predictor

    def predictor(self, head: nn.Module, last: Predictor) -> Predictor:
        """A predictor for images.

        Args:
            head: (B, W) L2-normalised -> (B, C).
            last: predictor of the second stage; the cost of the first stage is added to its cost.
        """
        return Predictor(
            logits=_with_head(self.tower, head).eval(),
            trainable_params=self.cost.trainable_params + last.trainable_params,
            epochs=self.cost.epochs + last.epochs,
            images_seen=self.cost.images_seen + last.images_seen,
        )


def representation(
    task: Task, kind: FirstStage, schedule: Schedule, stage: Stage
) -> Representation:
    """Train the first stage, or resume it from the state that an interrupted run left.

    Args:
        task: single-label task to train on.
        kind: see `FirstStage`. With `frozen` only the head is trained.
        schedule: schedule of the first stage.
        stage: its place among the stages.

    Raises:
        NotApplicable: adapters are wanted, and the tower has no blocks for them.
    """
    if kind == "full":
        tower = unfrozen(task)
    else:
        if kind == "adapter":
            vit(task.backbone, "adapters (stage1=adapter; stage1=full trains the whole tower)")
        tower = adapted(task, "adaptformer" if kind == "adapter" else "none")
    head = _starting_head(task)
    cost = train(task, _with_head(tower, head), cross_entropy, schedule, "images", stage)
    return Representation(on_features_of(tower, task), tower, head, cost)


def untrained(task: Task) -> Representation:
    """The frozen tower with the initial head of a first stage."""
    tower = adapted(task, "none")
    head = _starting_head(task)
    nothing = Predictor(_with_head(tower, head))
    return Representation(on_features_of(tower, task), tower, head, nothing)


def _starting_head(task: Task) -> LinearHead:
    """The cosine head of the class names, expressed as a linear head."""
    start = text_head(task).weight.detach()  # (C, W) unit rows
    return LinearHead(SCALE * start.shape[1] ** -0.5 * start)


def on_features_of(tower: AdaptedViT, task: Task) -> Task:
    """The task with features computed by a tower in place of the backbone's."""

    def seen(samples: Samples) -> Samples:
        return FeaturesOf(samples, _features(tower, task, samples))

    validation = None if task.validation is None else seen(task.validation)
    return dataclasses.replace(task, train=seen(task.train), validation=validation)


@torch.no_grad()
def _features(tower: AdaptedViT, task: Task, samples: Samples) -> Tensor:
    """(N, W) L2-normalised pooled outputs of a tower for unaugmented images."""
    parts = []
    tower.eval()
    for batch, _ in task.batches(samples, "images", 128):
        with task.backbone.precision_for("images"):
            parts.append(F.normalize(tower(batch.inputs).float(), dim=-1))
    return torch.cat(parts)


class FeaturesOf:
    """Samples with given features in place of the backbone's.

    Args:
        samples: labels, keys and images.
        features: (N, W) L2-normalised.
    """

    def __init__(self, samples: Samples, features: Tensor) -> None:
        self._samples = samples
        self._features = features
        self.labels = samples.labels

    def __len__(self) -> int:
        return len(self._samples)

    @property
    def keys(self) -> NDArray[np.uint64]:
        return self._samples.keys

    @property
    def captions(self) -> tuple[str, ...] | None:
        return self._samples.captions

    def features(self) -> Tensor:
        return self._features

    def batch(
        self,
        index: NDArray[np.int64],
        *,
        needs: str,
        augment: InEpoch = "none",
        stream: tuple[Any, ...] = (),
    ) -> Batch:
        if needs == "images":
            return self._samples.batch(index, needs=needs, augment=augment, stream=stream)
        return next(feature_batches(self._features, [index]))

    def loader(
        self,
        parts: Sequence[NDArray[np.int64]],
        *,
        needs: str,
        augment: InEpoch = "none",
        stream: tuple[Any, ...] = (),
    ) -> Iterator[Batch]:
        if needs == "images":
            yield from self._samples.loader(parts, needs=needs, augment=augment, stream=stream)
            return
        yield from feature_batches(self._features, parts)


class _Unit(nn.Module):
    """Normalisation of rows to unit length."""

    def forward(self, x: Tensor) -> Tensor:
        """(n, W) -> (n, W)."""
        return F.normalize(x, dim=-1)


def _with_head(tower: AdaptedViT, head: nn.Module) -> AdaptedClassifier:
    return AdaptedClassifier(tower, nn.Sequential(_Unit(), head))
