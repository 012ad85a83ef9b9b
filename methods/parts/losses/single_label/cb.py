"""Class-balanced cross-entropy (Cui et al. 2019, arXiv 1901.05555)."""

from __future__ import annotations

from methods.base import Task
from methods.parts.losses.base import Loss
from methods.parts.losses.class_weights import Weighted, effective_number_weights


def make(task: Task) -> Loss:
    """Return the loss `cb`: cross-entropy weighted by the effective number of samples."""
    return Weighted(effective_number_weights(task.counts))
