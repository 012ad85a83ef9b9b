"""CLIP-LoRA (Zanella and Ben Ayed 2024) against the authors' layers in CLIP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.tools.checkouts import Checkout, Settings
from benchmarks.tools.parity.contract import EXACT, GRADIENTS, Pair, against
from benchmarks.tools.parity.worlds import normal, samples, task, their_clip
from methods.base import Batch
from methods.clip_lora import ClipLora, Encoders

ENCODERS: dict[Encoders, str] = {"both": "both", "image": "vision", "text": "text"}
"""Our names of the towers with updates, and theirs."""


@against(
    "MaxZanella/CLIP-LoRA",
    "358f0d7361f59e66c0b2d0b672a3dafb143a759b",
    ["clip/__init__.py", "clip/clip.py", "clip/model.py", "clip/simple_tokenizer.py",
     "loralib/__init__.py", "loralib/layers.py", "loralib/utils.py"],
    differs="crops in training are bilinear, theirs bicubic; epochs are counted instead of "
    "iterations; compared without the dropout, whose numbers are drawn otherwise. With a "
    "dropout_rate of 0, theirs changes the weights between forward and backward pass, so that its "
    "gradient is another one",
)  # fmt: skip
def compare(theirs: Checkout) -> Iterator[Pair]:
    """Logits in training and evaluation, loss and gradients: updates of both towers, and of one."""
    clip, models, lora = theirs.modules("clip.clip", "clip.model", "loralib.utils")
    ours, _ = task()
    images, features, labels = samples(ours, 16)
    batch = Batch(features.index, None, images)
    rows = clip.tokenize([prompt for [prompt] in ours.prompts(ensemble=False)])
    for encoders, name in ENCODERS.items():
        module = ClipLora(encoders=encoders, dropout=0.0).model(ours).train()
        model = their_clip(models)
        settings = Settings(encoder=name, position="all", params=["q", "k", "v"], r=2, alpha=1,
                            dropout_rate=0.25, backbone="ViT-B/16")  # fmt: skip
        lora.apply_lora(settings, model)
        lora.mark_only_lora_as_trainable(model)
        pairs = list(_updates(module, model))
        trained = sum(p.numel() for p in module.parameters())
        there = sum(p.numel() for p in lora.get_lora_parameters(model))
        yield Pair(f"{encoders}: trained numbers", trained, there, EXACT)
        for place, (own, their) in enumerate(pairs):
            own.data.copy_(0.1 * normal(f"update {place}", *own.shape))
            their.data.copy_(own.data.T)
        for part in model.train().modules():
            if isinstance(part, nn.Dropout):
                part.p = 0.0
        mine, other = module(batch), _logits(model, images, rows)
        yield Pair(f"{encoders}: logits", mine, other)
        mine, other = F.cross_entropy(mine, labels), F.cross_entropy(other, labels)
        yield Pair(f"{encoders}: loss", mine, other)
        gradients = torch.autograd.grad(mine + other, [p for pair in pairs for p in pair])
        found = [
            Pair(f"{encoders}: worst gradient", a, b.T, GRADIENTS)
            for a, b in zip(gradients[::2], gradients[1::2], strict=True)
        ]
        yield max(found, key=lambda pair: pair.differences[1])
        merged = _logits(model.eval(), images, rows)
        yield Pair(f"{encoders}: logits of merged weights", module.eval()(batch), merged)


def _logits(model: Any, images: Tensor, rows: Tensor) -> Tensor:
    """Scaled cosines of their model."""
    encoded = model.encode_image(images), model.encode_text(rows)
    image, text = (F.normalize(x, dim=-1) for x in encoded)
    return 100 * image @ text.T


def _updates(module: Any, model: Any) -> Iterator[tuple[nn.Parameter, nn.Parameter]]:
    """Our A and B of every update, each with theirs, which is transposed."""
    towers = (module.images, model.visual), (module.texts, model)
    for own, other in towers:
        for slots, block in zip(own.slots, other.transformer.resblocks, strict=False):
            for part in ("query", "key", "value"):
                update = getattr(slots, part)
                if update is not None:
                    layer = getattr(block.attn, f"{part[0]}_proj")
                    yield update.a, layer.w_lora_A
                    yield update.b, layer.w_lora_B
