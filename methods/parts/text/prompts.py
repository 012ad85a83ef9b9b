"""Learned prompts: context vectors before the class name, encoded by the frozen text tower.

C classes, M context vectors, W width of the text tower, L tokens, D joint space.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.backbones import Backbone
from benchmarks.errors import NotApplicable, UserError
from methods.base import Batch, Task
from methods.parts.heads.calibration import Calibration
from methods.parts.losses.base import LossFunction
from methods.parts.text.prompt_encoder import PromptEncoder
from methods.parts.text.text_tower import mean_direction, text_tower, tokenised
from methods.parts.training.schedules import Schedule

Position = Literal["end", "middle", "front"]
"""Place of the class name: after all context vectors, after half of them, or before all."""


class PromptLearner(nn.Module):
    """[start][v_1 … v_M][class name].[end] (Zhou et al. 2022, arXiv 2109.01134).

    The class name is last, unless `position` says otherwise. A full stop ends the prompt, as in the
    authors' code.

    Args:
        task: class names, backbone, randomness.
        contexts: M.
        class_specific: separate context vectors for every class instead of shared ones.
        std: standard deviation of the initial context.
        init: text whose token embeddings are the initial context of every class, instead of random
            numbers; its number of tokens is M.
        position: place of the class name; an odd vector follows the name.

    Raises:
        NotApplicable: the text tower is not like CLIP's (see `text_tower`), or the longest class
            name is too long.
        UserError: `init` has no words.
    """

    def __init__(
        self,
        task: Task,
        contexts: int,
        *,
        class_specific: bool,
        std: float = 0.02,
        init: str = "",
        position: Position = "end",
    ) -> None:
        super().__init__()
        tower = text_tower(task.backbone)
        task.note_unknown_words(task.texts.class_names)
        width = tower.token_embedding.weight.shape[1]
        if init:
            start = _embedded(task.backbone, init)[None]  # (1, M, W)
            contexts = start.shape[1]
            start = start.repeat(task.num_classes if class_specific else 1, 1, 1)
        elif class_specific:
            start = std * task.normal_per_class("context", contexts, width)
        else:
            start = std * torch.randn(1, contexts, width, generator=task.generator("context"))
        self.context = nn.Parameter(start.to(task.device))  # (C or 1, M, W)
        names, end = tokenised(task.backbone, [f"{name}." for name in task.texts.class_names])
        room = tower.positional_embedding.shape[0] - contexts
        if names.shape[1] > room:
            raise NotApplicable(
                f"class names take {names.shape[1]} tokens, {contexts} contexts leave {room}"
            )
        _, after = tokenised(task.backbone, task.texts.class_names)  # where the full stop is
        self._encode = PromptEncoder(
            task.backbone,
            names,
            end.tolist(),
            contexts,
            class_specific=class_specific,
            rest={"end": 0, "middle": contexts - contexts // 2, "front": contexts}[position],
            after=after.tolist(),
        )
        place = torch.arange(names.shape[1], device=names.device)
        inside = (place > 0) & (place < end[:, None])
        embedded = tower.token_embedding(names).detach()  # (C, L - M, W)
        self._words = inside.sum(1, keepdim=True)  # (C, 1)
        self._direction = self._words * mean_direction(embedded, inside)  # (C, W)

    def direction(self) -> Tensor:
        """(C, W) mean of the unit embeddings of each prompt's tokens, without start and end."""
        own = F.normalize(self.context, dim=-1).sum(1)  # (C or 1, W)
        return (own + self._direction) / (self.context.shape[1] + self._words)

    def features(self, contexts: Tensor) -> Tensor:
        """(S, C or 1, M, W) contexts in place of its own -> (S, C, D) L2-normalised features."""
        return self._encode(contexts)

    def forward(self) -> Tensor:
        """(C, D) L2-normalised text features of the learned prompts."""
        return self.features(self.context[None])[0]


def _embedded(backbone: Backbone, text: str) -> Tensor:
    """(n, W) token embeddings of a text."""
    if not text.strip():
        raise UserError(f"init: '{text}' has no words.")
    tokens, end = tokenised(backbone, [text.strip()])
    embedded: Tensor = text_tower(backbone).token_embedding(tokens[0, 1 : int(end[0])]).detach()
    return embedded


def prompt_schedule(epochs: int, batch_size: int, lr: float, weight_decay: float) -> Schedule:
    """SGD on whole batches: the prompts pass through the tower once per step."""
    micro_batch = max(batch_size, Schedule.micro_batch)
    return Schedule(epochs, batch_size, lr, weight_decay=weight_decay, micro_batch=micro_batch)


class PromptClassifier(nn.Module):
    """scale * cos(image feature, text feature of the learned prompt), with the backbone's scale.

    On multi-label data a `Calibration` follows, which is learned together with the prompts.

    Args:
        prompts: the prompts.
        task: provides the backbone's scale, and training features and labels for the calibration.
        loss: loss of the training.
    """

    def __init__(self, prompts: PromptLearner, task: Task, loss: LossFunction) -> None:
        super().__init__()
        self.prompts = prompts
        self._scale = task.backbone.logit_scale
        self._weight: Tensor | None = None
        self.calibration: nn.Module = nn.Identity()
        if task.kind == "multi":
            with torch.no_grad():
                logits = self._scale * task.train.features() @ prompts().T
            self.calibration = Calibration(task, loss, logits)

    def train(self, mode: bool = True) -> PromptClassifier:
        self._weight = None  # prompts change during training, but not between evaluations
        return super().train(mode)

    def uncalibrated(self, batch: Batch) -> Tensor:
        """B samples -> (B, C) scaled cosines."""
        if self.training or self._weight is None:
            self._weight = self.prompts()
        return self._scale * batch.inputs @ self._weight.T

    def forward(self, batch: Batch) -> Tensor:
        """B samples -> (B, C)."""
        logits: Tensor = self.calibration(self.uncalibrated(batch))
        return logits
