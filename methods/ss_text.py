"""SS-Text+: text prototypes plus weighted sums of image features (arXiv 2506.17500).

In closed form, for N training images with n_c of class c, unit image features x_i and text
features t_c, and the backbone's logit scale s:

    w_c = t_c + (s n_c / N) * (sum of x_i over class c)
    w_c <- w_c - (2 w_c - w) / |2 w_c - w|,  w the mean of all w_c         (repulsion)
    logits = s * cos(x, w_c)

The text of class c weighs lambda_c = 1 / n_c against its images, so that images count the more, the
more there are. Neither validation images nor equally many images of all classes are needed; a class
without images keeps its text prototype. Formula and constants are those of the authors' code
(github.com/jusiro/SS-Text, 4ff4897, `solvers/sstext.py`), where lambda_c is 0.001 or more. With
`weighting = equal` and `repel = false` it is SS-Text, as that code runs it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from methods.base import Method, Predictor, Task, TextSource
from methods.parts.ensembling import views_for
from methods.parts.heads.linear_classifiers import class_sums
from methods.registry import register

MOST = 1000.0
"""Images of a class that count at most: lambda_c is 0.001 or more in the authors' code."""


@register(
    "ss_text",
    paper="Silva-Rodríguez et al. 2025, arXiv 2506.17500",
    needs="features",
    deterministic=True,
)
@dataclass(frozen=True)
class SSText(Method):
    """SS-Text+: text prototypes and class sums of frozen features, combined in closed form."""

    weighting: Literal["counts", "equal"] = "counts"
    """Weight of a class's sum: counts (n_c / N, SS-Text+) or equal (1, SS-Text). Both count at most
    1,000 images, of a class or of all (authors' code)."""
    repel: bool = True
    """Push the prototypes apart (SS-Text+)."""
    text: TextSource = "names"
    """Texts that fill the prompts of the text prototypes."""
    ensemble: bool = True
    """Average the text features of all templates (authors' code)."""
    tte: bool = False
    """Test-time ensembling: mean logits of five crops of each test image."""

    def fit(self, task: Task) -> Predictor:
        views = views_for(task, tte=self.tte)
        texts = task.text_features(self.text, ensemble=self.ensemble)
        scale = task.backbone.logit_scale
        images = len(task.train)
        counts = task.counts if self.weighting == "counts" else torch.full_like(task.counts, images)
        weight = scale * counts.clamp(max=MOST) / images  # (C,)
        prototypes = texts + weight[:, None] * class_sums(task)
        if self.repel:
            prototypes = repelled(prototypes)
        classifier = scale * F.normalize(prototypes, dim=-1)
        return Predictor(lambda batch: batch.inputs @ classifier.T, views=views)


def repelled(prototypes: Tensor) -> Tensor:
    """(C, D) prototypes, each moved by length 1 against 2 w_c - (mean of all)."""
    return prototypes - F.normalize(2 * prototypes - prototypes.mean(0), dim=-1)
