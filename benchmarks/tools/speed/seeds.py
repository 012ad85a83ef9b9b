"""Cost of five seeds of a head compared with one, in the training loop of all methods."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from benchmarks.conformance.tiny import tiny_task
from benchmarks.tools.speed.machine import Machine
from benchmarks.tools.speed.timing import Row, fastest
from methods.base import Batch, Predictor, Task
from methods.linear_probe import LinearProbe
from methods.parts.training.learning import fit_learners

SEEDS = 5
BATCH = 128
STEPS = 100


def rows(machine: Machine) -> list[Row]:
    """Measure a training step of a cosine head for five seeds as a batch, and for one."""
    found = []
    for classes, width in ((100, 512), (365, 512), (1000, 512), (8142, 768)):
        steps = STEPS if classes < 2000 else 5
        tasks = _tasks(machine, classes, width, steps)
        method = LinearProbe(epochs=1, batch_size=BATCH)
        x = torch.randn(BATCH, width, device=machine.device)
        weight = torch.randn(classes, width, device=machine.device)
        gradient = torch.randn(BATCH, classes, device=machine.device)
        best = fastest(
            {
                "one": partial(_fit, method, tasks[:1]),
                "all": partial(_fit, method, tasks),
                "products": partial(_products, x, weight, gradient, steps),
            },
            machine.device,
            turns=machine.turns if classes < 2000 else max(2, machine.turns // 4),
        )
        bound = SEEDS * best["products"]
        note = (
            f"batch {BATCH}, {width} features, fp32; bound: one seed ({best['one'] / steps:.2g} s "
            f"a step). The products of five seeds alone take {bound / steps:.2g} s a step"
        )
        name = f"{SEEDS} seeds of a head, {classes} classes"
        found.append(Row(name, best["all"] / steps, best["one"] / steps, note))
    return found


def _fit(method: LinearProbe, tasks: list[Task]) -> None:
    for result in fit_learners([(method, task) for task in tasks]):
        assert isinstance(result, Predictor)


def _products(x: torch.Tensor, weight: torch.Tensor, gradient: torch.Tensor, steps: int) -> None:
    """Compute the logits and the weight's gradient of one seed."""
    for _ in range(steps):
        torch.mm(x, weight.T)
        torch.mm(gradient.T, x)


def _tasks(machine: Machine, classes: int, width: int, steps: int) -> list[Task]:
    """Return tasks that differ in their seed, on random features."""
    samples = Features(BATCH * steps, classes, width, machine.device)
    found = []
    for seed in range(SEEDS):
        task, _ = tiny_task(seed)
        texts = dataclasses.replace(
            task.texts, class_names=tuple(map(str, range(classes))), descriptions=None
        )
        counts = torch.bincount(samples.labels, minlength=classes).float()
        found.append(
            dataclasses.replace(
                task, texts=texts, counts=counts, train=samples, device=machine.device
            )
        )
    return [dataclasses.replace(task, texts=found[0].texts) for task in found]


class Features:
    """Training samples with features and labels only (see `methods.base.Samples`).

    Args:
        samples: N.
        classes: C.
        width: D.
        device: device of the features.
    """

    captions = None

    def __init__(self, samples: int, classes: int, width: int, device: torch.device) -> None:
        draw = torch.Generator().manual_seed(0)
        self._features = F.normalize(torch.randn(samples, width, generator=draw), dim=-1).to(device)
        self.labels = torch.randint(classes, (samples,), generator=draw).to(device)
        self.keys = np.random.default_rng(0).integers(2**63, size=samples, dtype=np.uint64)

    def __len__(self) -> int:
        return len(self._features)

    def features(self) -> Tensor:
        """Return the features, (N, D)."""
        return self._features

    def batch(self, index: NDArray[np.int64], **_: Any) -> Batch:
        """Return the samples at `index`."""
        where = torch.from_numpy(index).to(self.labels.device)
        return Batch(where, self._features.index_select(0, where), None)

    def loader(self, parts: Sequence[NDArray[np.int64]], **_: Any) -> Iterator[Batch]:
        """Yield a batch for each part."""
        every = torch.from_numpy(np.concatenate(parts)).to(self.labels.device)
        for where in every.split([len(part) for part in parts]):
            yield Batch(where, self._features.index_select(0, where), None)
