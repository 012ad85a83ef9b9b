"""Cosine and linear classifiers on features, their initial weights, and their training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.errors import NotApplicable
from methods.base import Batch, Task
from methods.parts.losses.base import LossFunction
from methods.parts.training.schedules import Schedule, Training

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
        logits: Tensor = _ScaledCosines.apply(x, self.weight, self.scale)[0]
        return logits


class _ScaledCosines(torch.autograd.Function):
    """scale * cos of rows x (B, D) and weights (C, D) -> (B, C).

    The backward pass is explicit because large weights exceed a core's cache: the number of passes
    over them determines the time. The division by the lengths (at least 1e-12) is
    applied to the logits, which are fewer numbers than the weights.
    """

    @staticmethod
    def forward(x: Tensor, weight: Tensor, scale: float) -> tuple[Tensor, Tensor, Tensor]:
        of_x, of_weight = (rows.norm(dim=-1).clamp(min=1e-12).reciprocal() for rows in (x, weight))
        logits = x @ weight.mT
        logits.mul_((scale * of_x)[..., None]).mul_(of_weight[..., None, :])
        return logits, of_x, of_weight

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        x, weight, ctx.scale = inputs
        logits, *inverse_lengths = output
        ctx.mark_non_differentiable(*inverse_lengths)
        ctx.save_for_backward(x, weight, logits, *inverse_lengths)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight, logits, of_x, of_weight = ctx.saved_tensors
        # d (scale cos) / d w = scale x / (|x| |w|) - scale cos w / |w|^2, and the same for x
        of_products = (gradients[0] * (ctx.scale * of_x)[..., None]).mul_(of_weight[..., None, :])
        of_lengths = gradients[0] * logits  # (B, C)
        found: list[Tensor | None] = [None, None]
        if ctx.needs_input_grad[0]:
            less = of_lengths.sum(-1) * of_x.square()
            found[0] = torch.addcmul(of_products @ weight, x, less[..., None], value=-1)
        if ctx.needs_input_grad[1]:
            less = of_lengths.sum(-2) * of_weight.square()
            transposed = of_products.mT.contiguous()  # the product gets the weights' memory layout
            found[1] = torch.addcmul(transposed @ x, weight, less[..., None], value=-1)
        return found[0], found[1], None


class LinearHead(nn.Module):
    """w_c . x + b_c on features scaled to unit mean square, so that step sizes are comparable.

    Args:
        weight: (C, D) initial weights.
    """

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.clone())
        self.bias = nn.Parameter(torch.zeros(len(weight), device=weight.device))

    def forward(self, x: Tensor) -> Tensor:
        """(B, D) L2-normalised -> (B, C)."""
        scaled: Tensor = x * x.shape[-1] ** 0.5
        logits: Tensor = self.weight @ scaled.mT + self.bias[..., None]  # (C, B)
        return logits.mT


class SigmoidBias(nn.Module):
    """Logits for sigmoid losses: z_c - centre_c + log odds_c + b_c, with b_c learned.

    Sigmoid losses on scaled cosines start saturated: every cosine of an image and a text is far
    above 0. Therefore each class starts at the log-odds of its training frequency, as focal loss
    does with one number for all classes (Lin et al. 2017, arXiv 1708.02002, section 3.3); b_c is 0
    at first, where weight decay pulls it. The scale is the head's, 25 for a cosine head: learned
    together with the bias it collapsed to 0 at some learning rates. This is ours. Average precision
    on the logits is that of z, because all samples of a class are shifted equally; on their softmax
    over the classes it is not.

    Args:
        centre: (C,) mean logit of each class before training.
        log_odds: (C,) see `log_odds`.
    """

    start: Tensor

    def __init__(self, centre: Tensor, log_odds: Tensor) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros_like(centre))
        self.register_buffer("start", log_odds - centre)

    def forward(self, z: Tensor) -> Tensor:
        """(B, C) -> (B, C)."""
        return z + (self.start + self.bias)[..., None, :]


def log_odds(counts: Tensor, images: int) -> Tensor:
    """(C,) log n_c / (N - n_c); half an image is added to both so that no value is infinite."""
    return ((counts + 0.5) / (images - counts + 0.5)).log()


class OnFeatures(nn.Module):
    """A head on the frozen features of a batch.

    Args:
        head: (B, D) -> (B, C).
        posthoc: (C,) subtracted from the logits in evaluation mode only.
        calibration: (B, C) -> (B, C), applied to the head's logits; trained with it.
    """

    posthoc: Tensor | None

    def __init__(
        self,
        head: nn.Module,
        posthoc: Tensor | None = None,
        calibration: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.head = head
        self.calibration = calibration
        self.register_buffer("posthoc", posthoc, persistent=False)

    def uncalibrated(self, batch: Batch) -> Tensor:
        """B samples -> (B, C) logits of the head."""
        logits: Tensor = self.head(batch.features)
        return logits

    def forward(self, batch: Batch) -> Tensor:
        """B samples -> (B, C)."""
        logits = self.uncalibrated(batch)
        if self.calibration is not None:
            logits = self.calibration(logits)
        if self.training or self.posthoc is None:
            return logits
        return logits - self.posthoc[..., None, :]


def initial_weight(task: Task, init: str, dim: int) -> Tensor:
    """(C, dim) initial class directions.

    Args:
        task: names, texts and features.
        init: `text` (prompt ensemble of names), `class_mean` (of training features; a class
            without training images starts at its text), `random` (keyed by class name).
        dim: width of the head's input; `text` and `class_mean` require the joint space.
    """
    if init == "text":
        return task.text_features()
    if init == "class_mean":
        return class_means(task)
    if init == "random":
        drawn: Tensor = task.normal_per_class("head", dim) * dim**-0.5
        return drawn
    raise ValueError(f"Unknown head initialisation '{init}'. Known: text, class_mean, random.")


def _unchanged(features: Tensor) -> Tensor:
    return features


def class_sums(task: Task, transform: Callable[[Tensor], Tensor] = _unchanged) -> Tensor:
    """(C, D) sums of the training features; on multi-label data over all images with the class.

    Args:
        task: features and labels.
        transform: applied to the features (N, D) first.
    """
    features, labels = transform(task.train.features()), task.train.labels
    if labels.ndim == 2:
        return labels.T.to(features.dtype) @ features
    sums = torch.zeros(task.num_classes, features.shape[1], device=features.device)
    return sums.index_add_(0, labels, features)


def class_means(task: Task, transform: Callable[[Tensor], Tensor] = _unchanged) -> Tensor:
    """(C, D) means of the training features; a class without images gets its text feature.

    On multi-label data a class's mean is over all images that show the class.

    Args:
        task: features, labels and texts.
        transform: applied to the features (n, D) before the mean, and to those of texts.

    Raises:
        NotApplicable: a class has no training images, and the backbone has no text tower.
    """
    sums = class_sums(task, transform)
    empty = task.counts == 0
    if bool(empty.any()):
        if not task.backbone.has_text:
            raise NotApplicable(
                "a class without training images has no mean, and "
                f"{task.backbone.id.name} has no text tower to take its place"
            )
        sums[empty] = transform(task.text_features())[empty]
        task.note("classes without training images have their text feature as mean")
    return sums / task.counts.clamp(min=1)[:, None]


def head_training(
    task: Task,
    loss: LossFunction,
    schedule: Schedule,
    *,
    head: str,
    init: str,
    posthoc: Tensor | None = None,
) -> Training:
    """Training of a head on frozen features, on multi-label data followed by a `SigmoidBias`.

    Args:
        task: task to train on.
        loss: see `losses.base`.
        schedule: see `training.schedules`.
        head: `cosine` (scale 25, no bias) or `linear` (with bias).
        init: see `initial_weight`.
        posthoc: see `OnFeatures`.
    """
    weight = initial_weight(task, init, task.train.features().shape[1])
    if head not in ("cosine", "linear"):
        raise ValueError(f"Unknown head '{head}'. Known: cosine, linear.")
    classifier: nn.Module = CosineHead(weight) if head == "cosine" else LinearHead(weight)
    calibration = None
    if task.kind == "multi":
        with torch.no_grad():
            centre: Tensor = classifier(task.train.features()).mean(0)
        calibration = SigmoidBias(centre, log_odds(task.counts, len(task.train)))
    module = OnFeatures(classifier, posthoc, calibration)
    return Training(task, module, loss, schedule, uncalibrated=module.uncalibrated)
