"""Matching of image and text features with fixed prototypes, and a classifier guided by these."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.errors import NotApplicable
from methods.base import Batch, Task

ROWS = 8192
"""Training images processed at a time: a copy of all 437,000 of iNaturalist is 1.3 GB."""


@dataclass(frozen=True)
class Whitening:
    """Whitening of frozen image features within classes.

    Subtract the mean, then divide by the root of the within-class covariance: prototypes that are
    equally far apart suit classes with equal spread in all directions, which frozen features do not
    have.
    """

    origin: Tensor
    """(D,) mean of the class means, so that head classes do not dominate it."""
    matrix: Tensor
    """(D, D) inverse root of the within-class covariance, up to a factor."""

    @classmethod
    def of(cls, task: Task, shrinkage: float, *, centre: bool) -> Whitening:
        """Estimate the whitening on the training images.

        Args:
            task: training features and labels, single-label.
            shrinkage: shrinkage of the covariance to a multiple of the identity, 0 to 1; at 1 the
                matrix changes no direction.
            centre: subtract the mean.
        """
        features, labels = task.train.features(), task.train.labels
        means = class_means(task)
        origin = means.sum(0) / (task.counts > 0).sum() * float(centre)
        products = torch.zeros(features.shape[1], features.shape[1], device=features.device)
        for rows, own in zip(features.split(ROWS), labels.split(ROWS), strict=True):
            offsets = rows - means[own]
            products += offsets.T @ offsets
        covariance = (products / len(features)).double().cpu()  # not every GPU has double
        eye = torch.eye(len(covariance), dtype=torch.float64)
        variance = covariance.trace() / len(covariance)
        if shrinkage == 1 or float(variance) < 1e-12:  # no class has two different images
            return cls(origin, eye.to(features))
        spread = (1 - shrinkage) * covariance / variance + shrinkage * eye
        values, vectors = torch.linalg.eigh(spread)
        if float(values[0]) < 1e-6:
            raise NotApplicable("too few training images to whiten them with shrinkage=0")
        return cls(origin, (vectors * values**-0.5 @ vectors.T).to(features))

    def __call__(self, features: Tensor) -> Tensor:
        """(n, D) frozen image features -> (n, D) unit features."""
        return F.normalize((features - self.origin) @ self.matrix, dim=-1)


def class_means(task: Task, through: Callable[[Tensor], Tensor] = lambda rows: rows) -> Tensor:
    """(C, D) means over the training images of each class; zeros for a class without images.

    Args:
        task: features, labels and counts, single-label.
        through: map (n, D) -> (n, D) of frozen features to the features to average.
    """
    features, labels = task.train.features(), task.train.labels
    sums = torch.zeros(task.num_classes, features.shape[1], device=features.device)
    for rows, own in zip(features.split(ROWS), labels.split(ROWS), strict=True):
        sums.index_add_(0, own, through(rows))
    return sums / task.counts.clamp(min=1)[:, None]


class Matching(nn.Module):
    """A residual linear map shared by image and text features, and cosines with prototypes.

    Args:
        prototypes: (C, D) unit vectors, fixed.
        texts: (C, D) one unit text feature per class.
        whitening: applied to image features first.
        scale: factor on the cosines, the inverse temperature of the contrastive loss.
    """

    prototypes: Tensor
    texts: Tensor
    origin: Tensor
    matrix: Tensor
    scale: Tensor

    def __init__(
        self, prototypes: Tensor, texts: Tensor, whitening: Whitening, scale: float
    ) -> None:
        super().__init__()
        self.register_buffer("prototypes", prototypes, persistent=False)
        self.register_buffer("texts", texts, persistent=False)
        self.register_buffer("origin", whitening.origin, persistent=False)
        self.register_buffer("matrix", whitening.matrix, persistent=False)
        self.register_buffer("scale", torch.tensor(scale, device=texts.device), persistent=False)
        dim = prototypes.shape[1]
        self.residual = nn.Parameter(torch.zeros(dim, dim, device=prototypes.device))

    def images(self, features: Tensor) -> Tensor:
        """(B, D) frozen image features -> (B, D) unit features in the space of the prototypes."""
        return self._mapped(Whitening(self.origin, self.matrix)(features))

    def text(self, labels: Tensor | slice = slice(None)) -> Tensor:
        """(n, D) mapped unit text features of the classes `labels` (n,)."""
        return self._mapped(self.texts[labels])

    def logits(self, mapped: Tensor) -> Tensor:
        """(B, D) -> (B, C)."""
        return self.scale * mapped @ self.prototypes.T

    def forward(self, batch: Batch) -> Tensor:
        """B samples -> (B, C)."""
        return self.logits(self.images(batch.inputs))

    def _mapped(self, x: Tensor) -> Tensor:
        return F.normalize(x + x @ self.residual, dim=-1)


class GuidedClassifier(nn.Module):
    """scale * (share * cos(x, p_c) + (1 - share) * cos(x, w_c)) over features mapped by `Matching`.

    p_c is the prototype. w_c = norm(r_c v_c + (1 - r_c) t_c) lies between a learned direction v_c,
    which starts at the mean mapped training feature of its class, and the mapped text t_c, with
    r_c = n_c / (n_c + pull). A class without training images has w_c = t_c.

    Args:
        matching: its parameters must not require a gradient: p_c, t_c and x are fixed.
        means: (C, D) mean mapped training features.
        counts: (C,) training images per class.
        share: weight of the prototypes, 0 to 1.
        pull: number of images that weigh as much as a text, 0 or more.
        scale: factor on the cosines.
    """

    learned_share: Tensor
    texts: Tensor
    share: Tensor

    def __init__(
        self,
        matching: Matching,
        means: Tensor,
        counts: Tensor,
        *,
        share: float,
        pull: float,
        scale: float,
    ) -> None:
        super().__init__()
        self.matching = matching
        self.weight = nn.Parameter(F.normalize(means, dim=-1))
        ratio = torch.where(counts > 0, counts / (counts + pull).clamp(min=1), 0.0)
        self.register_buffer("learned_share", ratio[:, None], persistent=False)
        self.register_buffer("texts", matching.text().detach(), persistent=False)
        self.register_buffer("share", torch.tensor(share, device=means.device), persistent=False)
        self.scale = scale

    def directions(self) -> Tensor:
        """(C, D) w_c."""
        learned = self.learned_share * F.normalize(self.weight, dim=-1)
        return F.normalize(learned + (1 - self.learned_share) * self.texts, dim=-1)

    def forward(self, batch: Batch) -> Tensor:
        """B samples -> (B, C)."""
        weight = self.share * self.matching.prototypes + (1 - self.share) * self.directions()
        return self.scale * self.matching.images(batch.inputs) @ weight.T
