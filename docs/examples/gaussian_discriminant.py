"""A method from a paper in one file: Gaussian discriminant analysis beside the zero-shot logits."""

from dataclasses import dataclass
from typing import Annotated

import torch

from benchmarks.plugins.ranges import NonNegative
from methods.base import Method, Predictor, Task
from methods.parts.heads.linear_classifiers import class_means
from methods.registry import register


@register(
    "gaussian_discriminant",
    paper="Wang et al. 2024, arXiv 2402.04087",
    needs="features",
    deterministic=True,
    reconstruction="the weight alpha is a field instead of a search on validation images",
)
@dataclass(frozen=True)
class GaussianDiscriminant(Method):
    """Class means and one shared covariance of frozen features, added to the zero-shot logits."""

    alpha: Annotated[float, NonNegative] = 1.0
    """Weight of the discriminant; 0 is zero-shot."""

    def fit(self, task: Task) -> Predictor:
        features, means = task.train.features(), class_means(task)  # (N, D), (C, D)
        images, dim = features.shape
        covariance = (features - means[task.train.labels]).T.cov()  # (D, D), shared by all classes
        ridge = covariance.trace() * torch.eye(dim, device=task.device)
        precision = dim * torch.linalg.inv((images - 1) * covariance + ridge)
        weight = means @ precision  # (C, D)
        bias = -(weight * means).sum(1) / 2  # (C,), all classes have the same prior
        texts = task.backbone.logit_scale * task.text_features()  # (C, D)
        classifier = texts + self.alpha * weight
        return Predictor(lambda batch: batch.inputs @ classifier.T + self.alpha * bias)
