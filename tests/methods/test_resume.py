"""A fit that resumes from any checkpoint ends at the numbers of one that was not interrupted.

Bit for bit, in whatever company it is before and after the interruption.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.conformance.tiny import tiny_task
from benchmarks.datasets.base import TaskKind
from methods.base import Method, Predictor, Task
from methods.parts.training.learning import Learner, fit_learners
from methods.registry import METHODS, info_of
from tests.methods.memory import Memory

pytestmark = [pytest.mark.numeric, pytest.mark.usefixtures("short_calibration")]

TRAINED = [
    (name, kind)
    for name in sorted(METHODS.entries())
    if "batch_size" in METHODS.get(name).__dataclass_fields__
    and not METHODS.get(name).quick  # of many trainings: tested beside the method
    for kind in info_of(name).tasks
]


class History(Memory):
    """A checkpoint that keeps every state."""

    def __init__(self) -> None:
        super().__init__()
        self.states: list[dict[str, Any]] = []

    def save(self, state: Mapping[str, Any]) -> None:
        super().save(state)
        assert self.state is not None
        self.states.append(self.state)


def short(name: str) -> Method:
    """A method with three epochs of two steps; with two stages, two of them are in the second."""
    fields = METHODS.get(name).__dataclass_fields__
    wanted = {"epochs": 3, "batch_size": 32, "finetune": True, "classifier_share": 0.67}
    method: Method = METHODS.get(name)(**{k: v for k, v in wanted.items() if k in fields})
    return method


def fitted(method: Method, tasks: Sequence[Task]) -> list[Tensor]:
    """Logits of the training samples after fits together, or one by one without a `Learner`."""
    if isinstance(method, Learner):
        found = fit_learners([(method, task) for task in tasks])
    else:
        found = [method.fit(task) for task in tasks]
    logits = []
    for one, task in zip(found, tasks, strict=True):
        assert isinstance(one, Predictor), one
        needs = one.needs or method.info.needs
        with torch.no_grad():
            logits.append(one.logits(task.train.batch(np.arange(len(task.train)), needs=needs)))
    return logits


def curves_of(tasks: Sequence[Task]) -> list[dict[str, Any]]:
    """The curves of each task, which every method of the shared loop has."""
    assert all("loss" in task.curves for task in tasks)
    return [task.curves for task in tasks]


def histories(method: Method, seeds: Sequence[int], **world: Any) -> dict[int, History]:
    kept = {seed: History() for seed in seeds}
    fitted(method, [tiny_task(s, checkpoint=kept[s], **world)[0] for s in seeds])
    return kept


def resumed(
    method: Method, kept: Mapping[int, History], number: int, seeds: Sequence[int], **world: Any
) -> tuple[list[Tensor], list[dict[str, Any]]]:
    """Logits and curves after resuming from the checkpoint with this number."""
    epochs: list[int] = []
    tasks = []
    for seed in seeds:
        memory = Memory()
        memory.state = kept[seed].states[number]
        progress = lambda epoch, *rest: epochs.append(epoch)  # noqa: E731
        tasks.append(tiny_task(seed, checkpoint=memory, progress=progress, **world)[0])
    logits = fitted(method, tasks)
    assert epochs[0] == number + 1  # a checkpoint per epoch: nothing was trained again
    return logits, curves_of(tasks)


@pytest.mark.parametrize(("name", "kind"), TRAINED)
def test_a_fit_resumes_alone_after_each_epoch_together(name: str, kind: TaskKind) -> None:
    method = short(name)
    kept = histories(method, (0, 1) if isinstance(method, Learner) else (1,), kind=kind)
    assert len(kept[1].states) == 2
    task = tiny_task(1, kind=kind)[0]
    (expected,) = fitted(method, [task])
    for number in range(2):
        (found,), curves = resumed(method, kept, number, (1,), kind=kind)
        assert torch.equal(found, expected)
        assert curves == curves_of([task])


@pytest.mark.slow
@pytest.mark.parametrize("validation", [False, True])
@pytest.mark.parametrize(("name", "kind"), TRAINED)
def test_a_fit_resumes_in_any_company(name: str, kind: TaskKind, validation: bool) -> None:
    method, world = short(name), {"kind": kind, "validation": validation}
    expected = {s: fitted(method, [tiny_task(s, **world)[0]])[0] for s in range(3)}
    alone = {s: histories(method, (s,), **world)[s] for s in range(3)}
    for kept in (alone, histories(method, (0, 1, 2), **world)):
        for number, seeds in itertools.product(range(2), ((0,), (2,), (1, 0), (0, 1, 2))):
            logits, curves = resumed(method, kept, number, seeds, **world)
            assert all(("validation" in found) == validation for found in curves)
            for seed, found in zip(seeds, logits, strict=True):
                assert torch.equal(found, expected[seed])
