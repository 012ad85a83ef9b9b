"""CLIP-Adapter: a residual bottleneck on the image feature (Gao et al. 2021, arXiv 2110.04544).

Structure and ratio are those of the authors' code (github.com/gaopengcuhk/CLIP-Adapter, 9ac913a):
two linear layers without bias, a ReLU after each, and ratio * adapted + (1 - ratio) * original
against the frozen text classifier of one prompt. That code adapts the feature before it is
normalised; without biases the adapter is positively homogeneous, so adapting the normalised feature
gives the same cosines. Its training follows CoOp's commands and therefore CoOp's schedule (see
`coop`), with the same differences here: no warm-up epoch, no augmentation.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.plugins.ranges import Count, NonNegative, Share
from methods.base import Batch, Task, TextSource
from methods.parts.ensembling import views_for
from methods.parts.losses.single_label.ce import cross_entropy
from methods.parts.training.learning import Learner, Learning
from methods.parts.training.schedules import Schedule, Training
from methods.registry import register
from methods.space import Distribution, LogUniform, Uniform


@register("clip_adapter", paper="Gao et al. 2021, arXiv 2110.04544", needs="features")
@dataclass(frozen=True)
class ClipAdapter(Learner):
    """A residual bottleneck adapter on the image feature; the text classifier stays fixed."""

    ratio: Annotated[float, Share] = 0.2
    """Share of the adapted feature (authors' code); 0 is zero-shot CLIP."""
    reduction: Annotated[int, Count] = 4
    """Ratio of feature width to bottleneck width (authors' code)."""
    text: TextSource = "names"
    """Texts that fill the prompt of the text classifier."""
    ensemble: bool = False
    """Average the text features of all templates; the authors' code uses one prompt."""
    lr: Annotated[float, NonNegative] = 0.002
    """CoOp's code, as are the following."""
    epochs: Annotated[int, Count] = 50
    """CoOp's value for all of ImageNet; 200 with 16 shots per class."""
    batch_size: Annotated[int, Count] = 32
    weight_decay: Annotated[float, NonNegative] = 5e-4
    tte: bool = False
    """Test-time ensembling: mean logits of five crops of each test image."""

    space: ClassVar[Mapping[str, Distribution]] = {
        "lr": LogUniform(1e-3, 1.0),
        "ratio": Uniform(0.1, 0.9),
    }

    def learn(self, task: Task) -> Learning:
        views = views_for(task, tte=self.tte)
        weight = task.text_features(self.text, ensemble=self.ensemble)
        module = AdaptedFeatures(
            task.backbone.logit_scale * weight,
            ratio=self.ratio,
            reduction=self.reduction,
            generator=task.generator("clip adapter"),
        )
        schedule = Schedule(self.epochs, self.batch_size, self.lr, weight_decay=self.weight_decay)
        predictor = yield Training(task, module, cross_entropy, schedule)
        return dataclasses.replace(predictor, views=views)


class AdaptedFeatures(nn.Module):
    """Logits of norm(ratio * ReLU(Up(ReLU(Down(x)))) + (1 - ratio) * x) against fixed weights.

    Args:
        weight: (C, D) text classifier, times the logit scale.
        ratio: share of the adapted feature.
        reduction: ratio of D to the bottleneck's width, which is at least 1.
        generator: for the initial values (uniform in ±1/sqrt(inputs), torch's default, as in that
            code).
    """

    weight: Tensor
    ratio: Tensor

    def __init__(
        self, weight: Tensor, *, ratio: float, reduction: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.register_buffer("weight", weight, persistent=False)
        self.register_buffer("ratio", torch.tensor(ratio), persistent=False)
        dim = weight.shape[1]
        hidden = max(1, dim // reduction)
        self.down = nn.Parameter(torch.empty(hidden, dim))
        self.up = nn.Parameter(torch.empty(dim, hidden))
        for layer in (self.down, self.up):
            nn.init.kaiming_uniform_(layer, a=math.sqrt(5), generator=generator)

    def adapted(self, x: Tensor) -> Tensor:
        """(B, D) -> (B, D) unit features."""
        new = F.relu(self.up @ F.relu(self.down @ x.mT)).mT  # gradients laid out as weights
        ratio = self.ratio[..., None, None]
        return F.normalize(ratio * new + (1 - ratio) * x, dim=-1)

    def forward(self, batch: Batch) -> Tensor:
        """B samples -> (B, C)."""
        logits: Tensor = self.adapted(batch.inputs) @ self.weight.mT
        return logits
