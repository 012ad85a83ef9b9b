"""Batches that do not fit into memory are accumulated, with the same result."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks import memory
from benchmarks.conformance.tiny import tiny_task
from benchmarks.errors import UserError
from methods.base import Batch, Predictor, Task
from methods.parts.heads.linear_classifiers import SCALE, CosineHead, OnFeatures
from methods.parts.losses import named_loss
from methods.parts.losses.base import LossFunction
from methods.parts.losses.single_label.ce import cross_entropy
from methods.parts.training.learning import Learner, Learning, fit_learners
from methods.parts.training.loop import train
from methods.parts.training.schedules import Schedule, Training
from methods.parts.training.scoring import validation_score
from tests.conftest import ROOT
from tests.methods.double import precise_task

pytestmark = pytest.mark.numeric


class Limited(nn.Module):
    """A cosine head after dropout that raises an allocator's error beyond a number of samples."""

    def __init__(self, task: Task, room: int, error: type[Exception], dropout: float = 0.0) -> None:
        super().__init__()
        self.head = CosineHead(task.normal_per_class("head", 16))
        self.dropout = nn.Dropout(dropout)
        self.room, self.error = room, error
        self.sizes: list[int] = []

    def forward(self, batch: Batch) -> Tensor:
        self.sizes.append(len(batch))
        if len(batch) > self.room:
            torch.rand(7)  # the draws up to here are repeated
            raise self.error("DefaultCPUAllocator: can't allocate memory: you tried to allocate it")
        logits: Tensor = self.head(self.dropout(batch.inputs))
        return logits


PLANNED = Schedule(3, 24, 0.1)


def trained(
    room: int,
    *,
    error: type[Exception] = RuntimeError,
    loss: str = "ce",
    schedule: Schedule = PLANNED,
    dropout: float = 0.0,
) -> tuple[Limited, Task]:
    task, _ = precise_task(seed=4)
    module = Limited(task, room, error, dropout)
    own = named_loss(loss, task, tau=1.0, scale=SCALE)
    train(task, module, own, schedule, "features")
    return module, task


def weights(module: Limited) -> Tensor:
    return module.head.weight.detach()


@pytest.mark.parametrize("error", [RuntimeError, torch.OutOfMemoryError, MemoryError])
def test_a_batch_too_large_is_halved_until_it_fits(error: type[Exception], double: None) -> None:
    whole, task = trained(1000)
    assert task.details == []
    parts, task = trained(7, error=error)
    # 24, 12 and 6; later steps keep the size that was found: 4 x 6, and 6, 6, 4.
    first = [24, 12, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 4]
    assert parts.sizes[: len(first)] == first
    assert len(parts.sizes) == len(first) + 2 * 11
    torch.testing.assert_close(weights(parts), weights(whole), atol=1e-9, rtol=0)
    assert task.details == ["out of memory at 24: micro-batch 6"]


@pytest.mark.parametrize("loss", ["cb", "ldam_drw", "lade", "grw"])
def test_a_loss_of_the_whole_batch_still_sees_all_of_it(loss: str, double: None) -> None:
    whole, _ = trained(1000, loss=loss)
    parts, task = trained(5, loss=loss)
    torch.testing.assert_close(weights(parts), weights(whole), atol=1e-9, rtol=0)
    assert task.details == ["out of memory at 24: micro-batch 3"]


def test_the_second_pass_draws_what_the_first_drew() -> None:
    """With other dropout masks than those of the logits, the gradient would differ."""
    task, _ = tiny_task(seed=4)
    seen: list[list[Tensor]] = [[], []]
    module = Limited(task, 8, RuntimeError, dropout=0.5)
    module.dropout.register_forward_hook(
        lambda _, __, out: seen[int(torch.is_grad_enabled())].append(out.detach().clone())
    )
    loss = named_loss("cb", task, tau=1.0, scale=SCALE)
    train(task, module, loss, Schedule(1, 16, 0.1, micro_batch=8), "features")
    assert len(seen[0]) == len(seen[1]) == 8
    assert all(torch.equal(a, b) for a, b in zip(*seen, strict=True))


def test_a_step_that_failed_draws_again_what_it_drew(double: None) -> None:
    given = Schedule(3, 24, 0.1, micro_batch=6)
    planned, _ = trained(1000, schedule=given, dropout=0.5)
    found, _ = trained(7, dropout=0.5)
    torch.testing.assert_close(weights(found), weights(planned), atol=1e-9, rtol=0)


