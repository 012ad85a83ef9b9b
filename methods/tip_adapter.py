"""Tip-Adapter: CLIP with a cache of training features (Zhang et al. 2022, arXiv 2207.09519).

logits = s * x W^T + alpha * exp(-beta (1 - x K^T)) V: the cache's keys K are features of `shots`
training images per class, its values V their labels, W the text classifier, s the backbone's logit
scale. Nothing is trained; with `finetune` (Tip-Adapter-F) the keys are. Values are those of the
authors' code (github.com/gaopengcuhk/Tip-Adapter, 327763e, configs/imagenet.yaml). Three things
differ: keys are features of the image itself instead of means over ten augmented views, fine-tuning
has no augmentation, and their code keeps the epoch with the best *test* accuracy; here it is the
last epoch, or with `--select val` the best on validation images. With validation images alpha and
beta are searched too, as published, in the ranges of the ImageNet configuration.

The adaptation to long tails is ours. The published cache holds equally many images of each class;
here a class with fewer than `shots` images has fewer, and the sum over the cache then favours the
head; `normalise = count` compensates for that. On multi-label data (also ours) the values are the
images' label sets, and the keys are fine-tuned by binary cross-entropy with a learned calibration.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks import randomness
from benchmarks.plugins.ranges import Count, NonNegative
from methods.base import Batch, Predictor, Task, TextSource
from methods.parts.ensembling import views_for
from methods.parts.heads.calibration import Calibration
from methods.parts.losses.multi_label.bce import binary_cross_entropy
from methods.parts.losses.single_label.ce import cross_entropy
from methods.parts.training.learning import Learner, Learning
from methods.parts.training.schedules import Schedule, Training
from methods.parts.training.scoring import score
from methods.registry import register
from methods.space import Distribution, LogUniform, OneOf

ALPHAS = 0.1 + (3 - 0.1) * torch.arange(20) / 20
BETAS = 0.1 + (7 - 0.1) * torch.arange(20) / 20
"""The ranges of the authors' configuration for ImageNet (there with 200 steps for beta)."""


@register(
    "tip_adapter",
    paper="Zhang et al. 2022, arXiv 2207.09519",
    needs="features",
    tasks=("single", "multi"),
    reconstruction={
        "single": "Tip-Adapter's cache for unequal class counts is ours",
        "multi": "Tip-Adapter's cache for label sets is ours",
    },
)
@dataclass(frozen=True)
class TipAdapter(Learner):
    """A cache of training features added to zero-shot CLIP; keys fine-tuned with `finetune`."""

    finetune: bool = False
    """Train the keys (Tip-Adapter-F); only then are lr, epochs and batch size used."""
    shots: Annotated[int, NonNegative] = 16
    """Training images per class in the cache, at most; 0 takes all."""
    alpha: Annotated[float, NonNegative] = 1.17
    """Weight of the cache (ImageNet configuration; 2 in those of DTD and EuroSAT)."""
    beta: Annotated[float, NonNegative] = 1.0
    """Sharpness of the affinity (all configurations)."""
    search: bool = True
    """With `--select val`: use the alpha and beta that are best on the validation images."""
    normalise: Literal["none", "count"] = "none"
    """count: a class's cache logit times (most images of a class in the cache) / (its own)."""
    text: TextSource = "names"
    """Texts that fill the prompts of the text classifier."""
    ensemble: bool = True
    """Average the text features of all templates (authors' code)."""
    lr: Annotated[float, NonNegative] = 1e-3
    epochs: Annotated[int, Count] = 20
    batch_size: Annotated[int, Count] = 256
    weight_decay: Annotated[float, NonNegative] = 0.01
    """AdamW's default, which the authors' code keeps."""
    tte: bool = False
    """Test-time ensembling: mean logits of five crops of each test image."""

    space: ClassVar[Mapping[str, Distribution]] = {
        "alpha": LogUniform(0.1, 10.0),
        "beta": LogUniform(0.1, 10.0),
        "normalise": OneOf(("none", "count")),
        "lr": LogUniform(1e-4, 1e-2),
    }

    def learn(self, task: Task) -> Learning:
        views = views_for(task, tte=self.tte)
        chosen = torch.from_numpy(cached(task, self.shots)).to(task.device)
        values = label_sets(task.train.labels[chosen], task.num_classes)
        if self.normalise == "count":
            held = values.sum(0)
            values = values * held.max() / held.clamp(min=1)
        weight = task.text_features(self.text, ensemble=self.ensemble)
        module = Cache(
            task.backbone.logit_scale * weight,
            task.train.features()[chosen],
            values.to(weight),
            alpha=self.alpha,
            beta=self.beta,
        )
        if self.finetune:
            # The published eps is as large as many of these gradients: where they are smaller,
            # Adam's step depends on their size and not only on their sign.
            schedule = Schedule(
                self.epochs, self.batch_size, self.lr,
                weight_decay=self.weight_decay, optimiser="adamw", eps=1e-4, anneal="step",
            )  # fmt: skip
            loss = cross_entropy if task.kind == "single" else binary_cross_entropy
            if task.kind == "multi":
                with torch.no_grad():
                    logits = module.of(task.train.features())
                module.calibration = Calibration(task, loss, logits)
            predictor = yield Training(
                task, module, loss, schedule, uncalibrated=module.uncalibrated
            )
        else:
            module.requires_grad_(False)
            predictor = Predictor(module, uncalibrated=module.uncalibrated)
        if task.validation is not None and self.search:
            alpha, beta = best_on_validation(task, module)
            module.alpha.fill_(alpha)
            module.beta.fill_(beta)
            tried = len(ALPHAS) * len(BETAS)
            task.note(f"alpha and beta: best of {tried} pairs on validation images")
            task.detail(f"alpha = {alpha:.3g}, beta = {beta:.3g}")
        return dataclasses.replace(predictor, views=views)


