"""Scores of logits on validation images, for `--select val` and for searches after training.

Balanced accuracy for single-label data, mAP for multi-label, both in [0, 1].
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks import memory
from benchmarks.average_precision import average_precisions
from methods.base import Task

AT_ONCE = 1024
"""Samples per forward pass on frozen features."""


def score(logits: Tensor, labels: Tensor) -> float:
    """Score of logits (V, C) for labels (V,) or label sets (V, C)."""
    if labels.ndim == 2:
        precisions = average_precisions(logits.float().cpu().numpy(), labels.cpu().numpy())
        return float(np.nanmean(precisions))
    return balanced_accuracy(logits.argmax(1), labels, logits.shape[1])


def balanced_accuracy(predicted: Tensor, labels: Tensor, classes: int) -> float:
    """Mean accuracy over the classes that occur in `labels` (V,); predicted classes (V,)."""
    predicted, labels = predicted.cpu(), labels.cpu()  # an MPS device has no double precision
    seen = torch.bincount(labels, minlength=classes)
    hits = torch.bincount(labels[predicted == labels], minlength=classes)
    present = seen > 0
    return float((hits[present].double() / seen[present]).mean())


@torch.no_grad()
def validation_score(task: Task, module: nn.Module, needs: str, batch_size: int) -> float:
    """Score of a module, in evaluation mode, on the task's validation images.

    Args:
        task: with validation images.
        module: batch -> (B, C).
        needs: "features" or "images".
        batch_size: images per forward pass; halved when memory runs out.
    """
    assert task.validation is not None
    module.eval()
    module = task.as_measured(module)
    size = max(batch_size, AT_ONCE) if needs == "features" else batch_size
    while True:
        try:
            return _scored(task, module, needs, size)
        except (RuntimeError, MemoryError) as error:
            size = memory.halved(size, error)
        memory.release(task.device)


def _scored(task: Task, module: nn.Module, needs: str, size: int) -> float:
    assert task.validation is not None
    found = []
    for batch, _ in task.batches(task.validation, needs, size):
        with task.backbone.precision_for(needs):
            logits = module(batch)
        found.append(logits.argmax(1).cpu() if task.kind == "single" else logits.float().cpu())
    labels = task.validation.labels
    if task.kind == "single":
        return balanced_accuracy(torch.cat(found), labels, task.num_classes)
    return score(torch.cat(found), labels)
