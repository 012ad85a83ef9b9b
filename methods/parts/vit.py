"""The forward pass of open_clip's ViT with room for adapters.

Own code over open_clip's modules, because adapters need a place inside the blocks. Tokens are kept
as one contiguous (B * T, W) matrix for the linear layers: on a CPU a linear layer with a frozen
weight and a 3-D input takes a several times slower path in its backward pass. B images, T tokens
(class token and patches), W width, D joint space.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.backbones import Backbone
from benchmarks.errors import NotApplicable
from methods.base import Batch

SHORT = 64
"""Up to this many tokens, plain matrix products beat the fused attention's backward."""


class AdaptedViT(nn.Module):
    """A frozen ViT with one adapter beside the MLP of each block: x + MLP(LN(x)) + adapter(x).

    Only the adapters are parameters of this module; the frozen tower stays outside of its state.

    Args:
        backbone: whose visual tower to run.
        adapters: one module a block, (n, W) -> (n, W); none at all runs the tower as it is.

    Raises:
        NotApplicable: the tower is no ViT of plain blocks.
    """

    def __init__(self, backbone: Backbone, adapters: Sequence[nn.Module] = ()) -> None:
        super().__init__()
        visual = vit(backbone)
        if adapters and len(adapters) != len(visual.transformer.resblocks):
            raise ValueError("one adapter a block is needed")
        self.adapters = nn.ModuleList(adapters)
        self._frozen = [visual]  # in a list, so that it is neither moved, saved nor trained

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, W) pooled output after the last layer norm, before the projection."""
        visual = self._frozen[0]
        x, tokens = _embed(visual, images)  # (B * T, W)
        blocks = visual.transformer.resblocks
        for i, block in enumerate(blocks):
            # Only the class token is read after the last block, and tokens meet in attention alone.
            last = visual.pool_type == "tok" and i + 1 == len(blocks)
            attended = _attention(block.attn, block.ln_1(x), tokens, first_only=last)
            if last:
                x, tokens = x.view(-1, tokens, x.shape[-1])[:, 0], 1
            x = x + block.ls_1(attended)
            out = x + block.ls_2(block.mlp(block.ln_2(x)))
            x = out + self.adapters[i](x) if len(self.adapters) else out
        return _pool(visual, x.view(-1, tokens, x.shape[-1]))


def vit(backbone: Backbone) -> Any:
    """The backbone's visual tower.

    Raises:
        NotApplicable: it is no ViT of plain residual attention blocks with class-token or average
            pooling.
    """
    visual: Any = backbone.model.visual
    blocks = getattr(getattr(visual, "transformer", None), "resblocks", None)
    plain = (
        blocks is not None
        and all(isinstance(getattr(b, "attn", None), nn.MultiheadAttention) for b in blocks)
        and getattr(visual, "attn_pool", None) is None
        and getattr(visual, "pool_type", "") in ("tok", "avg")
    )
    if not plain:
        raise NotApplicable(
            f"needs the blocks of a ViT, and the image tower of {backbone.id.name} has none"
        )
    return visual


def project_to_width(visual: Any, features: Tensor) -> Tensor:
    """(n, D) joint features -> (n, W), L2-normalised: norm(norm(t) @ proj^T), as LIFT."""
    unit = F.normalize(features, dim=-1)
    return unit if visual.proj is None else F.normalize(unit @ visual.proj.T.float(), dim=-1)


def _embed(visual: Any, images: Tensor) -> tuple[Tensor, int]:
    """(B, 3, H, W) -> tokens with positions, (B * T, W) contiguous, and T."""
    patches = visual.conv1(images).flatten(2).transpose(1, 2)  # (B, T - 1, W)
    first = visual.class_embedding.to(patches.dtype).expand(len(patches), 1, -1)
    x = torch.cat([first, patches], dim=1) + visual.positional_embedding.to(patches.dtype)
    x = visual.ln_pre(visual.patch_dropout(x))
    return x.reshape(-1, x.shape[-1]), x.shape[1]


def _attention(
    attn: nn.MultiheadAttention, x: Tensor, tokens: int, *, first_only: bool = False
) -> Tensor:
    """Self-attention within each image, (B * T, W) -> (B * T, W), or (B, W) for the first token."""
    width, heads = x.shape[-1], attn.num_heads
    weight, bias = attn.in_proj_weight, attn.in_proj_bias

    def project(x: Tensor, part: slice) -> tuple[Tensor, ...]:
        """(B * t, W) -> (B, heads, t, W / heads) for each W rows of the projection in `part`."""
        y = F.linear(x, weight[part], bias[part])
        y = y.view(images, len(x) // images, -1, heads, width // heads)
        return y.permute(2, 0, 3, 1, 4).unbind(0)

    images = len(x) // tokens
    if first_only:
        (q,) = project(x.view(images, tokens, width)[:, 0], slice(0, width))
        k, v = project(x, slice(width, None))
    else:
        q, k, v = project(x, slice(None))
    if tokens <= SHORT:
        weights = (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(-1)  # (B, heads, t, T)
        mixed = weights.to(v.dtype) @ v
    else:
        mixed = F.scaled_dot_product_attention(q, k, v)
    out: Tensor = attn.out_proj(mixed.transpose(1, 2).reshape(-1, width))
    return out


def _pool(visual: Any, x: Tensor) -> Tensor:
    """(B, T, W) -> (B, W), as open_clip's VisionTransformer pools."""
    if visual.pool_type == "tok":  # the norm is per token: only the one that is kept needs it
        pooled: Tensor = visual.ln_post(x[:, 0])
    elif visual.final_ln_after_pool:
        pooled = visual.ln_post(x[:, 1:].mean(1))
    else:
        pooled = visual.ln_post(x[:, 1:]).mean(1)
    return pooled


class AdaptedClassifier(nn.Module):
    """A ViT with adapters and a head on its pooled output."""

    def __init__(self, tower: AdaptedViT, head: nn.Module) -> None:
        super().__init__()
        self.tower = tower
        self.head = head

    def forward(self, batch: Batch) -> Tensor:
        """B images -> (B, C)."""
        x = self.tower(batch.inputs)
        # The head in full precision: rounded cosines tie, and argmax gives ties to the first class.
        with torch.autocast(x.device.type, enabled=False):
            logits: Tensor = self.head(x.float())
        return logits
