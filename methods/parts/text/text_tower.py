"""The frozen text tower of a CLIP model, its tokens and their embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.backbones import Backbone
from benchmarks.errors import NotApplicable
from benchmarks.towers.text import is_like_clips


def text_tower(backbone: Backbone, use: str = "learns prompts") -> Any:
    """The text tower, for both of open_clip's model classes.

    Args:
        backbone: any backbone.
        use: what the tower is needed for.

    Raises:
        NotApplicable: it is not a causal tower of plain attention blocks whose output is read at
            the end-of-text token, or there is none.
    """
    backbone.require_text()
    model: Any = backbone.model
    tower = getattr(model, "text", model)
    if not is_like_clips(tower):
        raise NotApplicable(f"{use}, but the text tower of {backbone.id.name} is not like CLIP's")
    return tower


def tokenised(backbone: Backbone, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Tokens (n, L), cut after the last end of text, and the position of each end (n,)."""
    tokens = backbone.tokenizer(list(texts)).to(backbone.device)
    end = tokens.argmax(-1)
    return tokens[:, : int(end.max()) + 1], end


def words(backbone: Backbone, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Token embeddings (n, L, W) of texts, and a mask (n, L) that omits start, end and padding."""
    tokens, end = tokenised(backbone, texts)
    place = torch.arange(tokens.shape[1], device=tokens.device)
    embedded = text_tower(backbone).token_embedding(tokens).detach()
    return embedded, (place > 0) & (place < end[:, None])


def mean_direction(embeddings: Tensor, mask: Tensor) -> Tensor:
    """(n, W) mean of the unit token embeddings (n, L, W) where the mask (n, L) is True.

    The dot product of two such means is the mean cosine over all pairs of their tokens.
    """
    unit = F.normalize(embeddings, dim=-1) * mask[..., None]
    return unit.sum(1) / mask.sum(1, keepdim=True).clamp(min=1)
