"""Frame of the methods that train parts of the image tower: tower, head and training.

    tower = adapted(task, "adaptformer")   # or AdaptedViT(visual, [Slots(…) for each block])
    return finetune(task, tower, text_head(task), loss, schedule)

The head reads the pooled output before the CLIP projection, as in LIFT; in towers without plain
blocks (ResNet, ConvNeXt, …) the whole output, as LIFT does with CLIP's ResNets.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks import randomness
from benchmarks.towers import image
from methods.base import Predictor, Task, TextSource
from methods.parts.ensembling import views_for
from methods.parts.heads.linear_classifiers import (
    SCALE,
    CosineHead,
    SigmoidBias,
    class_means,
    log_odds,
)
from methods.parts.image.adapters import (
    Adapter,
    AdaptFormer,
    LowRank,
    Slots,
    Start,
    bottleneck_rule,
    prompt_tokens,
)
from methods.parts.image.changes import Part, mask_rule, masked, scaled_and_shifted, weights
from methods.parts.image.vit import AdaptedClassifier, AdaptedViT, project_to_width, vit, with_own
from methods.parts.losses import named_loss
from methods.parts.losses.base import LossFunction
from methods.parts.losses.multi_label.bce import binary_cross_entropy
from methods.parts.losses.single_label.la import LogitAdjusted
from methods.parts.training.loop import ONLY, Schedule, Stage, train

AdapterKind = Literal[
    "adaptformer", "adapter", "lora", "lora_mlp", "vpt", "vpt_shallow",
    "ssf", "ssf_attention", "ssf_mlp", "ssf_norms", "mask", "norms", "bitfit", "none",
]  # fmt: skip
"""Trained parts of every block, as in LIFT's code.

