"""Learned prompts: context vectors before the class name, run through the frozen text tower.

C classes, M context vectors, W width of the text tower, L tokens, D joint space.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.backbones import Backbone
from benchmarks.errors import NotApplicable
from methods.base import Task


class PromptLearner(nn.Module):
    """[start][v_1 … v_M][class name][end] (Zhou et al. 2022, arXiv 2109.01134).

    Args:
        task: class names, backbone, randomness.
        contexts: M.
        class_specific: own context vectors for every class, else shared ones.
        std: standard deviation of the initial context.

    Raises:
        NotApplicable: the text tower does not read its output at the end-of-text token, or the
            longest class name leaves too little room.
    """

    def __init__(
        self, task: Task, contexts: int, *, class_specific: bool, std: float = 0.02
    ) -> None:
        super().__init__()
        tower = text_tower(task.backbone)
        task.note_unknown_words(task.texts.class_names)
        width = tower.token_embedding.weight.shape[1]
        if class_specific:
            start = task.normal_per_class("context", contexts, width)
        else:
            start = torch.randn(1, contexts, width, generator=task.generator("context"))
        self.context = nn.Parameter(std * start.to(task.device))  # (C or 1, M, W)
        names = task.backbone.tokenizer(list(task.texts.class_names)).to(task.device)
        names = names[:, : int(names.argmax(-1).max()) + 1]  # cut after the last end of text
        room = tower.positional_embedding.shape[0] - contexts
        if names.shape[1] > room:
            raise NotApplicable(
                f"class names take {names.shape[1]} tokens, {contexts} contexts leave {room}"
            )
        self._embedded = tower.token_embedding(names).detach()  # (C, L - M, W)
        self._end = names.argmax(-1) + contexts  # (C,)
        self._tower = [tower]

    def embeddings(self) -> Tensor:
        """(C, L, W) input embeddings of the prompts."""
        context = self.context.expand(len(self._embedded), -1, -1)
        return torch.cat([self._embedded[:, :1], context, self._embedded[:, 1:]], dim=1)

    def words(self) -> tuple[Tensor, Tensor]:
        """Embeddings (C, L, W) and a mask (C, L) that leaves out start, end and padding."""
        x = self.embeddings()
        place = torch.arange(x.shape[1], device=x.device)
        return x, (place > 0) & (place < self._end[:, None])

    def forward(self) -> Tensor:
        """(C, D) L2-normalised text features of the learned prompts."""
        tower, x = self._tower[0], self.embeddings()
        length = x.shape[1]
        x = x + tower.positional_embedding[:length]
        # The tower is causal: what follows the end of the longest prompt cannot matter.
        x = tower.transformer(x, attn_mask=tower.attn_mask[:length, :length])
        x = tower.ln_final(x)[torch.arange(len(x), device=x.device), self._end]  # (C, W)
        projection = tower.text_projection
        if isinstance(projection, nn.Linear):
            x = projection(x)
        elif projection is not None:
            x = x @ projection
        return F.normalize(x.float(), dim=-1)


def text_tower(backbone: Backbone) -> Any:
    """The text tower, whichever of open_clip's two classes holds it.

    Raises:
        NotApplicable: it is not a causal tower read at the end-of-text token.
    """
    model: Any = backbone.model
    tower = getattr(model, "text", model)
    pool = getattr(model, "text_pool_type", getattr(tower, "pool_type", ""))
    if getattr(tower, "cls_emb", None) is not None:  # CoCa's: read at a token of its own
        pool = "last"
    if pool != "argmax" or getattr(tower, "attn_mask", None) is None:
        raise NotApplicable(
            f"learns prompts, and the text tower of {backbone.id.name} is not CLIP's kind"
        )
    return tower


def text_words(task: Task, texts: list[str]) -> tuple[Tensor, Tensor]:
    """Token embeddings (n, L, W) of texts and a mask (n, L) without start, end and padding."""
    tower = text_tower(task.backbone)
    tokens = task.backbone.tokenizer(texts).to(task.device)
    end = tokens.argmax(-1)
    tokens = tokens[:, : int(end.max()) + 1]
    place = torch.arange(tokens.shape[1], device=task.device)
    return tower.token_embedding(tokens).detach(), (place > 0) & (place < end[:, None])
