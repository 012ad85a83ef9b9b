"""Trained parts of LIFT's towers in both codes, and their parameters in pairs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.tools.checkouts import Checkout, Settings
from benchmarks.tools.parity.worlds import CLASSES, backbone, normal, their_clip
from methods.parts.image.finetune import AdapterKind

KINDS: dict[AdapterKind, str] = {
    "adaptformer": "adaptformer",
    "adapter": "adapter",
    "lora": "lora",
    "vpt": "vpt_deep",
    "bitfit": "bias_tuning",
    "none": "",
}
"""Our kinds of trained parts, each with the setting of LIFT's code."""

FILES = ("clip/__init__.py", "clip/clip.py", "clip/model.py", "clip/simple_tokenizer.py",
         "models/__init__.py", "models/classifiers.py", "models/clip_text.py", "models/models.py",
         "models/peft_modules.py", "models/peft_rn.py", "models/peft_vit.py")  # fmt: skip
"""Files of LIFT's code that its model needs."""

Match = tuple[nn.Parameter, nn.Parameter]


def their_model(theirs: Checkout, **settings: Any) -> Any:
    """Their tuned model around the weights of `worlds.backbone`."""
    clip, models = theirs.modules("clip.model", "models.models")
    chosen = Settings(backbone="CLIP-ViT-B/16", classifier="CosineClassifier", scale=25, **settings)
    with torch.random.fork_rng():
        return models.PeftModelFromCLIP(chosen, their_clip(clip), CLASSES)


def matches(kind: str, module: Any, model: Any) -> Iterator[Match]:
    """Pairs of parameters with the same role: ours, theirs.

    Args:
        kind: one of `KINDS`.
        module: our `AdaptedClassifier`.
        model: their tuned model.
    """
    tower, tuner = module.tower, model.tuner
    yield module.head.weight, model.head.weight
    if kind == "bitfit":
        visual: Any = backbone().model.visual
        # The layers of a block have the same names, in another order.
        mine = dict(zip(_biases(visual.transformer.resblocks), tower.own, strict=True))
        names = _biases(model.image_encoder.blocks)
        yield from zip((mine[name] for name in names), tuner.bias_tuned, strict=True)
    for slots, *lists in zip(
        tower.slots, tuner.adaptformer_list, tuner.adapter_list, tuner.lora_list, tuner.vpt_list,
        strict=True,
    ):  # fmt: skip
        adaptformer, adapter, lora, vpt = lists
        if kind in ("adaptformer", "adapter"):
            own = slots.mlp if kind == "adaptformer" else slots.after_mlp
            other = adaptformer if kind == "adaptformer" else adapter
            for mine, name in ((own.norm, "ln"), (own.down, "down_proj"), (own.up, "up_proj")):
                yield mine.weight, getattr(other, name).weight
                yield mine.bias, getattr(other, name).bias
            if kind == "adaptformer":
                yield own.scale, other.scale
        elif kind == "lora":
            for mine, name in ((slots.query, "q"), (slots.value, "v")):
                yield mine.a, lora[name].lora_A
                yield mine.b, lora[name].lora_B
        elif kind == "vpt":
            yield slots.prompts, vpt.prompt


def _biases(blocks: nn.Module) -> list[str]:
    """Names of the biases of the blocks, in their order."""
    return [name for name, _ in blocks.named_parameters() if name.endswith("bias")]


@torch.no_grad()
def perturb(pairs: list[Match], strength: float = 0.02) -> None:
    """Add the same noise to both sides, since a part that starts at zero would hide the others."""
    for place, (mine, other) in enumerate(pairs):
        mine.add_(strength * normal(f"noise {place}", *mine.shape))
        other.copy_(mine.reshape(other.shape))


def gradients(pairs: list[Match]) -> Iterator[tuple[Tensor, Tensor]]:
    """Gradients of both sides; a parameter without one has zeros."""

    def of(parameter: nn.Parameter) -> Tensor:
        return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad

    for mine, other in pairs:
        yield of(mine).reshape(other.shape), of(other)
