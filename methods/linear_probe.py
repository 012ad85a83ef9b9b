"""A head on frozen features, trained with cross-entropy: what the long-tail methods start from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from methods.base import Method, Predictor, Task
from methods.parts.heads import fit_head
from methods.parts.losses import cross_entropy
from methods.parts.training import Recipe
from methods.registry import register


@register("linear_probe", paper="Radford et al. 2021, arXiv 2103.00020", needs="features")
@dataclass(frozen=True)
class LinearProbe(Method):
    """A cosine or linear head on frozen features, trained with cross-entropy."""

    head: Literal["cosine", "linear"] = "cosine"
    init: Literal["random", "text", "class_mean"] = "random"
    lr: float = 0.03
    """LIFT+ names 0.03 as the best of its linear probes (arXiv 2504.13282, code)."""
    epochs: int = 10
    batch_size: int = 128
    weight_decay: float = 5e-4

    def fit(self, task: Task) -> Predictor:
        recipe = Recipe(self.epochs, self.batch_size, self.lr, weight_decay=self.weight_decay)
        return fit_head(task, cross_entropy, recipe, head=self.head, init=self.init)
