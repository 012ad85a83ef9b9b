"""Balanced softmax (Ren et al. 2020): logit adjustment with tau = 1."""

from __future__ import annotations

from methods.base import Task
from methods.parts.losses.base import Loss
from methods.parts.losses.single_label.la import LogitAdjusted


def make(task: Task) -> Loss:
    """Return the loss `balanced_softmax`."""
    return LogitAdjusted(task.log_prior, 1.0)
