"""The forward pass of open_clip's ViT, with slots for trainable modules inside its blocks.

It reimplements open_clip's pass over the same parameters, because adapters need access to the
inside of the blocks, and for speed:

- Tokens form one contiguous (B * T, W) matrix. On a CPU, the backward pass of a linear layer with a
  frozen weight and a 3-D input takes a path that is several times slower.
- Frozen weights are cached in the dtype of the computation (`blocks`).
- Attention uses the kernel that is fastest on the device (`attention`).
- The last block of a tower with class-token pooling computes only that token.

B images, T tokens (class token and patches), W width, H heads, D joint space.
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
    """Trainable modules of one block; see `methods.parts.image.adapters.Slots` for their inputs."""

    attention: Any
    query: Any
    value: Any
    prompts: Any
    after_mlp: Any
    mlp: Any

    @property
    def read_normed(self) -> bool:
        """True if one of the modules reads LN1(x)."""
        ...


class _Empty:
    """The slots of a block without trainable modules."""

    attention = query = value = prompts = after_mlp = mlp = None
    read_normed = False


def supports(visual: Any) -> bool:
    """True if a tower is a ViT of plain residual blocks with class-token or average pooling."""
    return (
        are_plain(getattr(visual, "transformer", None))
        and getattr(visual, "attn_pool", None) is None
        and getattr(visual, "pool_type", "") in ("tok", "avg")
    )


def pooled(visual: Any, images: Tensor, trained: Sequence[Trained] = ()) -> Tensor:
    """(B, 3, H, W) -> (B, W) pooled output after the last layer norm, before the projection.

    Args:
        visual: a tower that this module `supports`.
        images: the computation uses autocast's dtype if enabled, otherwise that of the images.
        trained: one per block, or none at all.
    """
    x, tokens = _embed(visual, images.to(compute_type(images)))  # (B * T, W)
    blocks = visual.transformer.resblocks
    for i, block in enumerate(blocks):
        # After the last block only the class token is read, and only attention mixes tokens.
        last = visual.pool_type == "tok" and i + 1 == len(blocks)
        x = _block(block, trained[i] if trained else _Empty(), x, tokens, first_only=last)
    return _pool(visual, x.view(len(images), -1, x.shape[-1]))


def projected(visual: Any, x: Tensor) -> Tensor:
    """(B, W) pooled output -> (B, D), in full precision."""
    with torch.autocast(x.device.type, enabled=False):
        return x if visual.proj is None else x.to(visual.proj.dtype) @ visual.proj


def _embed(visual: Any, images: Tensor) -> tuple[Tensor, int]:
    """(B, 3, H, W) -> tokens with positions, (B * T, W) contiguous, and T."""
    kernel = typed(visual.conv1.weight, images.dtype)  # (W, 3, P, P), patches do not overlap
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
    # `layer.project` contains the gain and shift of LN1; the slots read LN1(x) itself.
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
    """Queries, keys and values, (B, H, T, W / H) each; with `first_only` one query per image.

    Args:
        layer: computes queries, keys and values.
        slots: trainable modules of the block.
        block: the block.
        plain: (B * T, W) standardised tokens.
        normed: (B * T, W) LN1(x), which the slots read.
        tokens: T.
        first_only: compute the query of the first token only.
    """
    width, heads = plain.shape[-1], block.attn.num_heads
    images = len(plain) // tokens

    def split(y: Tensor, images: int) -> tuple[Tensor, ...]:
        """(B * t, n * W) -> n tensors (B, H, t, W / H)."""
        y = y.view(images, len(y) // images, -1, heads, width // heads)
        return y.permute(2, 0, 3, 1, 4).unbind(0)

    if first_only:
        (q,) = split(layer[:width](plain.view(images, tokens, width)[:, 0]), images)
        k, v = split(layer[width:](plain), images)
    else:
        q, k, v = split(layer(plain), images)
    if slots.query is not None:
        read = normed.view(images, tokens, width)[:, 0] if first_only else normed
        q = q + split(slots.query(read), images)[0]
    if slots.value is not None:
        v = v + split(slots.value(normed), images)[0]
    if slots.prompts is not None:
        # The outputs of prompt tokens are not read, so only their keys and values are computed.
        prompts = standardised(slots.prompts.to(plain.dtype), block.ln_1.eps)
        prompt_k, prompt_v = split(layer[width:](prompts), 1)  # (1, H, P, W / H)
        if slots.value is not None:
            prompt_v = prompt_v + split(slots.value(_shifted(block.ln_1, prompts)), 1)[0]
        k = torch.cat([k, prompt_k.expand(images, -1, -1, -1)], 2)
        v = torch.cat([v, prompt_v.expand(images, -1, -1, -1)], 2)
    return q, k, v


def _norm(norm: nn.Module, x: Tensor) -> Tensor:
    """A layer norm computed in the dtype of its parameters, (…, W) -> (…, W)."""
    if not isinstance(norm, nn.LayerNorm):
        return x
    with torch.autocast(x.device.type, enabled=False):
        out: Tensor = norm(x.to(norm.weight.dtype))
    return out


def _shifted(norm: nn.LayerNorm, plain: Tensor) -> Tensor:
    """Standardised tokens with the gain and shift of a layer norm, (n, W) -> (n, W)."""
    gain, shift = (typed(p, plain.dtype) for p in (norm.weight, norm.bias))
    return torch.addcmul(shift, plain, gain)


def _pool(visual: Any, x: Tensor) -> Tensor:
    """(B, T, W) -> (B, W), as open_clip's VisionTransformer pools."""
    if visual.pool_type == "tok":  # the norm is per token, so one token suffices
        return _norm(visual.ln_post, x[:, 0])
    if visual.final_ln_after_pool:
        return _norm(visual.ln_post, x[:, 1:].mean(1))
    return _norm(visual.ln_post, x[:, 1:]).mean(1)
