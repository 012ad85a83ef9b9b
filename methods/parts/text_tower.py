"""The frozen text tower of a CLIP model, run on embeddings instead of tokens.

Own code over open_clip's modules, because a tower that many prompts run through at every training
step is worth some care: leading tokens that all prompts share are computed once (the tower is
causal), the last block runs for the one token that is read, and tokens are kept as one contiguous
matrix (with a frozen weight, a linear layer's backward is several times slower on a 3-D input).

C prompts, L tokens, S of them shared, T = L - S, W width, H heads, D joint space.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.backbones import Backbone
from benchmarks.errors import NotApplicable


def text_tower(backbone: Backbone) -> Any:
    """The text tower, whichever of open_clip's two classes holds it.

    Raises:
        NotApplicable: it is not a causal tower of plain attention blocks that is read at the
            end-of-text token.
    """
    model: Any = backbone.model
    tower = getattr(model, "text", model)
    pool = getattr(model, "text_pool_type", getattr(tower, "pool_type", ""))
    if getattr(tower, "cls_emb", None) is not None:  # CoCa's: read at a token of its own
        pool = "last"
    blocks = getattr(getattr(tower, "transformer", None), "resblocks", ())
    plain = all(isinstance(getattr(b, "attn", None), nn.MultiheadAttention) for b in blocks)
    if pool != "argmax" or getattr(tower, "attn_mask", None) is None or not plain:
        raise NotApplicable(
            f"learns prompts, and the text tower of {backbone.id.name} is not CLIP's kind"
        )
    return tower


def tokenised(backbone: Backbone, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Tokens (n, L), cut after the last end of text, and the place of each end (n,)."""
    tokens = backbone.tokenizer(list(texts)).to(backbone.device)
    end = tokens.argmax(-1)
    return tokens[:, : int(end.max()) + 1], end


def words(backbone: Backbone, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Token embeddings (n, L, W) of texts and a mask (n, L) without start, end and padding."""
    tokens, end = tokenised(backbone, texts)
    place = torch.arange(tokens.shape[1], device=tokens.device)
    embedded = text_tower(backbone).token_embedding(tokens).detach()
    return embedded, (place > 0) & (place < end[:, None])


def encode(tower: Any, x: Tensor, end: Tensor, shared: int = 0) -> Tensor:
    """L2-normalised text features of embedded prompts.

    Args:
        tower: as from `text_tower`.
        x: (C, L, W) token embeddings without positions; nothing behind the ends is read.
        end: (C,) place of each prompt's end-of-text token, at `shared` or later.
        shared: S, leading tokens that are the same in every prompt.

    Returns:
        (C, D).
    """
    x = x + tower.positional_embedding[: x.shape[1]]
    classes, length = len(x), x.shape[1] - shared
    rows = torch.cat([x[0, :shared], x[:, shared:].flatten(0, 1)])  # (S + C * T, W)
    place = torch.arange(length, device=x.device)
    causal = place <= place[:, None]  # (T, T)
    until_end = place <= (end - shared)[:, None, None]  # (C, 1, T)
    read = shared + torch.arange(classes, device=x.device) * length + end - shared  # (C,)
    blocks = tower.transformer.resblocks
    for i, block in enumerate(blocks):
        last = i + 1 == len(blocks)
        attn = block.attn
        qkv = F.linear(block.ln_1(rows), attn.in_proj_weight, attn.in_proj_bias)
        q, k, v = qkv.unflatten(-1, (3, attn.num_heads, -1)).unbind(1)  # (S + C * T, H, W / H)
        if last:  # only the ends are read: nothing else needs an output
            rows, q = rows[read], q[read]
            attended = _own(q, k, v, shared, until_end)
        else:
            attended = torch.cat(
                [
                    _shared(q[:shared], k[:shared], v[:shared]),
                    _own(q[shared:], k, v, shared, causal),
                ]
            )
        rows = rows + block.ls_1(attn.out_proj(attended))
        rows = rows + block.ls_2(block.mlp(block.ln_2(rows)))
    out = tower.ln_final(rows)  # (C, W)
    projection = tower.text_projection
    if isinstance(projection, nn.Linear):
        out = projection(out)
    elif projection is not None:
        out = out @ projection
    return F.normalize(out.float(), dim=-1)


def _shared(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal attention among the shared tokens, (S, H, W / H) each -> (S, W)."""
    q, k, v = (a.transpose(0, 1)[None] for a in (q, k, v))  # (1, H, S, W / H)
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)[0].transpose(0, 1).flatten(1)


def _own(q: Tensor, k: Tensor, v: Tensor, shared: int, allowed: Tensor) -> Tensor:
    """Attention of the prompts' own tokens to the shared ones and to those of the same prompt.

    Args:
        q: (C * Q, H, W / H) queries, Q a prompt.
        k: (S + C * T, H, W / H) keys, the shared ones first.
        v: values, likewise.
        shared: S.
        allowed: (Q, T) or (C, Q, T), which of its own tokens a query attends to.

    Returns:
        (C * Q, W).
    """
    queries, own = allowed.shape[-2:]
    heads = (-1, own, *k.shape[1:])
    k_own, v_own = (a[shared:].view(heads).transpose(1, 2) for a in (k, v))  # (C, H, T, W / H)
    q = q.view(-1, queries, *q.shape[1:]).transpose(1, 2) * q.shape[-1] ** -0.5  # (C, H, Q, W / H)
    to_own = (q @ k_own.transpose(-1, -2)).transpose(0, 1)  # (H, C, Q, T)
    to_own = to_own.masked_fill(~allowed, float("-inf"))
    q = q.transpose(0, 1).flatten(1, 2)  # (H, C * Q, W / H): one product for all prompts
    to_shared = (q @ k[:shared].permute(1, 2, 0)).unflatten(1, to_own.shape[1:3])  # (H, C, Q, S)
    weights = torch.cat([to_shared, to_own], dim=-1).softmax(-1)
    from_shared = weights[..., :shared].flatten(1, 2) @ v[:shared].transpose(0, 1)
    from_own = weights[..., shared:].transpose(0, 1) @ v_own  # (C, H, Q, W / H)
    out = from_shared.transpose(0, 1) + from_own.transpose(1, 2).flatten(0, 1)
    return out.flatten(1)
