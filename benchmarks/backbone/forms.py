"""Parts of open_clip's architectures that methods need, found without weights.

A tower of one block is built from the architecture's configuration, on torch's meta device, which
holds no numbers, and the readers of the towers judge it. All 196 pretrained pairs take a few
seconds.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import torch
from torch import nn

from benchmarks.backbone import open_clip_tables
from benchmarks.towers import image, text, timm_vit

Part = Literal["blocks", "prompts"]
"""blocks: plain blocks of the image tower, in which adapters have their places; prompts: a text
tower like CLIP's, whose input tokens can be learned."""
PARTS: tuple[Part, ...] = ("blocks", "prompts")

FAMILIES = (
    ("SigLIP", "siglip"),
    ("PE-Core", "pe-core"),
    ("EVA", "eva"),
    ("CoCa", "coca"),
    ("MobileCLIP-B, 2-L", "mobileclip-b", "mobileclip2-b", "mobileclip2-l"),
    ("MobileCLIP-S", "mobileclip"),
    ("ViTamin", "vitamin"),
    ("ConvNeXt", "convnext"),
    ("ResNet", "rn"),
)
"""Families of image towers, with parts of the names of their architectures; the first one counts.
All others are CLIP's ViTs."""
VIT = "ViT"


@dataclass(frozen=True)
class Form:
    """An architecture of open_clip and what it has."""

    arch: str
    family: str
    tags: tuple[str, ...]
    """Tags of its pretrained weights."""
    parts: frozenset[Part]

    @property
    def names(self) -> list[str]:
        """ARCH/TAG of its pretrained weights."""
        return [f"{self.arch}/{tag}" for tag in self.tags]


def pretrained() -> list[Form]:
    """All architectures that have pretrained weights, by family and name."""
    archs = dict.fromkeys(arch for arch, _ in open_clip_tables.all_pretrained())
    order = [VIT, *(family for family, *_ in FAMILIES)]
    return sorted(map(form, archs), key=lambda found: (order.index(found.family), found.arch))


@cache
def form(arch: str) -> Form:
    """The form of a known architecture."""
    config = open_clip_tables.config(arch)
    dim = int(config["embed_dim"])
    vision, texts = (config[f"{tower}_cfg"] | {"layers": 1} for tower in ("vision", "text"))
    if name := vision.get("timm_model_name"):
        blocks = _timm_has_blocks(
            name, dim, vision.get("timm_pool", "avg"), vision.get("timm_proj", "linear")
        )
    else:  # a ResNet has a list of layers
        plain = isinstance(config["vision_cfg"].get("layers", 12), int)
        blocks = plain and _has_blocks(dim, json.dumps(vision))
    has: dict[Part, bool] = {"blocks": blocks, "prompts": _has_prompts(dim, json.dumps(texts))}
    parts = frozenset(part for part in PARTS if has[part])
    return Form(arch, family(arch), tuple(open_clip_tables.tags(arch)), parts)


def family(arch: str) -> str:
    """The family of an architecture's image tower, by its name."""
    for name, *known in FAMILIES:
        lower = arch.lower()
        if any(lower.startswith(part) or f"-{part}" in lower for part in known):
            return name
    return VIT


@cache
def _has_blocks(embed_dim: int, vision: str) -> bool:
    """True if the image tower with this configuration is a ViT of plain blocks."""
    from open_clip.model import _build_vision_tower

    with torch.device("meta"):
        return image.supports(_build_vision_tower(embed_dim, json.loads(vision)))


@cache
def _timm_has_blocks(name: str, embed_dim: int, pool: str, proj: str | None) -> bool:
    """The same for a tower of timm, as open_clip's `TimmModel` builds it."""
    import timm

    head: OrderedDict[str, nn.Module] = OrderedDict()
    if proj in ("linear", "mlp"):
        head["proj" if proj == "linear" else "mlp"] = nn.Identity()
    arguments: dict[str, Any] = {"global_pool": pool} if pool else {}
    try:
        with torch.device("meta"):
            trunk = timm.create_model(
                name, num_classes=0 if proj else embed_dim, depth=1, **arguments
            )
    except TypeError:  # a tower without a depth: stages of convolutions
        return False
    return timm_vit.supports_parts(trunk, nn.Sequential(head))


@cache
def _has_prompts(embed_dim: int, texts: str) -> bool:
    """True if the text tower with this configuration is like CLIP's."""
    config = json.loads(texts)
    if "hf_model_name" in config:
        return False
    from open_clip.model import _build_text_tower

    with torch.device("meta"):
        return text.is_like_clips(_build_text_tower(embed_dim, config))