def test_no_room_for_a_single_sample_is_reported_in_one_line() -> None:
    with pytest.raises(UserError, match="single sample at a time") as caught:
        trained(0)
    assert "\n" not in str(caught.value)


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    for error in (RuntimeError("shapes differ"), ValueError("out of range")):
        with pytest.raises(type(error)):
            memory.halved(8, error)


def test_an_odd_size_is_halved_upwards() -> None:
    sizes = [7]
    while sizes[-1] > 1:
        sizes.append(memory.halved(sizes[-1], MemoryError()))
    assert sizes == [7, 4, 2, 1]


class Head(OnFeatures):
    """A head with memory for some samples."""

    def __init__(self, head: nn.Module, room: int) -> None:
        super().__init__(head)
        self.room = room

    def forward(self, batch: Batch) -> Tensor:
        if self.training and len(batch) > self.room:
            raise MemoryError
        return super().forward(batch)


class Several(Learner):
    """Any head under any loss; each fit has the memory that comes next."""

    def __init__(self, loss: str, *rooms: int) -> None:
        self.loss = loss
        self.rooms = iter(rooms)

    def learn(self, task: Task) -> Learning:
        module = Head(CosineHead(task.normal_per_class("head", 16)), next(self.rooms))
        loss: LossFunction = cross_entropy
        if self.loss != "ce":
            loss = named_loss(self.loss, task, tau=1.0, scale=SCALE)
        return (yield Training(task, module, loss, Schedule(2, 24, 0.1)))


@pytest.mark.parametrize("loss", ["ce", "cb", "lade"])
def test_trainings_that_fit_only_alone_are_fitted_alone(loss: str) -> None:
    """In smaller parts they would end at other numbers because of their company."""
    tasks = [tiny_task(seed)[0] for seed in range(3)]
    method = Several(loss, 10, 24, 10, 24, 24)
    found = fit_learners([(method, task) for task in tasks])
    for seed, (one, task) in enumerate(zip(found, tasks, strict=True)):
        short = seed != 1
        assert isinstance(one, Predictor) and one.fitted_together == (1 if short else 3)
        note = "out of memory when fitted with other cells: fitted alone"
        assert task.details == [note] * short
        expected = Several(loss, 24).fit(tiny_task(seed)[0]).logits
        assert torch.equal(one.logits.head.weight, expected.head.weight)  # type: ignore[attr-defined]


def test_trainings_that_are_too_large_alone_say_so() -> None:
    tasks = [tiny_task(seed)[0] for seed in range(2)]
    found = fit_learners([(Several("ce", 2, 2, 2, 0), task) for task in tasks])
    assert isinstance(found[0], Predictor) and isinstance(found[1], Predictor)
    assert tasks[0].details[1:] == ["out of memory at 24: micro-batch 2"]
    method = Several("ce", 0, 0, 0, 0)
    found = fit_learners([(method, tiny_task(seed)[0]) for seed in range(2)])
    assert all(isinstance(one, memory.OutOfMemory) for one in found)


def test_validation_takes_smaller_batches_too() -> None:
    task, _ = tiny_task(validation=True)
    module = Limited(task, 1000, MemoryError)
    expected = validation_score(task, module, "features", 64)
    module.room = 9
    assert validation_score(task, module, "features", 64) == expected
    assert max(module.sizes[-8:]) <= 9


ALLOCATES = """
import resource, sys
import torch
from benchmarks.conformance.tiny import tiny_task
from methods.parts.heads.linear_classifiers import CosineHead, OnFeatures
from methods.parts.losses.single_label.ce import cross_entropy
from methods.parts.training.loop import Schedule, train

class Greedy(torch.nn.Module):
    def __init__(self, head):
        super().__init__()
        self.head = head

    def forward(self, batch):
        large = torch.zeros(len(batch), 2**20)  # 4 MB per sample
        return self.head(batch.inputs) + large[:, :1]

def run():
    task, _ = tiny_task()
    head = CosineHead(task.normal_per_class("head", 16))
    train(task, Greedy(head), cross_entropy, Schedule(2, 64, 0.1), "features")
    return head.weight.detach(), task.details

expected, notes = run()
assert notes == [], notes
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 100 * 2**20, resource.RLIM_INFINITY))
found, notes = run()
assert torch.allclose(found, expected, atol=1e-5)
print(*notes)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS and /proc are Linux's")
def test_the_error_that_the_allocator_raises() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ALLOCATES], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "out of memory at 64: micro-batch" in done.stdout
    assert int(np.log2(int(done.stdout.split()[-1]))) <= 4
