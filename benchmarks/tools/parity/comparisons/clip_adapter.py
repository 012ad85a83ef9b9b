"""CLIP-Adapter (Gao et al. 2021) against the authors' code."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks import randomness
from benchmarks.tools.checkouts import Checkout
from benchmarks.tools.parity.contract import GRADIENTS, Pair, against
from benchmarks.tools.parity.worlds import labels_of, long_tail, normal
from methods.base import Batch
from methods.clip_adapter import AdaptedFeatures

CLASSES, WIDTH = 20, 1024
"""Their width is written into the code, that of ResNet-50."""


@against(
    "gaopengcuhk/CLIP-Adapter",
    "08d07f8b2ecafc6f1479fe636b26d464d7a5574e",
    ["clip_adapter.py"],
    differs="no warm-up epoch and no augmentation in training (the schedule is CoOp's)",
    stand_ins="image and text towers are random features that are not normalised",
)
def compare(theirs: Checkout) -> Iterator[Pair]:
    """Logits, loss and gradients of both layers, reduction 4, ratio 0.2."""
    images, texts = 3 * normal("images", 64, WIDTH), 2 * normal("texts", CLASSES, WIDTH)
    module = theirs.definitions("clip_adapter.py", "Adapter", "CustomCLIP", torch=torch, nn=nn,
                                TextEncoder=lambda *_: lambda: texts)  # fmt: skip
    scale = torch.tensor(100.0)
    clip = SimpleNamespace(visual=nn.Identity(), logit_scale=scale.log(), dtype=torch.float32)
    model = module.CustomCLIP(None, None, clip)
    ours = AdaptedFeatures(
        scale * F.normalize(texts, dim=-1), ratio=0.2, reduction=4,
        generator=randomness.generator(0, "adapter"),
    )  # fmt: skip
    down, _, up, _ = model.adapter.fc
    for weight, layer in ((ours.down, down), (ours.up, up)):
        layer.weight.data.copy_(weight.data)
    batch = Batch(torch.arange(len(images)), F.normalize(images, dim=-1), None)
    labels = labels_of(long_tail(CLASSES), len(images))
    mine, other = ours(batch), model(images)
    yield Pair("logits", mine, other)
    mine, other = F.cross_entropy(mine, labels), F.cross_entropy(other, labels)
    yield Pair("loss", mine, other)
    (mine + other).backward()
    yield Pair("gradient, first layer", ours.down.grad, down.weight.grad, GRADIENTS)
    yield Pair("gradient, second layer", ours.up.grad, up.weight.grad, GRADIENTS)
