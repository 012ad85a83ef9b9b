"""The one training loop: optimiser, schedule, random state, accumulation, validation, checkpoints.

A method supplies a loss and a module that maps a batch to logits; only parameters that require a
gradient are trained. The state after each epoch goes to the task's checkpoint. Sample order,
augmentation and torch's random state are functions of (seed, stage, epoch), so a run that was
interrupted and resumed ends at the same numbers as one that was not.

`train` runs one `Training`. A method that writes its fit as `learn` (see `training/learning.py`)
yields its trainings instead, and those of several seeds or grid points run through the loop as one
stacked problem (`training/stacking.py`). A method that trains several modules one after another
gives each training a `Stage`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks import memory, randomness
from methods.base import Batch, Predictor, Progress, Task
from methods.parts.losses.base import Loss, LossFunction, is_coupled
from methods.parts.training.members import Member
from methods.parts.training.problems import Alone, Problem
from methods.parts.training.schedules import ONLY, Schedule, Stage, Training

__all__ = ["ONLY", "Schedule", "Stage", "Training", "run", "train"]


def train(
    task: Task,
    module: nn.Module,
    loss: LossFunction,
    schedule: Schedule,
    needs: str,
    stage: Stage = ONLY,
) -> Predictor:
    """Train one module and return it as a predictor; the arguments are those of `Training`.

    A stage that was finished before an interruption is not trained again, and the predictor of the
    next stage does not count its cost.

    Raises:
        ValueError: the loss became NaN or infinite.
    """
    member = Member(Training(task, module, loss, schedule, needs, stage))
    run([member], Alone(member))
    return member.predictor()


# ---- the loop ------------------------------------------------------------------------------------


def run(members: Sequence[Member], problem: Problem) -> None:
    """Train until the last epoch, or until every member's loss has diverged.

    Args:
        members: one member, or a group from `stacking.batchable_groups`.
        problem: the members as one problem.
    """
    loop = _Loop(members, problem)
    for epoch in range(members[0].start, members[0].request.schedule.epochs):
        totals = loop.epoch(epoch)
        for number, (member, total) in enumerate(zip(members, totals, strict=True)):
            if member.error is None and not math.isfinite(total):
                member.error = ValueError(
                    f"the training loss became {total} in epoch {epoch + 1}; "
                    "lower the learning rate"
                )
            if member.error is None:
                member.epoch_over(epoch, partial(problem.optimiser_state, number))
        if all(member.error is not None for member in members):
            break
    for member in members:
        if member.error is None:
            member.ended()


class _Loop:
    """The epochs of one training, or of several stacked ones."""

    def __init__(self, members: Sequence[Member], problem: Problem) -> None:
        self._members = members
        self._problem = problem
        self._first = first = members[0].request
        self._micro = self._planned = min(first.schedule.micro_batch, first.schedule.batch_size)
        self._coupled = any(is_coupled(m.request.loss) for m in members)
        self._progress: list[Progress] = []
        for member in members:  # bound methods of one display are equal: it is notified once
            if member.request.task.progress not in self._progress:
                self._progress.append(member.request.task.progress)

    def epoch(self, epoch: int) -> list[float]:
        """Train for one epoch; return the sum of each member's step losses."""
        schedule, stage, task = self._first.schedule, self._first.stage, self._first.task
        for group in self._problem.optimiser.param_groups:  # once per epoch, as LIFT's scheduler
            group["lr"] = group["peak"] * 0.5 * (1 + math.cos(math.pi * epoch / schedule.epochs))
        for member in self._members:
            if isinstance(member.request.loss, Loss):
                member.request.loss.at_epoch(epoch, schedule.epochs)
            member.module.train()
        self._problem.refresh()
        now = stage.epochs_before + epoch
        epochs = stage.epochs_before + schedule.epochs + stage.epochs_after
        orders = np.stack([_order(m.request.task, schedule.sampler, now) for m in self._members])
        parts = [
            orders[:, low : low + schedule.batch_size]
            for low in range(0, orders.shape[1], schedule.batch_size)
        ]
        total = torch.zeros(len(self._members), device=task.device)
        with randomness.seeded(task.seed, "epoch", now, device=task.device):
            batches = self._problem.batches(parts, (task.seed, now))
            for step, (batch, labels) in enumerate(batches):
                total += self._gradient(batch, labels, parts[step].shape[1])
                self._problem.step()
                for progress in self._progress:
                    progress(now, epochs, step + 1, len(parts))
        # Read once per epoch: a check at every step would make the host wait for the device.
        return total.tolist()

    def _gradient(self, batch: Batch, labels: Tensor, size: int) -> Tensor:
        """Compute the gradients of a step; return the mean loss of each member."""
        device = self._first.task.device
        state = _random_state(device)
        while True:
            self._problem.zero_grad()
            try:
                if self._micro >= size:
                    value = self._problem.losses(batch, labels).sum(-1) / size
                    value.sum().backward()
                    return value.detach()
                if self._coupled:
                    return self._in_two_passes(batch, labels, size)
                return self._accumulated(batch, labels, size)
            except (RuntimeError, MemoryError) as error:
                self._micro = memory.halved(min(self._micro, size), error)
            # Only here, after the failed pass and its tensors have gone out of scope.
            memory.release(device)
            _set_random_state(state, device)
            for member in self._members:
                member.micro_batch = (self._planned, self._micro)

    def _accumulated(self, batch: Batch, labels: Tensor, size: int) -> Tensor:
        """Gradients of a batch, accumulated from micro-batches."""
        total = torch.zeros(len(self._members), device=labels.device)
        for which in self._micro_batches(size):
            losses = self._problem.losses(*self._problem.part(batch, labels, which))
            value = losses.sum(-1) / size
            value.sum().backward()
            total += value.detach()
        return total

    def _in_two_passes(self, batch: Batch, labels: Tensor, size: int) -> Tensor:
        """Gradients from micro-batches for a loss that needs the logits of the whole batch.

        The first pass computes all logits and the loss's gradient with respect to them; the second
        runs every micro-batch again and propagates that gradient.
        """
        device, problem = self._first.task.device, self._problem
        states, parts = [], []
        with torch.no_grad():
            for which in self._micro_batches(size):
                states.append(_random_state(device))
                parts.append(problem.logits(problem.part(batch, labels, which)[0]))
        logits = torch.cat(parts, dim=-2).requires_grad_()
        value = problem.losses(batch, labels, logits).sum(-1) / size
        value.sum().backward()
        assert logits.grad is not None
        for which, state in zip(self._micro_batches(size), states, strict=True):
            _set_random_state(state, device)
            again = problem.logits(problem.part(batch, labels, which)[0])
            again.backward(logits.grad[..., which, :])
        return value.detach()

    def _micro_batches(self, size: int) -> list[slice]:
        return [slice(low, low + self._micro) for low in range(0, size, self._micro)]


