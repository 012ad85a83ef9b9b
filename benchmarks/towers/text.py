"""The forward pass of CLIP's text tower without the padding after the texts.

A token of a causal tower does not see later tokens, and a text's feature is read at its end token.
Tokens after the end of the longest text in a batch therefore change nothing. A prompt with a name
takes about 10 of CLIP's 77 tokens. As in `image`, linear layers run on one (n * T, W) matrix, with
folded weights in the dtype of the computation; the tokens keep the tower's dtype. n texts, T
tokens, W width, D joint space.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.towers.blocks import (
    activation,
    are_plain,
    compute_type,
    layers,
    shifted,
    standardised,
)


class Trained(Protocol):
    """Trainable modules of one block; see `methods.parts.image.adapters.Slots` for their inputs."""

    query: Any
    key: Any
    value: Any


def is_like_clips(tower: Any) -> bool:
    """True if a text tower is causal, of plain blocks, and read at the end-of-text token."""
    pool = getattr(tower, "text_pool_type", getattr(tower, "pool_type", ""))
    return (
        pool == "argmax"
        and getattr(tower, "cls_emb", None) is None  # CoCa's: read at a token of its own
        and getattr(tower, "attn_mask", None) is not None
        and are_plain(getattr(tower, "transformer", None))
    )


def ends(model: nn.Module, tokens: Tensor) -> Tensor | None:
    """(n,) position at which the feature of each text is read, for (n, T) tokens.

    None if the tower is not open_clip's causal one (SigLIP's sees all tokens, CoCa's appends a
    token), has other blocks, or reads the feature elsewhere.
    """
    from open_clip import CLIP

    if type(model) is not CLIP or model.attn_mask is None or model.text_pool_type != "argmax":
        return None
    if not are_plain(model.transformer):
        return None
    return tokens.argmax(-1)


def encode(
    model: nn.Module,
    tokens: Tensor,
    end: Tensor,
    trained: Sequence[Trained] = (),
    length: int | None = None,
) -> Tensor:
    """(n, T) tokens -> (n, D) as `model.encode_text`, for a tower that `ends` supports.

    Args:
        model: the tower.
        tokens: texts of similar length are fastest.
        end: (n,) result of `ends`.
        trained: one per block, with all three modules, or none at all.
        length: tokens to read of each text; None: up to the last end, for which the host waits.
    """
    length = int(end.max()) + 1 if length is None else length
    tower: Any = model
    x = tower.token_embedding(tokens[:, :length]) + tower.positional_embedding[:length]
    x = x.flatten(0, 1)  # (n * T, W)
    dtype = compute_type(x)
    blocks = tower.transformer.resblocks
    for i, block in enumerate(blocks):
        layer = layers(block, dtype)
        plain = standardised(x, block.ln_1.eps).to(dtype)
        projected = layer.project(plain)
        if trained:
            slots, normed = trained[i], shifted(block.ln_1, plain)
            parts = [part(normed) for part in (slots.query, slots.key, slots.value)]
            projected = projected + torch.cat(parts, dim=1)
        q, k, v = projected.view(len(tokens), length, 3, block.attn.num_heads, -1).permute(
            2, 0, 3, 1, 4
        )  # (n, H, T, W / H) each
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        attended = attended.transpose(1, 2).flatten(2).flatten(0, 1)
        if i + 1 == len(blocks):  # only the end tokens are read
            read = length * torch.arange(len(end), device=end.device) + end
            x, attended = x[read], attended[read]
        x = x + layer.out(attended)
        hidden = layer.up(standardised(x, block.ln_2.eps).to(dtype))
        x = x + layer.down(activation(block.mlp.gelu, hidden))
    return read_out(tower, x)


def read_out(tower: Any, x: Tensor) -> Tensor:
    """Outputs of the last block at the end tokens (n, W) -> (n, D), in full precision."""
    with torch.autocast(x.device.type, enabled=False):
        out: Tensor = tower.ln_final(x)
        projection = tower.text_projection
        if isinstance(projection, nn.Linear):
            out = projection(out)
        elif projection is not None:
            out = out @ projection
    return out
