"""LIFT (Shi et al. 2024) on a ViT of timm, the form in which it uses ImageNet-21k weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from benchmarks import backbones
from benchmarks.conformance.tiny import tiny_task
from benchmarks.tools.checkouts import Checkout, Settings
from benchmarks.tools.parity.contract import Pair, against
from benchmarks.tools.parity.lift_parts import FILES, KINDS, matches, passes, perturb
from benchmarks.tools.parity.worlds import CLASSES, SIDE, data, normal, samples
from methods.base import Batch
from methods.parts.image.finetune import AdapterKind, adapted, text_head, tower_loss
from methods.parts.image.vit import AdaptedClassifier

_KINDS: tuple[AdapterKind, ...] = ("adaptformer", "adapter", "lora", "vpt", "none")


@against(
    "shijxcs/LIFT",
    "661ead9b78368f05ba79abe4672d63154467f823",
    [*FILES, "utils/losses.py"],
    differs="the head starts at means of features of unit length, theirs of features as they are, "
    "of images resized to the input's side; the norm of an adapter has the tower's epsilon, 1e-6 "
    "in timm, theirs 1e-5",
)
def compare(theirs: Checkout) -> Iterator[Pair]:
    """Features, logits, loss and gradients on a small ViT of timm with random weights."""
    backbone = backbones.load(
        "timm:test_vit/random", device=torch.device("cpu"), precision="fp32", image_size=SIDE
    )
    trunk: Any = backbone.model.visual.trunk  # type: ignore[union-attr]
    with torch.no_grad():  # tokens of unit variance, as trained weights give
        trunk.pos_embed.add_(normal("positions", *trunk.pos_embed.shape))
    ours, _ = tiny_task(data=data(), backbone=backbone)
    images, features, labels = samples(ours, 16)
    batch = Batch(features.index, None, images)
    models, losses = theirs.modules("models.models", "utils.losses")
    criterion = losses.LogitAdjustedLoss(ours.counts)
    loss = tower_loss(ours, "auto", 1.0)
    for kind in _KINDS:
        module = AdaptedClassifier(adapted(ours, kind), text_head(ours))
        chosen = Settings(
            backbone="IN21K-ViT-B/16", classifier="CosineClassifier", scale=25,
            **dict.fromkeys(KINDS[kind], True),
        )  # fmt: skip
        with torch.random.fork_rng():
            model = models.PeftModelFromViT(chosen, trunk, CLASSES)
        pairs = list(matches(kind, module, model))
        perturb(pairs)
        yield from passes(kind, module, model, batch, labels, loss, criterion, pairs)
