"""The one training loop: optimiser, schedule, random state, accumulation, validation, checkpoints.

A method supplies a loss and a module that maps a batch to logits; only parameters that require a
gradient are trained. The state after each epoch goes to the task's checkpoint. Sample order,
augmentation and torch's random state are functions of (seed, stage, epoch), so a run that was
interrupted and resumed ends at the same numbers as one that was not.

`train` runs one `Training`. A method that writes its fit as `learn` (see `training/learning.py`)
yields its trainings instead, and those of several seeds or grid points run through the loop
together: in turns, a step of each, on tensors of its own. Every operation is that of a training
alone, on the same shapes, so the numbers of a training do not depend on the others. They share the
call of the optimiser. A method that trains several modules one after another gives each training a
`Stage`.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks import memory, randomness
from methods.base import Batch, Predictor, Progress, Task
from methods.parts.losses.base import Loss, LossFunction
from methods.parts.training.gradients import Gradients
from methods.parts.training.members import Member
from methods.parts.training.optimisers import anneal, optimiser_of, take_up
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
    run([member])
    return member.predictor()


# ---- the loop ------------------------------------------------------------------------------------


def run(members: Sequence[Member]) -> None:
    """Train until the last epoch. An error ends the training that it concerns, not the others.

    Args:
        members: one member, or a group from `groups.trained_together`.
    """
    loop = _Loop(members)
    for epoch in range(members[0].start, members[0].request.schedule.epochs):
        loop.epoch(epoch)
    for member in members:
        if member.error is None:
            member.ended()


class _Loop:
    """The epochs of one training, or of several in turns."""

    def __init__(self, members: Sequence[Member]) -> None:
        for member in members:
            member.group_size = len(members)
        self._first = members[0].request
        self._optimiser = optimiser_of(
            [(list[Tensor](member.parameters), member.request.schedule) for member in members]
        )
        for member in members:
            take_up(self._optimiser, list[Tensor](member.parameters), member.optimiser_state)
        self._turns = [_Turn(member) for member in members]
        self._progress: list[Progress] = []
        for member in members:  # bound methods of one display are equal: it is notified once
            if member.request.task.progress not in self._progress:
                self._progress.append(member.request.task.progress)

    def epoch(self, epoch: int) -> None:
        """Train for one epoch, then score and save."""
        schedule, stage, task = self._first.schedule, self._first.stage, self._first.task
        self._turns = [turn for turn in self._turns if turn.member.error is None]
        if not self._turns:
            return
        now = stage.epochs_before + epoch
        epochs = stage.epochs_before + schedule.epochs + stage.epochs_after
        steps = max(turn.start(epoch) for turn in self._turns)
        self._anneal(epoch, steps)
        with randomness.seeded(task.seed, "epoch", now, device=task.device):
            try:
                for step in range(steps):
                    turns = [turn for turn in self._turns if turn.step()]
                    if not turns:
                        break
                    if schedule.anneal == "step":
                        self._anneal(epoch + step / steps, steps)
                    self._optimiser.step()
                    for turn in turns:
                        turn.member.stepped()
                    for progress in self._progress:
                        progress(now, epochs, step + 1, steps)
            finally:
                for turn in self._turns:
                    turn.stop()
        for turn in self._turns:
            if turn.member.error is None:
                turn.over(epoch, self._optimiser)

    def _anneal(self, done: float, steps: int) -> None:
        schedule = self._first.schedule
        anneal(self._optimiser, done, schedule.epochs, warmup=schedule.warmup, steps=steps)


class _Turn:
    """One training in the loop."""

    def __init__(self, member: Member) -> None:
        self.member = member
        self._gradients = Gradients(member)
        self._batches: Generator[tuple[Batch, Tensor]]
        self._total: Tensor
        self._steps = 0

    def start(self, epoch: int) -> int:
        """Begin an epoch; return its number of steps."""
        request = self.member.request
        task, schedule = request.task, request.schedule
        if isinstance(request.loss, Loss):
            request.loss.at_epoch(epoch, schedule.epochs)
        self.member.module.train()
        now = request.stage.epochs_before + epoch
        order = _order(task, schedule.sampler, now)
        size = schedule.batch_size
        parts = [order[low : low + size] for low in range(0, len(order), size)]
        self._batches = self._gradients.batches(parts, (task.seed, now))
        self._total = torch.zeros((), device=task.device)
        self._steps = len(parts)
        return self._steps

    def step(self) -> bool:
        """Compute the gradients of a step; False if the training fails or failed before."""
        if self.member.error is not None:
            return False
        batch, labels = next(self._batches)
        try:
            self._total += self._gradients.compute(batch, labels)
        except Exception as error:
            # An error of memory has a traceback that keeps the tensors of the step.
            short = self.member.group_size > 1 and memory.is_out_of_memory(error)
            self.member.error = memory.OutOfMemory() if short else error
            for parameter in self.member.parameters:
                parameter.grad = None
            return False
        return True

    def stop(self) -> None:
        """End the epoch's loading."""
        self._batches.close()

    def over(self, epoch: int, optimiser: torch.optim.Optimizer) -> None:
        """Fail if the loss is not finite, otherwise score and save."""
        # Read once per epoch: a check at every step would make the host wait for the device.
        total = float(self._total)
        if math.isfinite(total):
            states = [dict(optimiser.state[p]) for p in self.member.parameters]
            self.member.epoch_over(epoch, total / self._steps, states)
        else:
            self.member.error = ValueError(
                f"the training loss became {total} in epoch {epoch + 1}; lower the learning rate"
            )


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
