"""Tasks in double precision, in which a difference in rounding stays small over many steps."""

from __future__ import annotations

import copy
import dataclasses
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.backbones import Backbone
from benchmarks.conformance.tiny import tiny_backbone, tiny_task
from benchmarks.inputs.features import FeatureStore
from methods.base import Task
from methods.parts.image.two_stage import FeaturesOf


def in_double(backbone: Backbone) -> Backbone:
    """A copy with weights in double precision; its image transform stays in single precision."""
    return dataclasses.replace(backbone, model=copy.deepcopy(backbone.model).double())


@cache
def _double_backbone() -> Backbone:
    """One object for all tasks: tasks that share no backbone are not trained together."""
    return in_double(tiny_backbone())


def unit(rows: Tensor) -> Tensor:
    """Rows of unit length in double precision."""
    return F.normalize(rows.double(), dim=-1)


def precise_task(seed: int = 0, **more: Any) -> tuple[Task, Any]:
    """The tiny task for methods on features and its test samples, in torch's default type.

    In float32 they are what `tiny_task` returns; with the fixture `double` all is float64.
    """
    task, test = tiny_task(seed, **more)
    if torch.get_default_dtype() == torch.float32:
        return task, test
    task.train = FeaturesOf(task.train, unit(task.train.features()))
    if task.validation is not None:
        task.validation = FeaturesOf(task.validation, unit(task.validation.features()))
    task.counts = task.counts.double()
    task.backbone = _double_backbone()
    texts = FeatureStore(None)
    task.text_cache = lambda *given: unit(texts.texts(task.backbone, *given))
    return task, FeaturesOf(test, unit(test.features()))
