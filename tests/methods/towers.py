"""Small image towers of every form, without parameters at special values."""

from __future__ import annotations

import dataclasses
from typing import Any

import open_clip
import torch
from torch import Tensor

from benchmarks.backbones import Backbone
from benchmarks.conformance.tiny import tiny_backbone

TEXT = {"context_length": 8, "vocab_size": 32, "width": 16, "heads": 2, "layers": 1}


def backbone(
    *, quick_gelu: bool = False, dtype: torch.dtype = torch.float64, **vision: Any
) -> Backbone:
    """A 3-layer CLIP without parameters that are zero or one, like a trained one."""
    settings = {
        "image_size": 32,
        "patch_size": 16,
        "width": 24,
        "layers": 3,
        "head_width": 8,
    } | vision
    torch.manual_seed(0)
    model = open_clip.CLIP(embed_dim=10, vision_cfg=settings, text_cfg=TEXT, quick_gelu=quick_gelu)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape))
    model = model.to(dtype).requires_grad_(False).eval()
    return dataclasses.replace(tiny_backbone(), model=model)


def pictures(frozen: Backbone) -> Tensor:
    visual: Any = frozen.model.visual
    return torch.randn(3, 3, *visual.image_size, dtype=visual.proj.dtype)


TOWERS = {
    "class token": {},
    "quickgelu": {"quick_gelu": True},
    "average": {"pool_type": "avg"},
    "average, norm after": {"pool_type": "avg", "final_ln_after_pool": True},
    "norm after": {"final_ln_after_pool": True},
    "no norm before": {"no_ln_pre": True},
    "layer scale": {"ls_init_value": 0.5},
    "patch dropout": {"patch_dropout": 0.5},  # for training from scratch; off in a frozen tower
    "65 tokens": {"image_size": 64, "patch_size": 8},
    "65 tokens, average, quickgelu": {
        "image_size": 64, "patch_size": 8, "pool_type": "avg", "quick_gelu": True,
    },
}  # fmt: skip