class Cache(nn.Module):
    """Zero-shot logits plus the labels of similar training images, weighted by similarity.

    Args:
        weight: (C, D) text classifier, times the logit scale.
        keys: (K, D) unit features of the cached images.
        values: (K, C) their labels, weighted or not.
        alpha: weight of the cache.
        beta: sharpness of the affinity.
    """

    weight: Tensor
    values: Tensor
    alpha: Tensor
    beta: Tensor

    def __init__(
        self, weight: Tensor, keys: Tensor, values: Tensor, *, alpha: float, beta: float
    ) -> None:
        super().__init__()
        self.register_buffer("weight", weight, persistent=False)
        self.register_buffer("values", values, persistent=False)
        self.keys = nn.Parameter(keys.clone())
        self.register_buffer("alpha", torch.tensor(alpha, device=weight.device), persistent=False)
        self.register_buffer("beta", torch.tensor(beta, device=weight.device), persistent=False)
        self.calibration: nn.Module = nn.Identity()

    def forward(self, batch: Batch) -> Tensor:
        """B samples -> (B, C)."""
        logits: Tensor = self.calibration(self.uncalibrated(batch))
        return logits

    def uncalibrated(self, batch: Batch) -> Tensor:
        """B samples -> (B, C), without the calibration that sigmoids need."""
        return self.of(batch.inputs)

    def of(self, x: Tensor) -> Tensor:
        """Logits (B, C) of unit features (B, D)."""
        return x @ self.weight.T + self.alpha * self.looked_up(x @ self.keys.T, self.beta)

    def looked_up(self, affinity: Tensor, beta: Tensor | float) -> Tensor:
        """Cache logits (B, C) for the cosines (B, K) with the keys."""
        return (beta * (affinity - 1)).exp() @ self.values


def label_sets(labels: Tensor, classes: int) -> Tensor:
    """Labels (n,) one-hot or label sets (n, C) as they are -> (n, C) float."""
    if labels.ndim == 2:
        return labels.float()
    empty = torch.zeros(len(labels), classes, device=labels.device)
    return empty.scatter_(1, labels[:, None], 1.0)


def cached(task: Task, shots: int) -> NDArray[np.int64]:
    """Positions of the training images that the cache holds, in the order of the data.

    Takes the first `shots` of every class in an order keyed by seed and sample id, so that neither
    the order of the classes nor other samples matter. On multi-label data an image is taken once,
    even if several of its classes choose it.
    """
    if shots < 1:
        return np.arange(len(task.train))
    order = randomness.shuffled(task.train.keys, task.seed, "shots")
    labels = task.train.labels.cpu().numpy()[order]
    if task.kind == "multi":
        chosen = (labels * (labels.cumsum(0) <= shots)).any(1)
    else:
        chosen = np.zeros(len(labels), dtype=bool)
        for label in np.unique(labels):
            chosen[np.flatnonzero(labels == label)[:shots]] = True
    positions: NDArray[np.int64] = np.sort(order[chosen])
    return positions


@torch.no_grad()
def best_on_validation(task: Task, module: Cache) -> tuple[float, float]:
    """The (alpha, beta) of the grid with the best balanced accuracy, or mAP for multi-label data.

    Among equals the first wins, with beta in the outer loop, as in the authors' code (which uses
    plain accuracy: the same if the classes have equally many validation images).
    """
    assert task.validation is not None
    features, labels = task.validation.features(), task.validation.labels
    zero_shot, affinity = features @ module.weight.T, features @ module.keys.T  # (V, C), (V, K)
    best = (-1.0, float(module.alpha), float(module.beta))
    for beta in BETAS.tolist():
        looked_up = module.looked_up(affinity, beta)
        for alpha in ALPHAS.tolist():
            found = score(task.measured(zero_shot + alpha * looked_up), labels)
            if found > best[0]:
                best = (found, alpha, beta)
    return best[1:]
