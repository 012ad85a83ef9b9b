"""The training loop's view of one training or several: module, loss and optimiser as one problem.

S members, B samples per step, b per micro-batch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from methods.base import Batch, Samples
from methods.parts.training.members import Member
from methods.parts.training.schedules import Schedule


class Problem(ABC):
    """One module (`Alone`), or several as one (`stacking.Stacked`) with tensors of shape (S, …)."""

    optimiser: torch.optim.Optimizer

    @abstractmethod
    def refresh(self) -> None:
        """Read tensors that the losses changed at the start of an epoch."""

    @abstractmethod
    def batches(
        self, parts: Sequence[NDArray[Any]], stream: tuple[Any, ...]
    ) -> Iterator[tuple[Batch, Tensor]]:
        """Yield the samples and labels of each step.

        Args:
            parts: (S, B) positions in the training split for each step.
            stream: key of the augmentation.
        """

    @abstractmethod
    def part(self, batch: Batch, labels: Tensor, which: slice) -> tuple[Batch, Tensor]:
        """The samples of a slice of a step."""

    @abstractmethod
    def logits(self, batch: Batch) -> Tensor:
        """([S,] b, C) logits in single precision or better."""

    @abstractmethod
    def losses(self, batch: Batch, labels: Tensor, logits: Tensor | None = None) -> Tensor:
        """([S,] b) losses; `logits` ([S,] b, C) are computed if they are not given."""

    @abstractmethod
    def zero_grad(self) -> None:
        """Drop the gradients."""

    def step(self) -> None:
        """Update the parameters from their gradients."""
        self.optimiser.step()

    @abstractmethod
    def optimiser_state(self, number: int) -> list[dict[str, Any]]:
        """The optimiser's state of a member, one entry per parameter."""


class Alone(Problem):
    """One module, called directly."""

    def __init__(self, member: Member) -> None:
        self._member = member
        self._request = member.request
        self.optimiser = optimiser_of([(list(member.parameters), member.request.schedule)])
        for parameter, state in zip(member.parameters, member.optimiser_state, strict=False):
            self.optimiser.state[parameter] = moved(state, parameter.device)

    def refresh(self) -> None:
        """Do nothing: the loss is called directly."""

    def batches(
        self, parts: Sequence[NDArray[Any]], stream: tuple[Any, ...]
    ) -> Iterator[tuple[Batch, Tensor]]:
        samples, needs = self._request.task.train, self._request.needs
        rows = [part[0] for part in parts]
        augment = self._request.schedule.augment
        for batch in samples.loader(rows, needs=needs, augment=augment, stream=stream):
            yield batch, labels_of(samples, batch)

    def part(self, batch: Batch, labels: Tensor, which: slice) -> tuple[Batch, Tensor]:
        return batch[which], labels[which]

    def logits(self, batch: Batch) -> Tensor:
        with self._request.task.backbone.precision_for(self._request.needs):
            logits = self._request.module(batch)
        return full(logits)

    def losses(self, batch: Batch, labels: Tensor, logits: Tensor | None = None) -> Tensor:
        logits = self.logits(batch) if logits is None else logits
        return one_per_sample(self._request.loss(logits, labels, batch), len(batch))

    def zero_grad(self) -> None:
        for parameter in self._member.parameters:
            parameter.grad = None

    def optimiser_state(self, number: int) -> list[dict[str, Any]]:
        return [dict(self.optimiser.state[p]) for p in self._member.parameters]


def optimiser_of(groups: Sequence[tuple[list[Tensor], Schedule]]) -> torch.optim.Optimizer:
    """One optimiser for several groups of parameters.

    Args:
        groups: parameters with their schedules, which differ in learning rate and decay only. The
            key `peak` of an optimiser group is its learning rate before the cosine factor.
    """
    schedule = groups[0][1]
    given: list[dict[str, Any]] = [
        {"params": parameters, "lr": own.lr, "peak": own.lr, "weight_decay": own.weight_decay}
        for parameters, own in groups
    ]
    # A fused update passes over the memory once.
    fused = all(p.device.type in ("cpu", "cuda") for parameters, _ in groups for p in parameters)
    if schedule.optimiser == "adamw":
        return torch.optim.AdamW(given, eps=schedule.eps, fused=fused)
    return torch.optim.SGD(given, momentum=schedule.momentum, fused=fused)


def moved(state: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """An optimiser state moved to a device."""
    return {k: v.to(device) if isinstance(v, Tensor) else v for k, v in state.items()}


def labels_of(samples: Samples, batch: Batch) -> Tensor:
    """The labels of a batch's samples."""
    return samples.labels[batch.index.to(samples.labels.device)]


def full(logits: Tensor) -> Tensor:
    """Logits, converted to single precision if they are in half precision."""
    return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits


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
