"""The forward of CLIP's text tower without the padding behind the texts.

No token of a causal tower sees what stands behind it, and a text's feature is read at its end: what
follows the longest text of a batch changes nothing. Names in a prompt take 10 of CLIP's 77 tokens.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def ends(model: nn.Module, tokens: Tensor) -> Tensor | None:
    """(n,) the position that each text's feature is read at, for (n, T) tokens.

    None where the tower is not open_clip's causal one (SigLIP's sees all tokens, CoCa's has one of
    its own behind them), or reads its feature elsewhere.
    """
    from open_clip import CLIP

    if type(model) is not CLIP or model.attn_mask is None or model.text_pool_type != "argmax":
        return None
    return tokens.argmax(-1)


def encode(model: nn.Module, tokens: Tensor, end: Tensor) -> Tensor:
    """(n, T) tokens -> (n, D) as `model.encode_text`, for a tower that `ends` knows.

    Args:
        model: the tower.
        tokens: of texts that are best about equally long.
        end: (n,) what `ends` says of them.
    """
    length = int(end.max()) + 1
    tower: Any = model
    x = tower.token_embedding(tokens[:, :length]) + tower.positional_embedding[:length]
    x = tower.transformer(x, attn_mask=tower.attn_mask[:length, :length])
    x = tower.ln_final(x[torch.arange(len(x), device=x.device), end])
    projection = tower.text_projection
    if isinstance(projection, nn.Linear):
        x = projection(x)
    elif projection is not None:
        x = x @ projection
    return x  # type: ignore[no-any-return]
