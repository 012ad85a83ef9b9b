"""Generalised re-weighting, as LIFT's code defines it."""

from __future__ import annotations

from torch import Tensor

from methods.base import Task
from methods.parts.losses.base import Loss
from methods.parts.losses.class_weights import Weighted


def make(task: Task) -> Loss:
    """Return the loss `grw`: cross-entropy weighted by the inverse class frequency."""
    return Weighted(inverse_frequency_weights(task.counts))


def inverse_frequency_weights(counts: Tensor, rho: float = 1.0) -> Tensor:
    """(C,) n_c^-rho (LIFT's generalised re-weighting)."""
    return counts.clamp(min=1) ** -rho
