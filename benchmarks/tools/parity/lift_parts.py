"""Trained parts of LIFT's towers in both codes, and their parameters in pairs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.tools.checkouts import Checkout, Settings
from benchmarks.tools.parity.contract import GRADIENTS, Pair
from benchmarks.tools.parity.worlds import CLASSES, backbone, normal, their_clip
from methods.base import Batch
from methods.parts.image.finetune import AdapterKind
from methods.parts.losses.base import LossFunction

KINDS: dict[AdapterKind, tuple[str, ...]] = {
    "adaptformer": ("adaptformer",),
    "adapter": ("adapter",),
    "lora": ("lora",),
    "vpt": ("vpt_deep",),
    "vpt_shallow": ("vpt_shallow",),
    "ssf": ("ssf_attn", "ssf_mlp", "ssf_ln"),
    "mask": ("mask",),
    "norms": ("ln_tuning",),
    "bitfit": ("bias_tuning",),
    "none": (),
}
"""Our kinds of trained parts, each with the settings of LIFT's code.

Their `lora_mlp` cannot run.
"""

FILES = ("clip/__init__.py", "clip/clip.py", "clip/model.py", "clip/simple_tokenizer.py",
         "models/__init__.py", "models/classifiers.py", "models/clip_text.py", "models/models.py",
         "models/peft_modules.py", "models/peft_rn.py", "models/peft_vit.py")  # fmt: skip
"""Files of LIFT's code that its model needs."""

Match = tuple[Sequence[nn.Parameter], Sequence[nn.Parameter]]
"""The same numbers in our code and in theirs, which may divide them otherwise."""


def their_model(theirs: Checkout, **settings: Any) -> Any:
    """Their tuned model around the weights of `worlds.backbone`."""
    clip, models = theirs.modules("clip.model", "models.models")
    chosen = Settings(backbone="CLIP-ViT-B/16", classifier="CosineClassifier", scale=25, **settings)
    with torch.random.fork_rng():
        return models.PeftModelFromCLIP(chosen, their_clip(clip), CLASSES)


def matches(kind: AdapterKind, module: Any, model: Any) -> Iterator[Match]:
    """Parameters with the same role: ours, theirs.

    Args:
        kind: one of `KINDS`.
        module: our `AdaptedClassifier`.
        model: their tuned model.
    """
    tower, tuner = module.tower, model.tuner
    yield [module.head.weight], [model.head.weight]
    if kind in ("bitfit", "norms"):
        yield from _of_the_tower(kind, tower, model)
    elif kind == "ssf":
        yield from _scaled(tower, tuner)
    elif kind == "mask":
        yield from _masked(tower, tuner)
    elif kind == "vpt_shallow":
        yield [tower.prompts], [tuner.vpt_list[0].prompt]
    for i, slots in enumerate(tower.slots):
        if kind in ("adaptformer", "adapter"):
            own = slots.mlp if kind == "adaptformer" else slots.after_mlp
            other = getattr(tuner, f"{kind}_list")[i]
            for mine, name in ((own.norm, "ln"), (own.down, "down_proj"), (own.up, "up_proj")):
                yield [mine.weight, mine.bias], list(getattr(other, name).parameters())
            if kind == "adaptformer":
                yield [own.scale], [other.scale]
        elif kind == "lora":
            for mine, name in ((slots.query, "q"), (slots.value, "v")):
                other = tuner.lora_list[i][name]
                yield [mine.a], [other.lora_A]
                yield [mine.b], [other.lora_B]
        elif kind == "vpt":
            yield [slots.prompts], [tuner.vpt_list[i].prompt]


def _of_the_tower(kind: str, tower: Any, model: Any) -> Iterator[Match]:
    """The tower's own biases or norms, whose layers have the same names in another order."""

    def trained(blocks: nn.Module) -> list[str]:
        names = [name for name, _ in blocks.named_parameters()]
        return [n for n in names if (n.endswith("bias") if kind == "bitfit" else ".ln_" in n)]

    visual: Any = backbone().model.visual
    mine = dict(zip(trained(visual.transformer.resblocks), tower.own, strict=True))
    blocks = model.image_encoder.blocks
    for name in trained(blocks):
        yield [mine[name]], [blocks.get_parameter(name)]


