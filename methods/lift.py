"""LIFT: lightweight fine-tuning for long-tailed recognition (Shi et al. 2024, arXiv 2309.10019).

Adapters in every block of a frozen CLIP ViT, a cosine head on the class token before the CLIP
projection that starts at the projected text features, and the logit-adjusted loss. Values are
those of the authors' code (github.com/shijxcs/LIFT, 661ead9), by default without test-time
ensembling, which the published headline numbers include. LIFT's own single-view test transform is a
resize to 256 pixels and a crop, `--transform lift`; without it, it is the backbone's. LIFT is for
single-label data: the multi-label form (a sigmoid loss in place of the softmax) is ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar

from benchmarks.augment import Augmentation
from benchmarks.plugins.ranges import Count, NonNegative, Share
from methods.base import Method, Predictor, Task, TextSource
from methods.parts.image.finetune import (
    AdapterKind,
    TowerLoss,
    adapted,
    finetune,
    text_head,
    tower_loss,
)
from methods.parts.training.loop import Schedule
from methods.registry import register
from methods.space import Distribution, LogUniform, Uniform


@register(
    "lift", paper="Shi et al. 2024, arXiv 2309.10019", needs="images", tasks=("single", "multi")
)
@dataclass(frozen=True)
class Lift(Method):
    """AdaptFormer in a frozen ViT, text-initialised cosine head, logit-adjusted loss."""

    adapter: AdapterKind = "adaptformer"
    """adaptformer (parallel to the MLP), adapter (after it), lora (low-rank updates of queries and
    values), lora_mlp (of the MLP), vpt (prompt tokens in every block), vpt_shallow (prompt tokens
    that pass through all blocks), ssf (a scale and a shift after every linear layer and norm, or
    those of a part alone), mask (a random share of the weights), norms, bitfit (the biases of the
    blocks) or none (the head alone)."""
    loss: TowerLoss = "auto"
    """auto: la on single-label data, bce on multi-label data."""
    lr: Annotated[float, NonNegative] = 0.01
    epochs: Annotated[int, Count] = 10
    """20 on iNaturalist 2018."""
    batch_size: Annotated[int, Count] = 128
    weight_decay: Annotated[float, NonNegative] = 5e-4
    tau: Annotated[float, NonNegative] = 1.0
    """Strength of la."""
    bottleneck: Annotated[int, NonNegative] = 0
    """Width of adaptformer and adapter, rank of lora and lora_mlp; 0 takes LIFT's rule for K
    classes and L blocks, 2^floor(log2(K / 2L))."""
    prompts: Annotated[int, Count] = 10
    """Prompt tokens per block of vpt, prompt tokens of vpt_shallow."""
    mask: Annotated[float, Share] = 0.0
    """Share of the weights and biases of the linear layers that mask trains (LIFT's scripts: 0.01
    on ImageNet-LT, 0.005 on Places-LT); 0 takes LIFT's rule for width W, K / (12 L W)."""
    text: TextSource = "names"
    """Texts that initialise the head (with the first template only, as in LIFT)."""
    augment: Augmentation = "crop_flip"
    tte: bool = False
    """Test-time ensembling: mean logits of five crops, as in LIFT's published headline numbers.
    LIFT's own evaluation, of one view as of five crops, needs `--transform lift` besides."""

    space: ClassVar[Mapping[str, Distribution]] = {
        "lr": LogUniform(0.002, 0.05),
        "tau": Uniform(0.5, 2.0),
    }

    def fit(self, task: Task) -> Predictor:
        tower = adapted(task, self.adapter, self.bottleneck, self.prompts, mask=self.mask)
        schedule = Schedule(
            self.epochs, self.batch_size, self.lr,
            weight_decay=self.weight_decay, augment=self.augment,
        )  # fmt: skip
        loss = tower_loss(task, self.loss, self.tau)
        return finetune(task, tower, text_head(task, self.text), loss, schedule, tte=self.tte)
