"""Nearest class mean over frozen features (used as a long-tail baseline by Kang et al. 2020).

`features` and `metric` are the authors' `feat_type` and `dist_type`
(github.com/facebookresearch/classifier-balancing, f162ade, models/KNNClassifier.py): their default
is `cl2n` with `euclidean`, and their cosine, which does not normalise the means, is called `inner`
here. Their `un` does not exist here, since stored features have unit length; it would be `l2n`.

The default is ours: the cosine to the mean scaled to unit length. It picks the same class as the
Euclidean distance to such a mean, and its logits have the scale that the backbone was trained with,
so that their softmax is a probability. On multi-label data a class's mean is over all images that
show the class (ours).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from methods.base import Batch, Method, Predictor, Task
from methods.parts.ensembling import views_for
from methods.parts.heads.linear_classifiers import SCALE, class_means
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

    features: Literal["l2n", "cl2n"] = "l2n"
    """l2n: features of unit length; cl2n (the authors' default): less the mean of all training
    features, then scaled to unit length."""
    metric: Literal["cosine", "euclidean", "inner"] = "cosine"
    """cosine to the mean; euclidean: minus the squared distance to the mean (the authors' default);
    inner: inner product with the mean, which favours classes of similar images (the authors'
    cosine)."""
    tte: bool = False
    """Test-time ensembling: mean logits of five crops of each test image."""

    def fit(self, task: Task) -> Predictor:
        views = views_for(task, tte=self.tte)
        centre = task.train.features().mean(0)  # (D,)

        def transformed(x: Tensor) -> Tensor:
            """(n, D) -> (n, D)."""
            return F.normalize(x - centre, dim=-1) if self.features == "cl2n" else x

        means = class_means(task, transformed)  # (C, D)
        directions = F.normalize(means, dim=-1) if self.metric == "cosine" else means
        scale = task.backbone.logit_scale if task.backbone.has_text else SCALE
        weight = scale * directions

        def logits(batch: Batch) -> Tensor:
            """B samples -> (B, C)."""
            x = transformed(batch.inputs)
            if self.metric == "euclidean":
                return -torch.cdist(x, means).square()
            return x @ weight.T

        return Predictor(logits, views=views, uncalibrated=logits)
