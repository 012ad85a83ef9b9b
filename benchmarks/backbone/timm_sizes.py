"""Sizes of timm's image encoders, and the operations of a pass, from models without weights."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any


@dataclass(frozen=True)
class Sizes:
    """Sizes of a model."""

    operations: float
    """Floating-point operations of a forward pass of one image."""
    dim: int
    """Length of the image feature."""
    layers: int
    """Blocks of a ViT; 0 for any other model, as are width and tokens."""
    width: int
    tokens: int


@cache
def sizes_of(model: str, side: int | None = None) -> Sizes | None:
    """Return the sizes of a model of timm, which is built without memory for its weights.

    Imports torch and timm, which takes seconds.

    Args:
        model: name in timm, with the tag of weights or without; nothing is downloaded.
        side: of the input in pixels; None for that of the weights.

    Returns:
        None if timm cannot build the model, or the model cannot take such images: whoever loads it
        says why.
    """
    import timm
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    try:
        with torch.device("meta"):
            trunk: Any = timm.create_model(model).eval().requires_grad_(False)
            trunk.reset_classifier(0)
            if side is not None and hasattr(trunk, "set_input_size"):
                trunk.set_input_size((side, side))
            shape = trunk.pretrained_cfg["input_size"]
            images = torch.empty(1, shape[0], side or shape[1], side or shape[2])
            with FlopCounterMode(display=False) as counter:
                (features,) = trunk(images)
    except Exception:  # of any type
        return None
    layers = width = tokens = 0
    if {"embed_dim", "blocks", "patch_embed"} <= {*vars(trunk), *trunk._modules}:
        patches = getattr(trunk.patch_embed, "num_patches", 0)
        if isinstance(trunk.embed_dim, int) and patches:
            layers, width = len(trunk.blocks), trunk.embed_dim
            tokens = patches + getattr(trunk, "num_prefix_tokens", 0)
    return Sizes(float(counter.get_total_flops()), features.numel(), layers, width, tokens)
