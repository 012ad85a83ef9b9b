"""Logit adjustment (Menon et al. 2021, arXiv 2007.07314) on frozen features.

`train` learns with cross-entropy on z + tau log pi (eq. 10) and predicts with z; `posthoc` learns
with plain cross-entropy and predicts with z - tau log pi (eq. 9). pi are the training frequencies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from methods.base import Method, Predictor, Task
from methods.parts.heads import fit_head
from methods.parts.losses import LogitAdjusted, cross_entropy
from methods.parts.training import Recipe
from methods.registry import register


@register("logit_adjustment", paper="Menon et al. 2021, arXiv 2007.07314", needs="features")
@dataclass(frozen=True)
class LogitAdjustment(Method):
    """Logit adjustment by the class frequencies, in the training loss or post hoc."""

    mode: Literal["train", "posthoc"] = "train"
    tau: float = 1.0
    head: Literal["cosine", "linear"] = "cosine"
    init: Literal["random", "text", "class_mean"] = "random"
    lr: float = 0.03
    """As linear_probe, so that the two differ by the adjustment alone."""
    epochs: int = 10
    batch_size: int = 128
    weight_decay: float = 5e-4

    def fit(self, task: Task) -> Predictor:
        recipe = Recipe(self.epochs, self.batch_size, self.lr, weight_decay=self.weight_decay)
        train_time = self.mode == "train"
        loss = LogitAdjusted(task.log_prior, self.tau) if train_time else cross_entropy
        posthoc = None if train_time else self.tau * task.log_prior  # (C,)
        return fit_head(task, loss, recipe, head=self.head, init=self.init, posthoc=posthoc)
