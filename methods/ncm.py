"""Nearest class mean over frozen features (used as a long-tail baseline by Kang et al. 2020).

On multi-label data a class's mean is over all images that show the class (ours).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch.nn import functional as F

from methods.base import Method, Predictor, Task
from methods.parts.heads.linear_classifiers import class_means
from methods.registry import register


@register(
    "ncm",
    paper="Kang et al. 2020, arXiv 1910.09217",
    needs="features",
    tasks=("single", "multi"),
    deterministic=True,
)
@dataclass(frozen=True)
class NearestClassMean(Method):
    """Nearest class mean of the frozen training features; nothing is trained."""

    metric: Literal["cosine", "euclidean"] = "cosine"
    """cosine to the normalised mean, or euclidean distance to the mean itself."""

    def fit(self, task: Task) -> Predictor:
        means = class_means(task)  # (C, D)
        if self.metric == "cosine":
            weight = task.backbone.logit_scale * F.normalize(means, dim=-1)
            return Predictor(lambda batch: batch.inputs @ weight.T)
        return Predictor(lambda batch: -torch.cdist(batch.inputs, means).square())
