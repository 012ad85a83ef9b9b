"""LP++: a linear probe blended with the text classifier (Huang et al. 2024, arXiv 2404.02285).

logits = W x + b + alpha_c (t_c . x), trained by full-batch gradient descent on cross-entropy,
without a learning rate to choose. For N training images with unit features X (N, D) and text
features t_c:

    W, b     momentum 0.9, step 4 N / (largest eigenvalue of X^T X)
    alpha_c  every tenth step, step N / (4 max over c of sum over i of (t_c . x_i)^2)
    start    W: sums of each class's features; b: 0;
             alpha_c: 250 times the mean over the classes of their images' mean t_c . x

Steps and start are those of the authors' code (github.com/FereshteShakeri/
FewShot-CLIP-Strong-Baseline, f81054f). So is this: the gradient of alpha is never reset, so that
every tenth step goes along the sum of all gradients so far. Their b starts at random numbers below
1 / sqrt(D), and their features are of one random crop an image and in half precision; here b starts
at 0, and features are of the unaugmented image and in single precision. With `--select val` the
last of the best steps on validation images is kept, as in that code.

The sums are meant for equally many images of each class. On a long tail they start the head with
longer weights than the tail; `init = mean` (ours) takes N / C times the mean instead, which is the
same where classes are equally large.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.plugins.ranges import Count
from methods.base import Method, Predictor, Task, TextSource
from methods.parts.ensembling import views_for
from methods.parts.heads.linear_classifiers import class_sums
from methods.parts.training.scoring import AT_ONCE, score
from methods.registry import register
from methods.space import Distribution, OneOf

MOMENTUM, BLENDED_EVERY, BLEND_START = 0.9, 10, 250.0
"""Momentum of W and b, steps between two steps of alpha, and the factor of its start."""


@register(
    "lp_plus_plus",
    paper="Huang et al. 2024, arXiv 2404.02285",
    needs="features",
    deterministic=True,
)
@dataclass(frozen=True)
class LPPlusPlus(Method):
    """LP++: a linear probe plus the text classifier, blended by learned factors of the classes."""

    epochs: Annotated[int, Count] = 300
    """Gradient steps, each on all training images (authors' configuration)."""
    init: Literal["sum", "mean"] = "sum"
    """sum: W starts at the sums of each class's features (authors' code); mean: at N / C times
    their means."""
    text: TextSource = "names"
    """Texts that fill the prompts of the text classifier."""
    ensemble: bool = True
    """Average the text features of all templates (authors' code)."""
    tte: bool = False
    """Test-time ensembling: mean logits of five crops of each test image."""

    space: ClassVar[Mapping[str, Distribution]] = {"init": OneOf(("sum", "mean"))}

    @torch.no_grad()
    def fit(self, task: Task) -> Predictor:
        views = views_for(task, tte=self.tte)
        texts = task.text_features(self.text, ensemble=self.ensemble)
        probe = Probe(texts, initial_weight(task, self.init), initial_blend(task, texts))
        descent = Descent(task, probe)
        best, kept = -1.0, probe
        for epoch in range(self.epochs):
            loss = descent.step()
            if (epoch + 1) % BLENDED_EVERY == 0:
                descent.blend()
            if not math.isfinite(loss):
                raise ValueError(f"the training loss became {loss} in epoch {epoch + 1}")
            task.log("loss", epoch + 1, loss)
            if task.validation is not None:
                found = score(probe.logits(task.validation.features()), task.validation.labels)
                task.log("validation", epoch + 1, found)
                if found >= best:
                    best, kept = found, probe.copy()
            task.progress(epoch, self.epochs, 1, 1)
        return Predictor(
            lambda batch: kept.logits(batch.inputs),
            trainable_params=sum(part.numel() for part in probe.trained),
            epochs=self.epochs,
            images_seen=self.epochs * len(task.train),
            views=views,
        )


class Probe:
    """W x + b + alpha_c (t_c . x).

    Args:
        texts: (C, D) frozen t_c.
        weight: (C, D) first W.
        blend: (C,) first alpha.
    """

    def __init__(self, texts: Tensor, weight: Tensor, blend: Tensor) -> None:
        self.texts = texts
        self.weight = weight
        self.bias = weight.new_zeros(len(weight))
        self.blend = blend

    @property
    def trained(self) -> tuple[Tensor, Tensor, Tensor]:
        """W, b and alpha."""
        return self.weight, self.bias, self.blend

    def logits(self, x: Tensor) -> Tensor:
        """(B, D) -> (B, C)."""
        return x @ self.weight.T + self.bias + self.blend * (x @ self.texts.T)

    def copy(self) -> Probe:
        """A probe that later steps do not change."""
        copied = Probe(self.texts, self.weight.clone(), self.blend.clone())
        copied.bias = self.bias.clone()
        return copied


class Descent:
    """Full-batch gradient descent of a probe, in parts of `AT_ONCE` images.

    Args:
        task: training images.
        probe: changed in place.
    """

    def __init__(self, task: Task, probe: Probe) -> None:
        self._x, self._labels = task.train.features(), task.train.labels
        self._probe = probe
        self._velocity = [torch.zeros_like(part) for part in (probe.weight, probe.bias)]
        self._of_blend = torch.zeros_like(probe.blend)
        images = len(self._x)
        # On the CPU: not every device finds eigenvalues.
        largest = torch.linalg.eigvalsh((self._x.T @ self._x).cpu())[-1]
        self._step = 4 * images / float(largest)
        similar = sum((part @ probe.texts.T).square().sum(0) for part in self._x.split(AT_ONCE))
        self._blend_step = images / (4 * torch.as_tensor(similar).max())

    def step(self) -> float:
        """Move W and b along their gradients; return the loss before."""
        probe, images = self._probe, len(self._x)
        gradients = [torch.zeros_like(part) for part in (probe.weight, probe.bias)]
        total = torch.zeros((), device=self._x.device)
        for x, labels in zip(self._x.split(AT_ONCE), self._labels.split(AT_ONCE), strict=True):
            logits = probe.logits(x)
            total += F.cross_entropy(logits, labels, reduction="sum")
            slope = logits.softmax(-1)
            slope[torch.arange(len(x), device=x.device), labels] -= 1
            slope /= images  # (B, C) derivative of the mean loss by the logits
            gradients[0] += slope.T @ x
            gradients[1] += slope.sum(0)
            self._of_blend += (slope * (x @ probe.texts.T)).sum(0)
        for part, velocity, gradient in zip(
            (probe.weight, probe.bias), self._velocity, gradients, strict=True
        ):
            part -= self._step * velocity.mul_(MOMENTUM).add_(gradient)
        return float(total) / images

    def blend(self) -> None:
        """Move alpha along the sum of its gradients in all steps so far."""
        self._probe.blend -= self._blend_step * self._of_blend


def initial_weight(task: Task, init: Literal["sum", "mean"]) -> Tensor:
    """(C, D) first W; 0 for a class without training images."""
    sums = class_sums(task)
    if init == "sum":
        return sums
    equal = len(task.train) / task.num_classes
    return sums * (equal / task.counts.clamp(min=1))[:, None]


def initial_blend(task: Task, texts: Tensor) -> Tensor:
    """(C,) first alpha, the same for all classes; classes without training images count as 0."""
    of_texts = (class_sums(task) * texts).sum(-1) / task.counts.clamp(min=1)  # (C,)
    return BLEND_START * of_texts.mean().expand(task.num_classes).clone()
