"""HGLTR (AAAI 2026) against the authors' heights, adapters, heads and losses."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.tools.checkouts import Checkout
from benchmarks.tools.parity.contract import EXACT, GRADIENTS, Pair, against
from benchmarks.tools.parity.worlds import (
    CLASSES,
    WIDTH,
    labels_of,
    long_tail,
    no_batch,
    normal,
    task,
    task_of,
)
from methods.hgltr import Head, HierarchyLoss, ScaledAdapter
from methods.parts.hierarchy import SoftLabels, hierarchy_of
from methods.parts.losses.single_label.la import LogitAdjusted

TAU, KL, MSE, SIZE = 1.5, 0.01, 0.1, 64


@against(
    "7d1-z/hgltr",
    "7553154d5ad56fc2e96e61a8d99b034b9b05392f",
    ["util/hierarchy.py", "pipeline/module.py", "pipeline/criterion.py", "peft_clip/peft_module.py",
     "peft_clip/classifier.py"],
    differs="the data set's first template in place of 'a photo of NAME'; means over a batch are "
    "not taken on each GPU",
    stand_ins="data loaders and the distributed trainer are not run",
)  # fmt: skip
def compare(theirs: Checkout) -> Iterator[Pair]:
    """Heights, soft labels, adapter, linear and cosine head, loss and its gradients."""
    heights, module, parts, heads = theirs.modules(
        "util.hierarchy", "pipeline.module", "peft_clip.peft_module", "peft_clip.classifier"
    )
    losses = theirs.definitions(
        "pipeline/criterion.py", "LogitAdjustedLoss", torch=torch, nn=nn, F=F, np=np
    )
    tree = hierarchy_of(task()[0])
    soft = SoftLabels(tree, TAU, torch.device("cpu"))
    every = torch.arange(CLASSES)
    theirs_of = heights.build_lca_height({c: list(path) for c, path in enumerate(tree.paths)})
    yield Pair("heights", soft.heights(every), theirs_of, EXACT)
    labels = torch.softmax(-TAU * torch.from_numpy(theirs_of), dim=-1)
    yield Pair("soft labels", soft(every), labels)

    adapter, block = ScaledAdapter(WIDTH, 8, 0), parts.AdapterBlock(WIDTH, 8, use_scale=True)
    names = {"norm": "ln", "down": "down_proj", "up": "up_proj"}
    for ours, name in names.items():
        mine, other = getattr(adapter, ours), getattr(block, name)
        for part in ("weight", "bias"):
            drawn = normal(f"{ours} {part}", *getattr(mine, part).shape)
            for layer in (mine, other):
                getattr(layer, part).data.copy_(drawn)
    for layer in (adapter, block):
        layer.scale.data.fill_(0.7)
    tokens = normal("tokens", 10, WIDTH)
    yield Pair("adapter", adapter(tokens), block(tokens))

    counts = long_tail()
    few = counts < 20
    x, weight, texts = (
        normal("x", SIZE, WIDTH),
        normal("w", CLASSES, WIDTH),
        normal("t", CLASSES, 32),
    )
    given = labels_of(counts, SIZE)
    for kind, classifier in (
        ("linear", heads.LinearClassifier),
        ("cosine", heads.CosineClassifier),
    ):
        head = Head(
            weight, cosine=kind == "cosine", texts=texts, generator=torch.Generator().manual_seed(0)
        )
        theirs_head, aligner = classifier(WIDTH, CLASSES), module.Aligner(32, WIDTH)
        theirs_head.apply_weight(weight)
        aligner.linear.load_state_dict(head.aligner[1].state_dict())
        found, logits = head(x), theirs_head(x)
        # A cosine head keeps unit weights, which it starts from; theirs divides by the lengths.
        yield Pair(f"{kind}: logits", found[:, :CLASSES], logits)
        loss = HierarchyLoss(
            LogitAdjusted(task_of(counts).log_prior, 1.0), soft, few, kl=KL, mse=MSE, skip_few="kl"
        )
        wrapper = module.CriterionWrapper(
            labels, losses.LogitAdjustedLoss(counts), 1.0, KL, MSE, True, np.flatnonzero(few)
        )
        ours_value = loss(found, given, no_batch(SIZE)).mean()
        outputs = {"logit": logits, "image_features": x, "text_features": aligner(texts)}
        theirs_value, _ = wrapper(outputs, given)
        yield Pair(f"{kind}: loss", ours_value, theirs_value)
        for part, layers in (
            ("map", (head.aligner[1].weight, aligner.linear.weight)),
            ("bias", (head.classifier.bias, theirs_head.bias) if kind == "linear" else ()),
        ):
            if layers:
                mine, other = (
                    torch.autograd.grad(value, layer, retain_graph=True)[0]
                    for value, layer in zip((ours_value, theirs_value), layers, strict=True)
                )
                yield Pair(f"{kind}: gradient of the {part}", mine, other, GRADIENTS)
