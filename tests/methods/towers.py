"""Small image towers of every form, without parameters at special values."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import open_clip
import timm
import torch
from timm.layers import HybridEmbed
from timm.models import register_model
from timm.models.vision_transformer_hybrid import ConvStem
from torch import Tensor, nn

from benchmarks.backbones import Backbone
from benchmarks.conformance.tiny import tiny_backbone

TEXT = {"context_length": 8, "vocab_size": 32, "width": 16, "heads": 2, "layers": 1}


def backbone(
    *,
    quick_gelu: bool = False,
    dtype: torch.dtype = torch.float64,
    embed_dim: int = 10,
    **vision: Any,
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
    model = open_clip.CLIP(embed_dim, settings, TEXT, quick_gelu=quick_gelu)  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape))
        for name, buffer in model.named_buffers():
            if "running" in name:  # statistics of a batch norm
                buffer.add_(0.2 * torch.rand(buffer.shape))
    model = model.to(dtype).requires_grad_(False).eval()
    return dataclasses.replace(tiny_backbone(), model=model)


def pictures(frozen: Backbone) -> Tensor:
    visual: Any = frozen.model.visual
    size = visual.image_size  # a ResNet's is a number
    height, width = (size, size) if isinstance(size, int) else size
    return torch.randn(3, 3, height, width, dtype=next(visual.parameters()).dtype)


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


def small(name: str, **changes: Any) -> str:
    """Register a small model of the class and the form of a timm model; return its name."""
    usual = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 3, "num_heads": 3}

    def entry(pretrained: bool = False, **settings: Any) -> Any:
        return timm.create_model(name, pretrained=pretrained, **(usual | changes | settings))

    entry.__name__ = "_".join(["small", name, *changes])
    register_model(entry)
    return entry.__name__


def in_timm(name: str, pool: str, proj: str | None = None, **changes: Any) -> dict[str, Any]:
    """Arguments of `backbone`: a small model in the place of the timm model `name`."""
    return {
        "timm_model_name": small(name, **changes), "timm_pool": pool, "timm_proj": proj,
        "embed_dim": 24 if proj == "none" else 10,
    }  # fmt: skip


@register_model
def small_hybrid(pretrained: bool = False, **settings: Any) -> Any:
    """A small form of timm's vit_base_mci_224: a stem of convolutions before plain blocks."""
    sizes = {"channels": (6, 6, 24), "stride": (4, 2, 2), "kernel_size": (4, 2, 2)}
    stem = ConvStem(**sizes, padding=0, act_layer=nn.GELU)
    embed = partial(HybridEmbed, backbone=stem, proj=False)
    return timm.create_model(
        "vit_base_patch16_224", pretrained=pretrained, img_size=64, patch_size=1, embed_dim=24,
        depth=3, num_heads=3, no_embed_class=True, embed_layer=embed,
        num_classes=settings["num_classes"], global_pool=settings["global_pool"],
    )  # fmt: skip


TIMM = {
    "siglip": in_timm("vit_base_patch16_siglip_224", "map", "none"),
    "siglip 2 giant": in_timm("vit_giantopt_patch16_siglip_256", "map", "none"),
    "pe-core": in_timm("vit_pe_core_base_patch16_224", "map", attn_pool_num_heads=2),
    "eva01": in_timm("eva_giant_patch14_224", "token"),
    "eva02": in_timm("eva02_base_patch16_clip_224", "token", num_heads=2),
    "eva02 enormous": in_timm("eva02_enormous_patch14_clip_224", "token"),
    "mobileclip-b": {
        "timm_model_name": "small_hybrid", "timm_pool": "token", "timm_proj": None,
        "image_size": 64,
    },
    "mobileclip2-l": in_timm("vit_large_patch14_clip_224", "token"),
    "class token, attention of patches": in_timm("vit_base_patch16_224", "map", "none"),
    "dinov2": in_timm("vit_small_patch14_reg4_dinov2", "token", "none", num_heads=2),
    "dinov3": in_timm("vit_small_patch16_dinov3", "avg", "none"),
    "linear after average": in_timm("vit_base_patch32_siglip_gap_256", "avg", "linear"),
}  # fmt: skip
"""Small towers of timm inside open_clip."""
COCA = {
    "coca": {"attentional_pool": True, "attn_pooler_heads": 2},
    "coca, one width": {
        "attentional_pool": True, "attn_pooler_heads": 2, "width": 10, "head_width": 5,
    },
    "coca, average": {"attentional_pool": True, "attn_pooler_heads": 2, "pool_type": "avg"},
}  # fmt: skip
"""Small towers of open_clip with attentional pooling."""
