"""The one training loop: optimiser, schedule, random state, accumulation, validation, checkpoints.

A method hands over a module that maps a batch to logits and a loss; only parameters that require a
gradient are trained. The state after each epoch goes to the task's checkpoint, and because order,
augmentation and torch's own random state are functions of (seed, stage, epoch), a run that was
interrupted and resumed ends at the same numbers as one that was not.

`train` takes one `Training`. A method that writes its fit as `learn` (see `parts/learning.py`) asks
for each of its trainings instead, and those of several seeds or grid points go through the loop
together, stacked (`parts/stacking.py`). A method that trains several modules one after another
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
from methods.parts.training.members import Member
from methods.parts.training.problems import Alone, Problem
from methods.parts.training.schedules import ONLY, Loss, Recipe, Stage, Training

__all__ = ["ONLY", "Loss", "Recipe", "Stage", "Training", "run", "train"]


def train(
    task: Task,
    module: nn.Module,
    loss: Loss,
    recipe: Recipe,
    needs: str,
    stage: Stage = ONLY,
) -> Predictor:
    """Train a module by itself and return it as a predictor; arguments as of `Training`.

    A stage that was finished before an interruption is not trained again; its cost is not in the
    predictor of the next.

    Raises:
        ValueError: the loss became NaN or infinite.
    """
    member = Member(Training(task, module, loss, recipe, needs, stage))
    run([member], Alone(member))
    return member.predictor()


# ---- the loop ------------------------------------------------------------------------------------


def run(members: Sequence[Member], problem: Problem) -> None:
    """Train until the last epoch, or until no member is left whose loss is finite.

    Args:
        members: one, or a lot of `stacking.lots`.
        problem: them as one.
    """
    loop = _Loop(members, problem)
    for epoch in range(members[0].start, members[0].asked.recipe.epochs):
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
    """The epochs of a training, or of several that are stacked."""

    def __init__(self, members: Sequence[Member], problem: Problem) -> None:
        self._members = members
        self._problem = problem
        self._first = first = members[0].asked
        self._micro = self._planned = min(first.recipe.micro_batch, first.recipe.batch_size)
        self._coupled = any(getattr(m.asked.loss, "coupled", False) for m in members)
        self._progress: list[Progress] = []
        for member in members:  # bound methods of one display are equal: it is told once
            if member.asked.task.progress not in self._progress:
                self._progress.append(member.asked.task.progress)

    def epoch(self, epoch: int) -> list[float]:
        """Train for one epoch; the sum of the losses of each member's steps."""
        recipe, stage, task = self._first.recipe, self._first.stage, self._first.task
        for group in self._problem.optimiser.param_groups:  # over epochs, as LIFT's scheduler steps
            group["lr"] = group["peak"] * 0.5 * (1 + math.cos(math.pi * epoch / recipe.epochs))
        for member in self._members:
            if hasattr(member.asked.loss, "at_epoch"):
                member.asked.loss.at_epoch(epoch, recipe.epochs)
            member.module.train()
        self._problem.refresh()
        now = stage.epochs_before + epoch
        epochs = stage.epochs_before + recipe.epochs + stage.epochs_after
        orders = np.stack([_order(m.asked.task, recipe.sampler, now) for m in self._members])
        parts = [
            orders[:, low : low + recipe.batch_size]
            for low in range(0, orders.shape[1], recipe.batch_size)
        ]
        total = torch.zeros(len(self._members), device=task.device)
        with randomness.seeded(task.seed, "epoch", now, device=task.device):
            batches = self._problem.batches(parts, (task.seed, now))
            for step, (batch, labels) in enumerate(batches):
                total += self._gradient(batch, labels, parts[step].shape[1])
                self._problem.step()
                for progress in self._progress:
                    progress(now, epochs, step + 1, len(parts))
        # Looked at once an epoch: a check at every step would make the host wait for the device.
        return total.tolist()

    def _gradient(self, batch: Batch, labels: Tensor, size: int) -> Tensor:
        """Leave the gradients of a step; the mean loss of each member, or one for all."""
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
            # Only here, where the failed pass and all that it held are gone.
            memory.release(device)
            _set_random_state(state, device)
            for member in self._members:
                member.micro_batch = (self._planned, self._micro)

    def _accumulated(self, batch: Batch, labels: Tensor, size: int) -> Tensor:
        """Gradients of a batch from micro-batches."""
        total = torch.zeros(len(self._members), device=labels.device)
        for which in self._micro_batches(size):
            losses = self._problem.losses(*self._problem.part(batch, labels, which))
            value = losses.sum(-1) / size
            value.sum().backward()
            total += value.detach()
        return total

    def _in_two_passes(self, batch: Batch, labels: Tensor, size: int) -> Tensor:
        """Gradients from micro-batches where the loss has to see the logits of the whole batch.

        First the logits and the loss's gradient by them, then every micro-batch once more.
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
    """Torch's own, of the CPU and of a GPU."""
    states = [torch.get_rng_state()]
    return [*states, torch.cuda.get_rng_state(device)] if device.type == "cuda" else states


def _set_random_state(states: list[Tensor], device: torch.device) -> None:
    torch.set_rng_state(states[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states[1], device)


def _order(task: Task, sampler: str, epoch: int) -> NDArray[np.int64]:
    """The samples of an epoch in their order."""
    if sampler == "natural":
        return task.epoch_order(epoch)
    if task.kind != "single":
        raise ValueError("the balanced sampler is for single-label data")
    # Every class sends its samples, in an order of its own, round after round. Keyed by sample, so
    # that neither the order of the classes nor other classes matter.
    labels = task.train.labels.cpu().numpy()
    natural = task.epoch_order(epoch)
    present = np.unique(labels)
    each = math.ceil(len(labels) / len(present))
    drawn = np.concatenate([np.resize(natural[labels[natural] == c], each) for c in present])
    rounds = np.tile(np.arange(each, dtype=np.uint64), len(present))
    keys = task.train.keys[drawn] ^ randomness.sample_keys(tuple(map(str, range(each))))[rounds]
    order: NDArray[np.int64] = drawn[randomness.shuffled(keys, task.seed, "balanced", epoch)]
    return order[: len(labels)]
