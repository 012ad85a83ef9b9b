"""The forward pass of open_clip's ViT, with room for what is trained inside its blocks.

Own code over open_clip's parameters, because adapters need a place inside the blocks and because a
pass that is gone through a million times is worth some care: tokens are kept as one contiguous
(B * T, W) matrix (on a CPU a linear layer with a frozen weight and a 3-D input takes a several
times slower path in its backward pass), frozen weights are kept in the number type that is computed
in (`blocks`), attention goes by the kernel that is fast there (`attention`), and in the last block
of a tower with class-token pooling only that token is computed. B images, T tokens (class token and
patches), W width, H heads, D joint space.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.towers.attention import attend
from benchmarks.towers.blocks import (
    Layer,
    activation,
    are_plain,
    compute_type,
    layers,
    standardised,
    typed,
)


class Trained(Protocol):
    """What is trained in one block; `methods.parts.image.adapters.Slots` says what each reads."""

    attention: Any
    query: Any
    value: Any
    prompts: Any
    after_mlp: Any
    mlp: Any

    @property
    def read_normed(self) -> bool:
        """Whether something here reads LN1(x)."""
        ...


class _Nothing:
    """No part of a block is trained."""

    attention = query = value = prompts = after_mlp = mlp = None
    read_normed = False


def serves(visual: Any) -> bool:
    """Whether a tower is a ViT of plain residual blocks with class-token or average pooling."""
    return (
        are_plain(getattr(visual, "transformer", None))
        and getattr(visual, "attn_pool", None) is None
        and getattr(visual, "pool_type", "") in ("tok", "avg")
    )


def pooled(visual: Any, images: Tensor, trained: Sequence[Trained] = ()) -> Tensor:
    """(B, 3, H, W) -> (B, W) pooled output after the last layer norm, before the projection.

    Args:
        visual: a tower that this module `serves`.
        images: computed with in autocast's number type where it is on, else in their own.
        trained: one a block, or none.
    """
    x, tokens = _embed(visual, images.to(compute_type(images)))  # (B * T, W)
    blocks = visual.transformer.resblocks
    for i, block in enumerate(blocks):
        # Only the class token is read after the last block, and tokens meet in attention alone.
        last = visual.pool_type == "tok" and i + 1 == len(blocks)
        x = _block(block, trained[i] if trained else _Nothing(), x, tokens, first_only=last)
    return _pool(visual, x.view(len(images), -1, x.shape[-1]))


def projected(visual: Any, x: Tensor) -> Tensor:
    """(B, W) pooled output -> (B, D), in full precision."""
    with torch.autocast(x.device.type, enabled=False):
        return x if visual.proj is None else x.to(visual.proj.dtype) @ visual.proj


def _embed(visual: Any, images: Tensor) -> tuple[Tensor, int]:
    """(B, 3, H, W) -> tokens with positions, (B * T, W) contiguous, and T."""
    kernel = typed(visual.conv1.weight, images.dtype)  # (W, 3, P, P), patches lie side by side
    grid = [(side // kernel.shape[-1], kernel.shape[-1]) for side in images.shape[2:]]
    patches = images.unflatten(3, grid[1]).unflatten(2, grid[0])  # (B, 3, rows, P, columns, P)
    patches = patches.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)  # (B, T - 1, 3 * P * P)
    x = F.linear(patches, kernel.flatten(1))
    first = typed(visual.class_embedding, x.dtype).expand(len(x), 1, -1)
    x = torch.cat([first, x], dim=1) + typed(visual.positional_embedding, x.dtype)
    x = visual.patch_dropout(x)
    return _norm(visual.ln_pre, x).to(x.dtype).flatten(0, 1), x.shape[1]


def _block(block: Any, slots: Trained, x: Tensor, tokens: int, *, first_only: bool) -> Tensor:
    """One block, (B * T, W) -> (B * T, W), or (B, W) for the first token of each image."""
    layer = layers(block, x.dtype)
    plain = standardised(x, block.ln_1.eps)
    # LN1(x) itself, which `layer.project` does without
    normed = _shifted(block.ln_1, plain) if slots.read_normed else plain
    q, k, v = _projected(layer.project, slots, block, plain, normed, tokens, first_only)
    attended = layer.out(attend(q, k, v).transpose(1, 2).flatten(2).flatten(0, 1))
    if first_only:
        x, normed = (y.view(-1, tokens, y.shape[-1])[:, 0] for y in (x, normed))
        tokens = 1
    x = x + attended
    if slots.attention is not None:
        x = x + slots.attention(normed, tokens)
    plain = standardised(x, block.ln_2.eps)
    out = layer.down(activation(block.mlp.gelu, layer.up(plain)))
    if slots.after_mlp is not None:
        out = out + slots.after_mlp(out)
    x = x + out
    return x if slots.mlp is None else x + slots.mlp(plain)


def _projected(
    layer: Layer,
    slots: Trained,
    block: Any,
    plain: Tensor,
    normed: Tensor,
    tokens: int,
    first_only: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values, (B, H, T, W / H) each; with `first_only` one query an image.

    Args:
        layer: to queries, keys and values.
        slots: of the block.
        block: the block.
        plain: (B * T, W) standardised tokens.
        normed: (B * T, W) LN1(x), for what is in the slots.
        tokens: T.
        first_only: see above.
    """
    width, heads = plain.shape[-1], block.attn.num_heads
    images = len(plain) // tokens

    def split(y: Tensor, images: int) -> tuple[Tensor, ...]:
        """(B * t, n * W) -> n times (B, H, t, W / H)."""
        y = y.view(images, len(y) // images, -1, heads, width // heads)
        return y.permute(2, 0, 3, 1, 4).unbind(0)

    if first_only:
        (q,) = split(layer[:width](plain.view(images, tokens, width)[:, 0]), images)
        k, v = split(layer[width:](plain), images)
    else:
        q, k, v = split(layer(plain), images)
    if slots.query is not None:
        asking = normed.view(images, tokens, width)[:, 0] if first_only else normed
        q = q + split(slots.query(asking), images)[0]
    if slots.value is not None:
        v = v + split(slots.value(normed), images)[0]
    if slots.prompts is not None:
        # Tokens whose output nobody reads: they are keys and values alone.
        prompts = standardised(slots.prompts.to(plain.dtype), block.ln_1.eps)
        own_k, own_v = split(layer[width:](prompts), 1)  # (1, H, P, W / H)
        if slots.value is not None:
            own_v = own_v + split(slots.value(_shifted(block.ln_1, prompts)), 1)[0]
        k = torch.cat([k, own_k.expand(images, -1, -1, -1)], 2)
        v = torch.cat([v, own_v.expand(images, -1, -1, -1)], 2)
    return q, k, v


def _norm(norm: nn.Module, x: Tensor) -> Tensor:
    """A layer norm in the number type of its own parameters, (…, W) -> (…, W)."""
    if not isinstance(norm, nn.LayerNorm):
        return x
    with torch.autocast(x.device.type, enabled=False):
        out: Tensor = norm(x.to(norm.weight.dtype))
    return out


def _shifted(norm: nn.LayerNorm, plain: Tensor) -> Tensor:
    """Gain and shift of a layer norm on standardised tokens, (n, W) -> (n, W)."""
    gain, shift = (typed(p, plain.dtype) for p in (norm.weight, norm.bias))
    return torch.addcmul(shift, plain, gain)


def _pool(visual: Any, x: Tensor) -> Tensor:
    """(B, T, W) -> (B, W), as open_clip's VisionTransformer pools."""
    if visual.pool_type == "tok":  # the norm is per token: only the one that is kept needs it
        return _norm(visual.ln_post, x[:, 0])
    if visual.final_ln_after_pool:
        return _norm(visual.ln_post, x[:, 1:].mean(1))
    return _norm(visual.ln_post, x[:, 1:]).mean(1)
