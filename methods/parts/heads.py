"""Classifier heads over features."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from methods.base import Batch, Predictor, Task
from methods.parts.training import Loss, Recipe, train

SCALE = 25.0
"""Factor on cosine logits (LIFT's code, `scale: 25`)."""


class CosineHead(nn.Module):
    """scale * cos(x, w_c), no bias.

    Args:
        weight: (C, D) initial class directions.
        scale: factor on the cosines.
    """

    def __init__(self, weight: Tensor, scale: float = SCALE) -> None:
        super().__init__()
        self.weight = nn.Parameter(F.normalize(weight, dim=-1).clone())
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """(B, D) -> (B, C)."""
        return self.scale * F.normalize(x, dim=-1) @ F.normalize(self.weight, dim=-1).T


class LinearHead(nn.Module):
    """w_c . x + b_c over features scaled to unit mean square, so that steps are comparable.

    Args:
        weight: (C, D) initial weights.
    """

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.clone())
        self.bias = nn.Parameter(torch.zeros(len(weight), device=weight.device))

    def forward(self, x: Tensor) -> Tensor:
        """(B, D) L2-normalised -> (B, C)."""
        return x * x.shape[-1] ** 0.5 @ self.weight.T + self.bias


class OnFeatures(nn.Module):
    """A head that reads a batch's frozen features.

    Args:
        head: (B, D) -> (B, C).
        posthoc: (C,) taken off the logits when predicting, not when training.
    """

    def __init__(self, head: nn.Module, posthoc: Tensor | None = None) -> None:
        super().__init__()
        self.head = head
        self._posthoc = posthoc

    def forward(self, batch: Batch) -> Tensor:
        """B samples -> (B, C)."""
        logits: Tensor = self.head(batch.features)
        return logits if self.training or self._posthoc is None else logits - self._posthoc


def initial_weight(task: Task, init: str, dim: int) -> Tensor:
    """(C, dim) initial class directions.

    Args:
        task: names, texts and features.
        init: `text` (prompt ensemble of names), `class_mean` (of training features; a class
            without training images starts at its text), `random` (keyed by class name).
        dim: width of the head's input; `text` and `class_mean` need the joint space.
    """
    if init == "text":
        return task.text_features()
    if init == "class_mean":
        return class_means(task)
    if init == "random":
        return task.normal_per_class("head", dim) * dim**-0.5
    raise ValueError(f"Unknown head initialisation '{init}'. Known: text, class_mean, random.")


def class_means(task: Task) -> Tensor:
    """(C, D) means of the training features; a class without any takes its text feature."""
    features = task.train.features()
    sums = torch.zeros(task.num_classes, features.shape[1], device=features.device)
    sums.index_add_(0, task.train.labels, features)
    empty = task.counts == 0
    if bool(empty.any()):
        sums[empty] = task.text_features()[empty]
        task.note("classes without training images take their text feature as mean")
    return sums / task.counts.clamp(min=1)[:, None]


def fit_head(
    task: Task,
    loss: Loss,
    recipe: Recipe,
    *,
    head: str,
    init: str,
    posthoc: Tensor | None = None,
) -> Predictor:
    """Train a head on the frozen features.

    Args:
        task: what to train on.
        loss: see `training.Loss`.
        recipe: see `training.Recipe`.
        head: `cosine` (scale 25, no bias) or `linear` (with bias).
        init: see `initial_weight`.
        posthoc: see `OnFeatures`.
    """
    weight = initial_weight(task, init, task.train.features().shape[1])
    if head not in ("cosine", "linear"):
        raise ValueError(f"Unknown head '{head}'. Known: cosine, linear.")
    module = CosineHead(weight) if head == "cosine" else LinearHead(weight)
    return train(task, OnFeatures(module, posthoc), loss, recipe, "features")
