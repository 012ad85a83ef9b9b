"""Learned prompts: context vectors before the class name, run through the frozen text tower.

C classes, M context vectors, W width of the text tower, L tokens, D joint space.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmarks.errors import NotApplicable
from methods.base import Batch, Task
from methods.parts.calibration import Calibration
from methods.parts.text_tower import encode, text_tower, tokenised
from methods.parts.training import Loss


class PromptLearner(nn.Module):
    """[start][v_1 … v_M][class name].[end] (Zhou et al. 2022, arXiv 2109.01134).

    The class token stands at the end, followed by the full stop of the authors' code.

    Args:
        task: class names, backbone, randomness.
        contexts: M.
        class_specific: own context vectors for every class, else shared ones.
        std: standard deviation of the initial context.

    Raises:
        NotApplicable: the text tower is not CLIP's kind (see `text_tower`), or the longest class
            name leaves too little room.
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
        names, end = tokenised(task.backbone, [f"{name}." for name in task.texts.class_names])
        room = tower.positional_embedding.shape[0] - contexts
        if names.shape[1] > room:
            raise NotApplicable(
                f"class names take {names.shape[1]} tokens, {contexts} contexts leave {room}"
            )
        self._embedded = tower.token_embedding(names).detach()  # (C, L - M, W)
        self._end = end + contexts  # (C,)
        self._shared = 0 if class_specific else 1 + contexts  # leading tokens that are all the same
        self._tower = [tower]  # in a list, so that what is frozen is neither moved nor saved

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
        return encode(self._tower[0], self.embeddings(), self._end, self._shared)


class PromptClassifier(nn.Module):
    """scale * cos(image feature, text feature of the learned prompt), the backbone's own scale.

    On multi-label data these go through a `Calibration`, which is learned along with the prompts.

    Args:
        prompts: the prompts.
        task: the backbone's scale; training features and labels for the calibration.
        loss: what they are going to be learned under.
    """

    def __init__(self, prompts: PromptLearner, task: Task, loss: Loss) -> None:
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
        self._weight = None  # prompts change in training; between evaluations they do not
        return super().train(mode)

    def forward(self, batch: Batch) -> Tensor:
        """B samples -> (B, C)."""
        if self.training or self._weight is None:
            self._weight = self.prompts()
        logits: Tensor = self.calibration(self._scale * batch.inputs @ self._weight.T)
        return logits
