"""Class-balanced cross-entropy (Cui et al. 2019, arXiv 1901.05555).

Its weights are (1 - beta) / (1 - beta^n_c). The authors' code
(github.com/richardaecn/class-balanced-loss, src/cifar_main.py) scales them to a mean of 1 over the
classes and divides a batch by its images: where a batch holds many tail images, its loss and step
are larger. LIFT's code, like torch's weighted cross-entropy, divides by the weights in the batch.
"""

from __future__ import annotations

from methods.base import Task
from methods.parts.losses.base import Loss
from methods.parts.losses.class_weights import (
    Reduction,
    Weighted,
    WeightedByClass,
    effective_number_weights,
)


def make(task: Task, *, cb_reduction: Reduction = "weights") -> Loss:
    """Return the loss `cb`: cross-entropy weighted by the effective number of samples."""
    weights = effective_number_weights(task.counts)
    return Weighted(weights) if cb_reduction == "weights" else WeightedByClass(weights, task.counts)