adaptformer: a bottleneck in parallel to the MLP; adapter: a bottleneck after it; lora: low-rank
updates of queries and values; lora_mlp: of both layers of the MLP (LIFT's code names it and cannot
run it); vpt: separate prompt tokens in every block (deep); vpt_shallow: prompt tokens that pass
through all blocks; ssf: a scale and a shift of the output of every linear layer and norm;
ssf_attention, ssf_mlp, ssf_norms: of some of them; mask: a random share of the weights and biases
of the linear layers; norms: the layer norms; bitfit: the biases; none: nothing.
"""
_SCALED: dict[str, tuple[Part, ...]] = {
    "ssf": ("attention", "mlp", "norms"),
    "ssf_attention": ("attention",),
    "ssf_mlp": ("mlp",),
    "ssf_norms": ("norms",),
}


def shape(visual: Any) -> tuple[int, int]:
    """(W, L), the width and the number of blocks of a tower from `vit`."""
    tower = image.reader(visual)
    return tower.width, len(tower.blocks)


def adapted(
    task: Task,
    kind: AdapterKind,
    bottleneck: int = 0,
    prompts: int = 10,
    start: Start = "kaiming_normal",
    mask: float = 0.0,
) -> AdaptedViT:
    """The frozen tower with adapters in every block; with `none`, any tower.

    Most kinds leave the output unchanged before the first step. Prompts take part in the attention
    from the start, and the scales and shifts of ssf start at random numbers near 1 and 0.

    Args:
        task: backbone, classes and seed.
        kind: see `AdapterKind`.
        bottleneck: width of adaptformer and adapter, rank of lora and lora_mlp; 0 uses LIFT's rule.
        prompts: tokens per block of vpt, tokens of vpt_shallow.
        start: initial values of adaptformer and adapter.
        mask: share of the weights and biases that mask trains; 0 uses LIFT's rule.

    Raises:
        NotApplicable: the tower has no blocks for them.
    """
    if kind == "none":
        return AdaptedViT(task.backbone.model.visual)
    visual = vit(task.backbone)
    tower = image.reader(visual)
    if kind == "bitfit":
        prefix = tower.prefix
        biases = with_own(visual, lambda n: n.startswith(prefix) and n.endswith("bias"))
        return AdaptedViT(biases)
    if kind == "norms":
        norms = {name for layer in weights(visual, "norms") for name in (layer.weight, layer.bias)}
        return AdaptedViT(with_own(visual, lambda name: name in norms))
    if kind in _SCALED:
        return AdaptedViT(visual, changes=scaled_and_shifted(visual, _SCALED[kind], task.seed))
    width, blocks = shape(visual)
    if kind == "mask":
        share = mask or mask_rule(task.num_classes, blocks, width)
        return AdaptedViT(visual, changes=masked(visual, share, task.seed))
    if kind == "vpt_shallow":
        key = randomness.key(task.seed, "block", 0)
        return AdaptedViT(visual, prompts=prompt_tokens(width, tower.patch, prompts, key))
    d = bottleneck or bottleneck_rule(task.num_classes, blocks)
    slots = []
    for i in range(blocks):
        key = randomness.key(task.seed, "block", i)
        if kind == "adaptformer":
            slots.append(Slots(mlp=AdaptFormer(width, d, key, start)))
        elif kind == "adapter":
            slots.append(Slots(after_mlp=Adapter(width, d, key, start)))
        elif kind == "lora":
            query, value = (randomness.key(key, name) for name in ("query", "value"))
            slots.append(Slots(query=LowRank(width, d, query), value=LowRank(width, d, value)))
        elif kind == "lora_mlp":
            layers = tower.layers(tower.blocks[0], torch.float32)  # all blocks are alike
            inner, outer = len(layers.up.weight), layers.down.weight.shape[1]
            up, down = (randomness.key(key, name) for name in ("up", "down"))
            slots.append(
                Slots(up=LowRank(width, d, up, inner), down=LowRank(outer, d, down, width))
            )
        else:
            slots.append(Slots(prompts=prompt_tokens(width, tower.patch, prompts, key)))
    return AdaptedViT(visual, slots)


def unfrozen(task: Task, part: Literal["tower", "blocks"] = "tower") -> AdaptedViT:
    """A trainable copy of the tower; the backbone is not changed.

    Args:
        task: provides the backbone.
        part: tower, without the projection where no head reads it; or only the blocks of a ViT.

    Raises:
        NotApplicable: only the blocks are trained, and the tower has none.
    """
    visual: Any = task.backbone.model.visual
    if part == "blocks":
        start = image.reader(vit(task.backbone, "trained blocks")).prefix
        return AdaptedViT(with_own(visual, lambda name: name.startswith(start)))
    unread = image.reader(visual).after if image.supports(visual) else ()
    return AdaptedViT(with_own(visual, lambda name: not name.startswith(unread)))


def text_head(task: Task, text: TextSource = "names") -> CosineHead:
    """Cosine head that starts at projected text features (C, W') of one template, as in LIFT.

    Without a text tower it starts at the class means of the frozen features, as LIFT's does on ViTs
    from ImageNet-21k. Theirs are means of features as they are, ours of features of unit length.
    """
    if not task.backbone.has_text:
        task.note("the head starts at the class means: the backbone has no text tower")
        return CosineHead(class_means(task))
    features = task.text_features(text, ensemble=False)
    return CosineHead(project_to_width(task.backbone.model.visual, features))


TowerLoss = Literal["auto", "ce", "la", "bce", "db", "asl"]
"""auto: la on single-label, bce on multi-label data (db was worse on validation images of
glyphscenes_lt)."""


def tower_loss(task: Task, name: TowerLoss, tau: float) -> LossFunction:
    """Return the loss called `name`; db has its authors' values for COCO-LT, asl its scripts'.

    Args:
        task: classes and counts.
        name: ce and la are for single-label data; bce, db and asl for multi-label data.
        tau: strength of la.

    Raises:
        NotApplicable: the loss does not fit the task.
    """
    if name == "auto" and task.kind == "single":
        return LogitAdjusted(task.log_prior, tau)
    if task.kind == "multi":
        shown = "bce" if name == "auto" else name
        task.note(f"multi-label form ours: {shown} on sigmoids in place of LIFT's softmax loss")
    if name == "auto":
        return binary_cross_entropy
    return named_loss(name, task, tau=tau, scale=SCALE, db_neg_scale=2.0, db_mu=0.2)


def finetune(
    task: Task,
    tower: AdaptedViT,
    head: nn.Module,
    loss: LossFunction,
    schedule: Schedule,
    *,
    stage: Stage = ONLY,
    tte: bool = False,
) -> Predictor:
    """Train a tower and a head together on the training images.

    Args:
        task: task to train on.
        tower: tower with the initial values of its trained parts.
        head: (B, W) -> (B, C); on multi-label data a `SigmoidBias` follows it as calibration.
        loss: see `losses.base`.
        schedule: see `training.schedules`.
        stage: see `training.schedules`.
        tte: test-time ensembling, see `Predictor.views`.
    """
    calibration = None
    if task.kind == "multi":
        calibration = SigmoidBias(_mean_logits(task, tower, head), _odds(task))
    views = views_for(task, tte=tte)
    module = AdaptedClassifier(tower, head, calibration)
    predictor = train(task, module, loss, schedule, "images", stage)
    return dataclasses.replace(predictor, views=views, uncalibrated=module.uncalibrated)


def _odds(task: Task) -> Tensor:
    return log_odds(task.counts, len(task.train))


@torch.no_grad()
def _mean_logits(task: Task, tower: AdaptedViT, head: nn.Module, images: int = 512) -> Tensor:
    """(C,) mean logit of each class before training, over the first `images` training images."""
    some = task.epoch_order(0)[:images]
    module = AdaptedClassifier(tower, head).to(task.device)
    parts = []
    for part in np.split(some, range(128, len(some), 128)):
        with task.backbone.precision_for("images"):
            parts.append(module(task.train.batch(part, needs="images")).float())
    return torch.cat(parts).mean(0)
