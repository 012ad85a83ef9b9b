"""Pieces of a class's texts: which to drop and which to weight.

A piece is the class name, its description, both in one, or a sentence of a description that has
several, each in the data set's prompt templates. Pieces differ in value: a text tower may not know
a name, and a description may contain sentences that say nothing about appearance.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from methods.base import Task, TextSource

TextFilter = Literal["images", "name", "none"]
"""Reference for a class's pieces: the mean of its training images, its name, or nothing."""
CHUNK = 4096
"""Pieces whose cosines with all classes are in memory at a time."""


@dataclass(frozen=True)
class Pieces:
    """n pieces of text of C classes."""

    features: Tensor
    """(n, D) L2-normalised."""
    owner: Tensor
    """(n,) class of each piece."""
    kind: Tensor
    """(n,) kind of each piece: name, description, both or sentence."""

    def centred(self) -> Pieces:
        """Subtract the mean of each kind, which reflects the wording of a text, not its subject."""
        means = _mean_by(self.features, self.kind, int(self.kind.max()) + 1)
        return replace(self, features=F.normalize(self.features - means[self.kind], dim=-1))


def pieces(task: Task, source: TextSource) -> Pieces:
    """All pieces of text of a task's classes.

    Args:
        task: names, descriptions if there are any, and templates.
        source: names; descriptions with their sentences; or both, and the two in one.
    """
    kinds: list[TextSource] = [source]
    if task.texts.descriptions is None:
        kinds = ["names"]
    elif source == "both":
        kinds = ["names", "descriptions", "both"]
    classes = torch.arange(task.num_classes)
    features = [task.text_features(kind) for kind in kinds]
    owner = [classes] * len(kinds)
    single = [sentences(text) for text in task.texts.descriptions or ()]
    several = [(c, s) for c, found in enumerate(single) if len(found) > 1 for s in found]
    if several and source != "names":
        templates = task.texts.templates
        prompts = [template.format(s) for _, s in several for template in templates]
        encoded = task.text_cache(prompts).to(task.device)
        mean = encoded.view(len(several), len(templates), -1).mean(1)
        features.append(F.normalize(mean, dim=-1))
        owner.append(torch.tensor([c for c, _ in several]))
    kind = torch.cat([torch.full((len(o),), k) for k, o in enumerate(owner)])
    device = task.device
    return Pieces(torch.cat(features), torch.cat(owner).to(device), kind.to(device))


def sentences(text: str) -> list[str]:
    """Sentences and clauses of a text, split after . ; ! ? and stripped of these."""
    parts = (part.strip(" .;!?") for part in re.split(r"(?<=[.;!?])\s+", text))
    return [part for part in parts if part]


def relevant(texts: Pieces, reference: Tensor) -> Tensor:
    """(n,) True for pieces at least as close to their class's reference as its average piece.

    Args:
        texts: pieces; at least one of every class is kept.
        reference: (C, D) directions; a class without one has zeros and keeps all its pieces.
    """
    cosine = (texts.features * F.normalize(reference, dim=-1)[texts.owner]).sum(-1)
    mean = _mean_by(cosine[:, None], texts.owner, len(reference))[:, 0]
    return cosine >= mean[texts.owner] - 1e-6


def distinctive(texts: Pieces, means: Tensor, scale: float) -> Tensor:
    """(n,) probability that a nearest-class-mean classifier assigns to a piece's own class.

    Args:
        texts: pieces.
        means: (C, D) directions; a class with zeros has a cosine of 0 with everything.
        scale: factor on the cosines.
    """
    weight = scale * F.normalize(means, dim=-1)
    parts = []
    for features, owner in zip(texts.features.split(CHUNK), texts.owner.split(CHUNK), strict=True):
        own = (features @ weight.T).softmax(-1).gather(1, owner[:, None])
        parts.append(own[:, 0])
    return torch.cat(parts)


def fused(texts: Pieces, weights: Tensor, classes: int) -> Tensor:
    """(C, D) L2-normalised weighted means of each class's pieces.

    Args:
        texts: pieces.
        weights: (n,) not negative, not all zero in any class.
        classes: C.
    """
    totals = torch.zeros(classes, device=weights.device).index_add_(0, texts.owner, weights)
    shares = (weights / totals[texts.owner])[:, None]
    sums = torch.zeros(classes, texts.features.shape[1], device=weights.device)
    return F.normalize(sums.index_add_(0, texts.owner, shares * texts.features), dim=-1)


def _mean_by(values: Tensor, group: Tensor, groups: int) -> Tensor:
    """(groups, D) means of the values (n, D) of each group; zeros for an empty one."""
    sums = torch.zeros(groups, values.shape[1], device=values.device, dtype=values.dtype)
    sums.index_add_(0, group, values)
    sizes = torch.bincount(group, minlength=groups).clamp(min=1)
    return sums / sizes[:, None]