def _random_state(device: torch.device) -> list[Tensor]:
    """Torch's random states of the CPU and of a GPU."""
    states = [torch.get_rng_state()]
    return [*states, torch.cuda.get_rng_state(device)] if device.type == "cuda" else states


def _set_random_state(states: list[Tensor], device: torch.device) -> None:
    torch.set_rng_state(states[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states[1], device)


def _order(task: Task, sampler: str, epoch: int) -> NDArray[np.int64]:
    """(N,) positions of an epoch's samples, in order."""
    if sampler == "natural":
        return task.epoch_order(epoch)
    if task.kind != "single":
        raise ValueError("the balanced sampler is for single-label data")
    # Each class contributes its shuffled samples in repeated rounds. The final order is keyed by
    # sample and round, so that it depends neither on the order of classes nor on other classes.
    labels = task.train.labels.cpu().numpy()
    natural = task.epoch_order(epoch)
    present = np.unique(labels)
    each = math.ceil(len(labels) / len(present))
    drawn = np.concatenate([np.resize(natural[labels[natural] == c], each) for c in present])
    rounds = np.tile(np.arange(each, dtype=np.uint64), len(present))
    keys = task.train.keys[drawn] ^ randomness.sample_keys(tuple(map(str, range(each))))[rounds]
    order: NDArray[np.int64] = drawn[randomness.shuffled(keys, task.seed, "balanced", epoch)]
    return order[: len(labels)]
