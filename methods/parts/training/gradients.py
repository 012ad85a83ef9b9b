"""Gradients of one training: batches, logits, losses, and micro-batches where memory is short.

B samples per step, b per micro-batch, C classes.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks import memory, randomness
from benchmarks.augment import in_epoch
from methods.base import Batch, Samples
from methods.parts.losses.base import is_coupled
from methods.parts.training.members import Member

RandomState = list[Tensor]
"""Torch's random states of the CPU and of a GPU."""


class Gradients:
    """The steps of one training up to its gradients, with a random state of its own.

    Args:
        member: the training.
    """

    def __init__(self, member: Member) -> None:
        self._member = member
        self._request = request = member.request
        schedule = request.schedule
        self._micro = self._planned = min(schedule.micro_batch, schedule.batch_size)
        self._coupled = is_coupled(request.loss)
        self._random = _random_state(request.task.device)

    def batches(
        self, parts: Sequence[NDArray[Any]], stream: tuple[int, int]
    ) -> Generator[tuple[Batch, Tensor]]:
        """Begin an epoch; yield the samples and labels of each of its steps.

        Args:
            parts: (B,) positions in the training split for each step.
            stream: seed and epoch, the key of augmentation and random state.
        """
        seed, epoch = stream
        device, samples = self._request.task.device, self._request.task.train
        with randomness.seeded(seed, "epoch", epoch, device=device):
            self._random = _random_state(device)
        needs, stage, schedule = self._request.needs, self._request.stage, self._request.schedule
        augment = in_epoch(schedule.augment, epoch - stage.epochs_before, schedule.epochs)
        for batch in samples.loader(parts, needs=needs, augment=augment, stream=stream):
            yield batch, labels_of(samples, batch)

    def compute(self, batch: Batch, labels: Tensor) -> Tensor:
        """Set the gradients of a step; return its mean loss, without a gradient.

        A batch that does not fit into memory is repeated in smaller parts, unless others trained at
        the same time take up memory, too: alone it may fit.
        """
        device, size = self._request.task.device, len(batch)
        while True:
            _set_random_state(self._random, device)
            for parameter in self._member.parameters:
                parameter.grad = None
            try:
                value = self._step(batch, labels)
                self._random = _random_state(device)
                return value
            except (RuntimeError, MemoryError) as error:
                if self._member.group_size > 1:
                    raise
                self._micro = memory.halved(min(self._micro, size), error)
            # Only here, after the failed pass and its tensors have gone out of scope.
            memory.release(device)
            self._member.micro_batch = (self._planned, self._micro)

    def _step(self, batch: Batch, labels: Tensor) -> Tensor:
        size = len(batch)
        if self._micro < size and self._coupled:
            return self._in_two_passes(batch, labels)
        total = torch.zeros((), device=labels.device)
        for which in self._micro_batches(size):
            part = batch if self._micro >= size else batch[which]
            value = self._losses(self._logits(part), part, labels[which]).sum() / size
            value.backward()
            total += value.detach()
        return total

    def _in_two_passes(self, batch: Batch, labels: Tensor) -> Tensor:
        """Gradients from micro-batches for a loss that needs the logits of the whole batch.

        The first pass computes all logits and the loss's gradient with respect to them; the second
        runs every micro-batch again and propagates that gradient.
        """
        device, size = self._request.task.device, len(batch)
        states, parts = [], []
        with torch.no_grad():
            for which in self._micro_batches(size):
                states.append(_random_state(device))
                parts.append(self._logits(batch[which]))
        logits = torch.cat(parts).requires_grad_()
        value = self._losses(logits, batch, labels).sum() / size
        value.backward()
        assert logits.grad is not None
        for which, state in zip(self._micro_batches(size), states, strict=True):
            _set_random_state(state, device)
            self._logits(batch[which]).backward(logits.grad[which])
        return value.detach()

    def _micro_batches(self, size: int) -> list[slice]:
        return [slice(low, low + self._micro) for low in range(0, size, self._micro)]

    def _logits(self, batch: Batch) -> Tensor:
        """(b, C) logits in single precision or better."""
        with self._request.task.backbone.precision_for(self._request.needs):
            logits: Tensor = self._request.module(batch)
        return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits

    def _losses(self, logits: Tensor, batch: Batch, labels: Tensor) -> Tensor:
        return one_per_sample(self._request.loss(logits, labels, batch), len(batch))


def labels_of(samples: Samples, batch: Batch) -> Tensor:
    """The labels of a batch's samples."""
    return samples.labels[batch.index.to(samples.labels.device)]


def one_per_sample(losses: Tensor, samples: int) -> Tensor:
    """Return the losses if there is one per sample.

    Raises:
        ValueError: the shape is another. A mean, for example, would silently train at a fraction of
            the learning rate.
    """
    if losses.shape != (samples,):
        raise ValueError(
            f"the loss must return one value per sample, ({samples},), "
            f"not {tuple(losses.shape)}: use reduction='none'"
        )
    return losses


def _random_state(device: torch.device) -> RandomState:
    states = [torch.get_rng_state()]
    return [*states, torch.cuda.get_rng_state(device)] if device.type == "cuda" else states


def _set_random_state(states: RandomState, device: torch.device) -> None:
    torch.set_rng_state(states[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states[1], device)