PLACES = {
    "attn.in_proj_weight": "attn_in",
    "attn.out_proj.weight": "attn_out",
    "mlp.c_fc.weight": "mlp_in",
    "mlp.c_proj.weight": "mlp_out",
    "ln_1.weight": "ln_1",
    "ln_2.weight": "ln_2",
}
"""Layers of a block by the names of their weights, each with its name in LIFT's lists."""


def _layers(tower: Any) -> Iterator[tuple[int, str, Any]]:
    """Block, name in LIFT's lists and change of every changed layer."""
    changes = tower.changes
    for layer, change in zip(changes._layers, changes.modules_of_layers, strict=True):
        yield layer.block, PLACES[layer.place], change


def _scaled(tower: Any, tuner: Any) -> Iterator[Match]:
    for block, place, change in _layers(tower):
        part = place.partition("_")[0]
        other = getattr(tuner, f"ssf_{part}_list")[block][place]
        yield [change.scale], [other.scale]
        yield [change.shift], [other.shift]


def _masked(tower: Any, tuner: Any) -> Iterator[Match]:
    """Their masks get our random places first."""
    for block, place, change in _layers(tower):
        other = tuner.masked_linear_list[block][place]
        size = other.mask_weight.numel()
        chosen = torch.zeros(size + other.mask_bias.numel(), dtype=torch.bool)
        chosen[change.places] = True
        other.mask_weight = chosen[:size].view_as(other.mask_weight)
        other.mask_bias = chosen[size:]
        weights = int(other.mask_weight.sum())
        start = change.values.detach()
        other.optimized_weight = nn.Parameter(start[:weights].clone())
        other.optimized_bias = nn.Parameter(start[weights:].clone())
        yield [change.values], [other.optimized_weight, other.optimized_bias]


@torch.no_grad()
def perturb(pairs: list[Match], strength: float = 0.02) -> None:
    """Add the same noise to both sides, since a part that starts at zero would hide the others."""
    for place, (mine, other) in enumerate(pairs):
        start = _flat(mine)
        values = start + strength * normal(f"noise {place}", len(start))
        for side in (mine, other):
            parts = values.split([parameter.numel() for parameter in side])
            for parameter, part in zip(side, parts, strict=True):
                parameter.copy_(part.view_as(parameter))


def passes(
    kind: AdapterKind,
    module: Any,
    model: Any,
    batch: Batch,
    labels: Tensor,
    loss: LossFunction,
    criterion: nn.Module,
    pairs: list[Match],
) -> Iterator[Pair]:
    """One pass forward and backward of both models on the images of a batch.

    Args:
        kind: one of `KINDS`.
        module: our `AdaptedClassifier`.
        model: their tuned model.
        batch: with images.
        labels: (B,) classes.
        loss: ours.
        criterion: theirs.
        pairs: from `matches`.
    """
    images = batch.inputs
    yield Pair(f"{kind}: features", module.tower(images), model(images, return_feature=True))
    mine, other = module(batch), model(images)
    yield Pair(f"{kind}: logits", mine, other)
    mine, other = loss(mine, labels, batch).mean(), criterion(other, labels)
    yield Pair(f"{kind}: loss", mine, other)
    (mine + other).backward()
    yield worst_gradient(kind, pairs)


def worst_gradient(kind: str, pairs: list[Match]) -> Pair:
    """The gradients that differ most, relative to the largest number."""
    found = [Pair(f"{kind}: worst gradient", *pair, GRADIENTS) for pair in _gradients(pairs)]
    return max(found, key=lambda pair: pair.differences[1])


def _gradients(pairs: list[Match]) -> Iterator[tuple[Tensor, Tensor]]:
    """Gradients of both sides in one row; a parameter without one has zeros."""
    for mine, other in pairs:
        yield _flat([_gradient(each) for each in mine]), _flat([_gradient(each) for each in other])


def _gradient(parameter: nn.Parameter) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def _flat(parts: Sequence[Tensor]) -> Tensor:
    return torch.cat([part.flatten() for part in parts])
