"""The class whose name is nearest to that of each class, by the backbone's text features."""

from __future__ import annotations

import torch
from torch import Tensor

CHUNK = 1024
"""Classes whose cosines with all classes are in memory at a time."""


def nearest_others(features: Tensor) -> tuple[int, ...]:
    """For each class, the other class of the largest cosine; the first of equal ones.

    Args:
        features: (C, D) L2-normalised.

    Returns:
        C classes; nothing for a single class, which has no other.
    """
    if len(features) < 2:
        return ()
    found: list[int] = []
    for start in range(0, len(features), CHUNK):
        part = features[start : start + CHUNK]
        cosines = part @ features.T
        own = torch.arange(len(part), device=features.device)
        cosines[own, start + own] = -torch.inf
        found += cosines.argmax(1).tolist()
    return tuple(found)
