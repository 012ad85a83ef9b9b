"""LMPT: prompt tuning with class-specific embedding loss (Xia et al., arXiv 2305.04536).

This is the single-label form: softmax with logit adjustment in place of the distribution-balanced
loss, class descriptions in place of image captions. The class-specific embedding (CSE) loss follows
what the formula means rather than the published code, which cannot run as released
(github.com/richard-peng-xia/LMPT, issues 5 and 7): raw counts, and an average over pairs of real
tokens instead of a sum over padding. The hinge acts on the mean cosine of token pairs, so that both
label signs can be active; its sign is a field, because the code's sign pushes a class's prompt away
from its own text. That choice is our reconstruction. Also not as released: a cosine schedule (their
code lowers the learning rate by the *test* mAP) and frozen features, so no flips in training.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.errors import NotApplicable
from methods.base import Batch, Method, Predictor, Task
from methods.parts.losses import LogitAdjusted
from methods.parts.prompts import PromptLearner, text_words
from methods.parts.training import Recipe, train
from methods.registry import register


@register(
    "lmpt",
    paper="Xia et al. 2023, arXiv 2305.04536",
    needs="features",
    reconstruction="LMPT's single-label form, hinge sign and schedule are our reconstruction",
)
@dataclass(frozen=True)
class Lmpt(Method):
    """Class-specific prompts with class-aware soft margin over descriptions (single-label form)."""

    contexts: int = 16
    """Context vectors (README and train.sh of the authors' code)."""
    class_specific: bool = True
    cse_weight: float = 0.5
    """1 - lambda of the paper's code: share of the class-specific embedding loss."""
    margin: float = 0.2
    """mu_c = margin / n_c^(1/4)."""
    gamma: float = 2.0
    """omega_c = n_c^-gamma, normalised over classes."""
    sign: Literal["pull", "code"] = "pull"
    """pull: a prompt nears its own class's text; code: the sign as released."""
    tau: float = 1.0
    lr: float = 5e-4
    epochs: int = 50
    batch_size: int = 64
    weight_decay: float = 1e-4

    def fit(self, task: Task) -> Predictor:
        if task.texts.descriptions is None:
            raise NotApplicable("the single-label form needs class descriptions")
        classifier = PromptClassifier(
            PromptLearner(task, self.contexts, class_specific=self.class_specific), task
        )
        adjusted = LogitAdjusted(task.log_prior, self.tau)
        texts = mean_direction(*text_words(task, list(task.texts.descriptions)))  # (C, W)
        counts = task.counts.clamp(min=1)
        margins = self.margin * counts**-0.25
        weights = counts**-self.gamma / (counts**-self.gamma).sum()

        def loss(logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
            prompts = mean_direction(*classifier.prompts.words())
            cse = embedding_loss(texts[labels], labels, prompts, margins, weights, self.sign)
            return (1 - self.cse_weight) * adjusted(logits, labels, batch) + self.cse_weight * cse

        recipe = Recipe(self.epochs, self.batch_size, self.lr, weight_decay=self.weight_decay)
        return train(task, classifier, loss, recipe, "features")


class PromptClassifier(nn.Module):
    """Cosine logits of frozen image features against learned prompts."""

    def __init__(self, prompts: PromptLearner, task: Task) -> None:
        super().__init__()
        self.prompts = prompts
        self._scale = task.backbone.logit_scale
        self._weight: Tensor | None = None

    def train(self, mode: bool = True) -> PromptClassifier:
        self._weight = None  # prompts change in training; between evaluations they do not
        return super().train(mode)

    def forward(self, batch: Batch) -> Tensor:
        """B samples -> (B, C)."""
        if self.training or self._weight is None:
            self._weight = self.prompts()
        return self._scale * batch.inputs @ self._weight.T


def mean_direction(embeddings: Tensor, mask: Tensor) -> Tensor:
    """(n, W) mean of the unit token embeddings (n, L, W) where the mask (n, L) holds.

    The dot product of two such means is the mean cosine over all pairs of their tokens.
    """
    unit = F.normalize(embeddings, dim=-1) * mask[..., None]
    return unit.sum(1) / mask.sum(1, keepdim=True).clamp(min=1)


def embedding_loss(
    texts: Tensor, labels: Tensor, prompts: Tensor, margins: Tensor, weights: Tensor, sign: str
) -> Tensor:
    """The class-specific embedding loss, averaged over classes; papers' CSE with soft margin.

    Args:
        texts: (B, W) mean token directions of each sample's text.
        labels: (B,) classes.
        prompts: (C, W) mean token directions of the prompts.
        margins: (C,) mu_c.
        weights: (C,) omega_c.
        sign: "pull" or "code".

    Returns:
        (B,) mean over c of omega_c * relu(mu_c - y_bc cos_bc), y = +1 for the sample's class and
        -1 for the others; with "code" the sign of the cosine is the opposite.
    """
    cosine = texts @ prompts.T  # (B, C)
    target = -torch.ones_like(cosine)
    target[torch.arange(len(labels), device=labels.device), labels] = 1.0
    if sign == "code":
        target = -target
    return (weights * F.relu(margins - target * cosine)).mean(1)
