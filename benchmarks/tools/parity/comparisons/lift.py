"""LIFT (Shi et al. 2024) against the authors' model: every kind of trained part."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.nn import functional as F

from benchmarks.tools.checkouts import Checkout
from benchmarks.tools.parity.contract import Pair, against
from benchmarks.tools.parity.lift_parts import (
    FILES,
    KINDS,
    matches,
    passes,
    perturb,
    their_model,
)  # fmt: skip
from benchmarks.tools.parity.worlds import samples, task
from methods.base import Batch
from methods.parts.image.adapters import bottleneck_rule
from methods.parts.image.finetune import adapted, text_head, tower_loss
from methods.parts.image.vit import AdaptedClassifier

STEPS = 3


@against(
    "shijxcs/LIFT",
    "661ead9b78368f05ba79abe4672d63154467f823",
    [*FILES, "utils/losses.py"],
    differs="the evaluation transform is the checkpoint's unless --transform lift is set; "
    "multi-label data are ours",
)
def compare(theirs: Checkout) -> Iterator[Pair]:
    """Head's start, features, logits, loss, gradients and 3 steps of SGD for all trained parts."""
    ours, _ = task()
    images, features, labels = samples(ours, 16)
    batch = Batch(features.index, None, images)
    [clip], [losses] = theirs.modules("clip.clip"), theirs.modules("utils.losses")
    criterion = losses.LogitAdjustedLoss(ours.counts)
    loss = tower_loss(ours, "auto", 1.0)
    for kind, settings in KINDS.items():
        module = AdaptedClassifier(adapted(ours, kind), text_head(ours))
        model = their_model(theirs, **dict.fromkeys(settings, True))
        if kind == "adaptformer":
            rows = clip.tokenize([prompt for [prompt] in ours.prompts(ensemble=False)])
            text = F.normalize(model.encode_text(rows), dim=-1)
            start = F.normalize(text @ model.image_encoder.proj.T, dim=-1)
            yield Pair("start of the head", module.head.weight, start)
            width = model.tuner.adaptformer_list[0].down_proj.out_features
            yield Pair("bottleneck", bottleneck_rule(len(text), len(model.tuner.vpt_list)), width)
        pairs = list(matches(kind, module, model))
        trained = sum(p.numel() for p in module.parameters() if p.requires_grad)
        there = [*model.tuner.parameters(), *model.head.parameters()]
        yield Pair(f"{kind}: trained numbers", trained, sum(p.numel() for p in there))
        perturb(pairs)
        for parameter in there:
            parameter.requires_grad_()
        yield from passes(kind, module, model, batch, labels, loss, criterion, pairs)
        both = [*module.parameters(), *there]  # frozen parameters have no gradient
        optimiser = torch.optim.SGD(both, lr=0.01, momentum=0.9, weight_decay=5e-4)
        for _ in range(STEPS):
            optimiser.zero_grad()
            mine = loss(module(batch), labels, batch).mean()
            (mine + criterion(model(images), labels)).backward()
            optimiser.step()
        yield Pair(f"{kind}: logits after {STEPS} steps", module(batch), model(images))
