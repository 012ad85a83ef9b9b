"""Sage: semantic-guided fine-tuning (Peng, Zhang, Cheung 2025, arXiv 2507.12807).

Only the abstract could be read and no code is published. From it: an SG-Adapter passes class
descriptions through the attention mechanism to the visual encoder, the text encoder stays frozen,
and a distribution-mismatch-aware compensation factor enters the loss. **Everything else here is our
reconstruction**, built on LIFT (adapters in every block, text-initialised cosine head,
logit-adjusted loss). Every open choice is a field:

- SG-Adapter: in parallel to LIFT's AdaptFormer, the tokens of each block attend to the frozen text
  features of the class descriptions (`parts.image.guidance`).
- Compensation: an estimate of class c from n_c samples has a log-density that is lower by
  d_eff / (2 n_c) at a fresh sample and higher by as much at the class's own training samples
  (`docs/sage.md` derives it).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks import randomness
from benchmarks.augment import Augmentation
from benchmarks.plugins.ranges import Count, NonNegative, Range
from methods.base import Batch, Method, Predictor, Task, TextSource
from methods.parts.heads.linear_classifiers import SCALE
from methods.parts.image.adapters import AdaptFormer, Slots, Sum, bottleneck_rule
from methods.parts.image.finetune import finetune, shape, text_head
from methods.parts.image.guidance import CrossAttention, GuideSource, KeyValueAttention, guides
from methods.parts.image.vit import AdaptedViT, vit
from methods.parts.losses.base import Loss
from methods.parts.training.loop import Schedule
from methods.registry import register
from methods.space import Distribution, LogUniform, Uniform


@register(
    "sage",
    paper="Peng et al. 2025, arXiv 2507.12807",
    needs="images",
    reconstruction="only Sage's abstract could be read: adapter and factor are our reconstruction",
)
@dataclass(frozen=True)
class Sage(Method):
    """Semantic-guided adapters and distribution-mismatch compensation (our reconstruction)."""

    guidance: Literal["cross", "kv", "none"] = "cross"
    """cross: in parallel to the MLP of every block, tokens attend to the class descriptions; kv: in
    parallel to its self-attention, through a gate."""
    guides: GuideSource = "own"
    """own: the data set's descriptions; random and foreign are controls, see
    `parts.image.guidance`."""
    attention_width: Annotated[int, Range(16, 4096)] = 32
    """Width of queries, keys and values; 16 or more."""
    max_guides: Annotated[int, Range(2)] = 512
    """More descriptions than this are pooled to this number (k-means)."""
    text: TextSource = "descriptions"
    """Texts that guide."""
    head_text: TextSource = "both"
    """Texts that initialise the head; LIFT uses the names."""
    compensation: Literal["class", "margin", "none"] = "class"
    """class: add the constant -d_eff / (2 n_c) to every class in the training softmax; margin:
    subtract d_eff / n_y from the logit of a sample's own class."""
    max_nats: Annotated[float, NonNegative] = 3.0
    """Upper bound of the compensation: an estimate from one image supports no more."""
    tau: Annotated[float, NonNegative] = 1.0
    """Strength of logit adjustment. This and the following are LIFT's; Sage's are unknown."""
    bottleneck: Annotated[int, NonNegative] = 0
    """Width of the AdaptFormer; 0 uses LIFT's rule."""
    lr: Annotated[float, NonNegative] = 0.01
    epochs: Annotated[int, Count] = 10
    batch_size: Annotated[int, Count] = 128
    weight_decay: Annotated[float, NonNegative] = 5e-4
    augment: Augmentation = "crop_flip"

    space: ClassVar[Mapping[str, Distribution]] = {
        "lr": LogUniform(0.002, 0.05),
        "tau": Uniform(0.5, 2.0),
    }

    def fit(self, task: Task) -> Predictor:
        visual = vit(task.backbone)
        width, blocks = shape(visual)
        bottleneck = self.bottleneck or bottleneck_rule(task.num_classes, blocks)
        texts = None
        if self.guidance != "none":
            texts = guides(task, self.text, self.guides, self.max_guides)
        slots = []
        for block in range(blocks):
            key = randomness.key(task.seed, "block", block)
            mlp: nn.Module = AdaptFormer(width, bottleneck, key)
            attention = None
            if texts is not None and self.guidance == "cross":
                mlp = Sum(mlp, CrossAttention(visual, texts, self.attention_width))
            elif texts is not None:
                attention = KeyValueAttention(visual, texts, self.attention_width, key)
            slots.append(Slots(mlp=mlp, attention=attention))
        nats = torch.zeros_like(task.counts)
        if self.compensation != "none":
            features, labels = task.train.features(), task.train.labels
            nats = shortfall(features, labels, task.counts, self.max_nats)
        loss = CompensatedLoss(self.tau * task.log_prior, nats, self.compensation)
        schedule = Schedule(
            self.epochs, self.batch_size, self.lr,
            weight_decay=self.weight_decay, augment=self.augment,
        )  # fmt: skip
        head = text_head(task, self.head_text)
        return finetune(task, AdaptedViT(visual, slots), head, loss, schedule)


class CompensatedLoss(Loss):
    """Logit-adjusted cross-entropy with the compensation factor, docs/sage.md; our reconstruction.

    Args:
        log_prior: (C,) tau * log pi.
        nats: (C,) d_eff / (2 n_c), see `shortfall`.
        kind: `class`: z + tau log pi - nats; `margin`: z_y - 2 nats_y for the sample's own class y;
            `none`: z + tau log pi.
    """

    coupled = False
    shift: Tensor
    margin: Tensor

    def __init__(self, log_prior: Tensor, nats: Tensor, kind: str) -> None:
        super().__init__()
        shift = log_prior - nats if kind == "class" else log_prior
        margin = 2 * nats if kind == "margin" else torch.zeros_like(nats)
        self.register_buffer("shift", shift, persistent=False)  # (C,)
        self.register_buffer("margin", margin, persistent=False)  # (C,)

    def forward(self, logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
        """(B, C) logits and (B,) labels -> (B,) losses."""
        own = F.one_hot(labels, logits.shape[1])  # (B, C)
        adjusted = logits + self.shift - own * self.margin
        return F.cross_entropy(adjusted, labels, reduction="none")


def shortfall(features: Tensor, labels: Tensor, counts: Tensor, max_nats: float) -> Tensor:
    """(C,) d_eff / (2 n_c) in nats, at most `max_nats`; our reconstruction.

    For a cosine head of scale s, -s |x - w|^2 / 2 is the log-density up to a constant, hence d_eff
    = s * trace of the within-class covariance, a pooled, unbiased estimate that is the same for all
    classes. Within a class it equals the leave-one-out estimate, since the distance to a mean that
    leaves x out is n / (n - 1) times that to the full mean. The features are the frozen ones, a
    proxy for those that the adapted head reads.

    Args:
        features: (N, D) L2-normalised training features.
        labels: (N,) classes.
        counts: (C,) training images per class; a class without any is treated as if it had one.
        max_nats: upper bound.
    """
    sums = torch.zeros(len(counts), features.shape[1], device=features.device)
    sums.index_add_(0, labels, features)
    means = sums / counts.clamp(min=1)[:, None]  # (C, D)
    # Pooled over N - C degrees of freedom: classes with one image contribute nothing.
    freedom = (counts - 1).clamp(min=0).sum().clamp(min=1)
    trace = (features - means[labels]).square().sum() / freedom
    return (SCALE * trace / (2 * counts.clamp(min=1))).clamp(max=max_nats)
