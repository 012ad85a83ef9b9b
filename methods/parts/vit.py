"""The forward pass of open_clip's ViT with room for adapters.

Own code over open_clip's modules, because adapters need a place inside the blocks. Tokens are kept
as one contiguous (B * T, W) matrix for the linear layers: on a CPU a linear layer with a frozen
weight and a 3-D input takes a several times slower path in its backward pass. B images, T tokens
(class token and patches), W width, D joint space.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.backbones import Backbone
from benchmarks.errors import NotApplicable
from methods.base import Batch
from methods.parts.adapters import Slots

SHORT = 64
"""Up to this many tokens, plain matrix products beat the fused attention's backward."""


class AdaptedViT(nn.Module):
    """A ViT with trained parts in its blocks.

    Parameters of this module are those in the slots and those of the tower that require a
    gradient: none of a backbone's own, which stays outside of the state.

    Args:
        visual: a tower as from `vit` or `with_own`.
        slots: one a block; none at all runs the tower as it is.
    """

    def __init__(self, visual: Any, slots: Sequence[Slots] = ()) -> None:
        super().__init__()
        blocks = visual.transformer.resblocks
        if slots and len(slots) != len(blocks):
            raise ValueError("one Slots a block is needed")
        self.slots = nn.ModuleList(slots or [Slots() for _ in blocks])
        self.own = nn.ParameterList(p for p in visual.parameters() if p.requires_grad)
        self._tower = [visual]  # in a list, so that what is frozen is neither moved nor saved

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, W) pooled output after the last layer norm, before the projection."""
        visual = self._tower[0]
        x, tokens = _embed(visual, images)  # (B * T, W)
        blocks = visual.transformer.resblocks
        every = cast(Iterable[Slots], self.slots)
        for i, (block, slots) in enumerate(zip(blocks, every, strict=True)):
            # Only the class token is read after the last block, and tokens meet in attention alone.
            last = visual.pool_type == "tok" and i + 1 == len(blocks)
            normed = block.ln_1(x)
            prompts = None if slots.prompts is None else block.ln_1(slots.prompts)
            attended = _attention(block.attn, normed, tokens, slots, prompts, first_only=last)
            if last:
                x, normed = (y.view(-1, tokens, y.shape[-1])[:, 0] for y in (x, normed))
                tokens = 1
            x = x + block.ls_1(attended)
            if slots.attention is not None:
                x = x + slots.attention(normed, tokens)
            out = block.ls_2(block.mlp(block.ln_2(x)))
            if slots.after_mlp is not None:
                out = out + slots.after_mlp(out)
            out = x + out
            x = out if slots.mlp is None else out + slots.mlp(x)
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


def with_own(visual: Any, own: Callable[[str], bool]) -> Any:
    """A copy of a tower in which some parameters are its own and trained, the rest shared.

    Args:
        visual: a tower as from `vit`; it is not changed.
        own: whether the parameter of a name is copied.
    """
    tensors = [*visual.named_parameters(), *visual.named_buffers()]
    shared = {id(tensor): tensor for name, tensor in tensors if not own(name)}
    copied = copy.deepcopy(visual, shared)
    for name, parameter in copied.named_parameters():
        if own(name):
            parameter.requires_grad_()
    return copied


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
    attn: nn.MultiheadAttention,
    x: Tensor,
    tokens: int,
    slots: Slots,
    prompts: Tensor | None,
    *,
    first_only: bool,
) -> Tensor:
    """Self-attention within each image, (B * T, W) -> (B * T, W), or (B, W) for the first token.

    Prompts (P, W) are tokens whose output nobody reads: they are keys and values alone.
    """
    width, heads = x.shape[-1], attn.num_heads
    weight, bias = attn.in_proj_weight, attn.in_proj_bias

    def split(y: Tensor, images: int) -> tuple[Tensor, ...]:
        """(B * t, n * W) -> n times (B, heads, t, W / heads)."""
        y = y.view(images, len(y) // images, -1, heads, width // heads)
        return y.permute(2, 0, 3, 1, 4).unbind(0)

    def project(x: Tensor, part: slice, images: int) -> tuple[Tensor, ...]:
        return split(F.linear(x, weight[part], bias[part]), images)

    images = len(x) // tokens
    asking = x.view(images, tokens, width)[:, 0] if first_only else x
    if first_only:
        (q,) = project(asking, slice(0, width), images)
        k, v = project(x, slice(width, None), images)
    else:
        q, k, v = project(x, slice(None), images)
    if slots.query is not None:
        q = q + split(slots.query(asking), images)[0]
    if slots.value is not None:
        v = v + split(slots.value(x), images)[0]
    if prompts is not None:
        own_k, own_v = project(prompts, slice(width, None), 1)  # (1, heads, P, W / heads)
        if slots.value is not None:
            own_v = own_v + split(slots.value(prompts), 1)[0]
        k = torch.cat([k, own_k.expand(images, -1, -1, -1)], 2)
        v = torch.cat([v, own_v.expand(images, -1, -1, -1)], 2)
    if k.shape[2] <= SHORT:
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
