"""HGLTR: a class hierarchy in the classifier and in the features (doi 10.1609/aaai.v40i34.40116).

LIFT-like: adapters after the MLPs of a frozen CLIP ViT, a text-initialised head on the class token
before the CLIP projection, and the logit-adjusted loss. To it come, with soft labels
q_yc = softmax over c of -tau h(y, c), where h is the height of the lowest common ancestor in a tree
over the classes:

    kl   * mean over c of q_yc log(q_yc / softmax(logits)_c)
    mse  * mean over c of (softmax over c of cos(image, A(text_c)) - q_yc)^2

with a learned map A (layer norm and linear) of the frozen text features. Values are those of the
authors' code (github.com/7d1-z/hgltr, 7553154, `run.sh`) for ImageNet-LT; a recipe in
configs/recipes has those for iNaturalist 2018. The paper itself could not be read. Its option
`--constrain` is meant to leave images of few-shot classes out of both terms, but in the code the
squared error is a mean over the batch before it could: only the divergence skips them
(`skip_few = kl`). Two things differ: the prompt is the data set's first template instead of "a
photo of NAME", and the mean over a batch is that of all its images instead of those on each GPU.

The tree is the data set's (docs/own_data.md; WordNet for wnids, iNaturalist's taxonomy, CIFAR-100's
coarse labels, shape and colour of glyphs). Without one the method is not applicable.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks import randomness
from benchmarks.augment import Augmentation
from benchmarks.plugins.ranges import Count, NonNegative
from benchmarks.towers.blocks import standardised
from methods.base import Batch, Method, Predictor, Task, TextSource
from methods.parts.heads.linear_classifiers import CosineHead
from methods.parts.hierarchy import SoftLabels, hierarchy_of
from methods.parts.image.adapters import Adapter, Slots
from methods.parts.image.finetune import finetune, shape
from methods.parts.image.vit import AdaptedViT, project_to_width, vit
from methods.parts.losses.base import Loss
from methods.parts.losses.single_label.la import LogitAdjusted
from methods.parts.training.loop import Schedule
from methods.registry import register
from methods.space import Distribution, LogUniform

SCALE = 30.0
"""Factor on the cosines of `head = cosine` (authors' code)."""


@register("hgltr", paper="HGLTR 2026, doi 10.1609/aaai.v40i34.40116", needs="images")
@dataclass(frozen=True)
class Hgltr(Method):
    """HGLTR: adapters and head trained with soft labels from a class hierarchy."""

    kl: Annotated[float, NonNegative] = 0.01
    """Weight of the divergence from the soft labels; 0 on Places-LT (authors' script)."""
    mse: Annotated[float, NonNegative] = 0.1
    """Weight of the squared error of the image-text similarities."""
    tau_soft: Annotated[float, NonNegative] = 1.0
    """Sharpness tau of the soft labels; 4 on Places-LT, 1.5 on iNaturalist (authors' script)."""
    skip_few: Literal["kl", "both", "none"] = "kl"
    """Terms that leave out images of few-shot classes: kl (what the authors' code computes), both
    (what its option promises) or none."""
    head: Literal["linear", "cosine"] = "linear"
    """cosine (times 30) on iNaturalist (authors' script)."""
    bottleneck: Annotated[int, Count] = 64
    """Width of the adapters."""
    tau: Annotated[float, NonNegative] = 1.0
    """Strength of logit adjustment."""
    text: TextSource = "names"
    """Texts that initialise the head and that images are compared with (first template)."""
    optimiser: Literal["nesterov", "adamw"] = "nesterov"
    """adamw on iNaturalist (authors' script)."""
    lr: Annotated[float, NonNegative] = 0.05
    """2e-4 with adamw."""
    epochs: Annotated[int, Count] = 10
    """40 on iNaturalist (authors' script)."""
    batch_size: Annotated[int, Count] = 512
    """256 on each of two GPUs (authors' script)."""
    weight_decay: Annotated[float, NonNegative] = 5e-4
    """0.05 with adamw."""
    augment: Augmentation = "crop_flip"
    tte: bool = False
    """Test-time ensembling, an option of the authors' code that its script does not use."""

    space: ClassVar[Mapping[str, Distribution]] = {
        "lr": LogUniform(0.005, 0.2),
        "mse": LogUniform(0.01, 10.0),
        "tau_soft": LogUniform(0.5, 8.0),
    }

    def fit(self, task: Task) -> Predictor:
        soft = SoftLabels(hierarchy_of(task), self.tau_soft, task.device)
        visual = vit(task.backbone)
        width, blocks = shape(visual)
        keys = [randomness.key(task.seed, "block", i) for i in range(blocks)]
        slots = [Slots(after_mlp=ScaledAdapter(width, self.bottleneck, key)) for key in keys]
        texts = task.text_features(self.text, ensemble=False)
        head = Head(
            project_to_width(visual, texts),
            cosine=self.head == "cosine",
            texts=texts if self.mse else None,
            generator=task.generator("aligner"),
        )
        few = torch.tensor([group == "few" for group in task.membership], device=task.device)
        loss = HierarchyLoss(
            LogitAdjusted(task.log_prior, self.tau), soft, few,
            kl=self.kl, mse=self.mse, skip_few=self.skip_few,
        )  # fmt: skip
        schedule = Schedule(
            self.epochs, self.batch_size, self.lr,
            weight_decay=self.weight_decay, optimiser=self.optimiser, augment=self.augment,
        )  # fmt: skip
        return finetune(task, AdaptedViT(visual, slots), head, loss, schedule, tte=self.tte)


class ScaledAdapter(Adapter):
    """An `Adapter` times a learned factor that starts at 1."""

    def __init__(self, width: int, bottleneck: int, seed: int) -> None:
        super().__init__(width, bottleneck, seed)
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        """(n, W) -> (n, W); zero at initialisation."""
        return self.of_standardised(standardised(x, self.norm.eps), self.scale)


class Head(nn.Module):
    """Logits of pooled features, and in training also their cosines with mapped texts.

    Args:
        weight: (C, W) initial class directions.
        cosine: scaled cosines; otherwise a linear head with a bias.
        texts: (C, D) frozen text features; None: no cosines.
        generator: for the initial values of the map, those of the authors' code.
    """

    texts: Tensor | None

    def __init__(
        self, weight: Tensor, *, cosine: bool, texts: Tensor | None, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.classifier = CosineHead(weight, SCALE) if cosine else Linear(weight)
        self.register_buffer("texts", texts, persistent=False)
        if texts is not None:
            dim = texts.shape[1]
            linear = nn.Linear(dim, weight.shape[1])
            nn.init.kaiming_normal_(linear.weight, generator=generator)
            bound = 1 / math.sqrt(dim)
            nn.init.uniform_(linear.bias, -bound, bound, generator=generator)
            self.aligner = nn.Sequential(nn.LayerNorm(dim), linear).to(weight.device)

    def forward(self, x: Tensor) -> Tensor:
        """(B, W) -> (B, C), or (B, 2 C) in training if there are texts."""
        logits: Tensor = self.classifier(x)
        if self.texts is None or not self.training:
            return logits
        mapped = F.normalize(self.aligner(self.texts), dim=-1)
        return torch.cat([logits, F.normalize(x, dim=-1) @ mapped.T], dim=1)


class Linear(nn.Module):
    """w_c . x + b_c, from given weights (C, W) and b = 0."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.clone())
        self.bias = nn.Parameter(torch.zeros_like(weight[:, 0]))

    def forward(self, x: Tensor) -> Tensor:
        """(B, W) -> (B, C)."""
        return F.linear(x, self.weight, self.bias)


class HierarchyLoss(Loss):
    """Logit-adjusted loss plus the two terms of the soft labels; see the module's docstring.

    Args:
        adjusted: loss of the logits.
        soft: soft labels.
        few: (C,) True for few-shot classes.
        kl: weight of the divergence.
        mse: weight of the squared error of the cosines, which follow the logits if it is not 0.
        skip_few: terms that are means over the batch's other images; the squared error is 0 in a
            batch of few-shot classes alone unless this is none.
    """

    coupled = True
    few: Tensor

    def __init__(
        self, adjusted: LogitAdjusted, soft: SoftLabels, few: Tensor,
        *, kl: float, mse: float, skip_few: Literal["kl", "both", "none"],
    ) -> None:  # fmt: skip
        super().__init__()
        self.adjusted = adjusted
        self.soft = soft
        self.register_buffer("few", few, persistent=False)
        self._kl, self._mse, self._skip_few = kl, mse, skip_few

    def forward(self, logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
        """(B, C) or (B, 2 C) logits and cosines, and (B,) labels -> (B,) losses."""
        logits, cosines = logits.split(len(self.few), dim=1) if self._mse else (logits, None)
        losses: Tensor = self.adjusted(logits, labels, batch)
        soft = self.soft(labels)
        counted = (
            torch.ones_like(losses) if self._skip_few == "none" else 1 - self.few[labels].float()
        )
        # The loop takes the mean over the batch: these weights make it the mean over `counted`.
        weights = counted * len(labels) / counted.sum().clamp(min=1)
        if self._kl:
            divergence = F.kl_div(logits.log_softmax(-1), soft, reduction="none").mean(-1)
            losses = losses + self._kl * weights * divergence
        if cosines is not None:
            if self._skip_few == "kl":
                weights = counted.max()
            error = (cosines.softmax(-1) - soft).square().mean(-1)
            losses = losses + self._mse * weights * error
        return losses
