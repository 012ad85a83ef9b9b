"""What the training loop sees: a module with its loss and optimiser, of one training or of several.

S members, B samples a step, b a micro-batch.
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
from methods.parts.training.schedules import Recipe


class Problem(ABC):
    """One module (`Alone`) or several as one (`stacking.Stacked`), whose tensors lead with S."""

    optimiser: torch.optim.Optimizer

    @abstractmethod
    def refresh(self) -> None:
        """Take up what the losses changed with the epoch."""

    @abstractmethod
    def batches(
        self, parts: Sequence[NDArray[Any]], stream: tuple[Any, ...]
    ) -> Iterator[tuple[Batch, Tensor]]:
        """Samples and their labels, step by step.

        Args:
            parts: (S, B) positions in the training split for each step.
            stream: key of the augmentation.
        """

    @abstractmethod
    def part(self, batch: Batch, labels: Tensor, which: slice) -> tuple[Batch, Tensor]:
        """Some of a step's samples."""

    @abstractmethod
    def logits(self, batch: Batch) -> Tensor:
        """([S,] b, C) in single precision or better."""

    @abstractmethod
    def losses(self, batch: Batch, labels: Tensor, logits: Tensor | None = None) -> Tensor:
        """([S,] b) losses, of logits ([S,] b, C) where they are known."""

    @abstractmethod
    def zero_grad(self) -> None:
        """Forget the gradients."""

    def step(self) -> None:
        """Update the parameters by their gradients."""
        self.optimiser.step()

    @abstractmethod
    def optimiser_state(self, number: int) -> list[dict[str, Any]]:
        """What the optimiser keeps for a member, one entry a parameter."""


class Alone(Problem):
    """One module, called as it is."""

    def __init__(self, member: Member) -> None:
        self._member = member
        self._asked = member.asked
        self.optimiser = optimiser_of([(list(member.parameters), member.asked.recipe)])
        for parameter, state in zip(member.parameters, member.optimiser_state, strict=False):
            self.optimiser.state[parameter] = moved(state, parameter.device)

    def refresh(self) -> None:
        """There is nothing to take up: the loss is called as it is."""

    def batches(
        self, parts: Sequence[NDArray[Any]], stream: tuple[Any, ...]
    ) -> Iterator[tuple[Batch, Tensor]]:
        samples, needs = self._asked.task.train, self._asked.needs
        rows = [part[0] for part in parts]
        augment = self._asked.recipe.augment
        for batch in samples.loader(rows, needs=needs, augment=augment, stream=stream):
            yield batch, labels_of(samples, batch)

    def part(self, batch: Batch, labels: Tensor, which: slice) -> tuple[Batch, Tensor]:
        return batch[which], labels[which]

    def logits(self, batch: Batch) -> Tensor:
        with self._asked.task.backbone.precision_for(self._asked.needs):
            logits = self._asked.module(batch)
        return full(logits)

    def losses(self, batch: Batch, labels: Tensor, logits: Tensor | None = None) -> Tensor:
        logits = self.logits(batch) if logits is None else logits
        return one_a_sample(self._asked.loss(logits, labels, batch), len(batch))

    def zero_grad(self) -> None:
        for parameter in self._member.parameters:
            parameter.grad = None

    def optimiser_state(self, number: int) -> list[dict[str, Any]]:
        return [dict(self.optimiser.state[p]) for p in self._member.parameters]


def optimiser_of(groups: Sequence[tuple[list[Tensor], Recipe]]) -> torch.optim.Optimizer:
    """One optimiser for several groups of parameters.

    Args:
        groups: parameters and how to train them, by recipes that differ in nothing but the learning
            rate and the decay. The rate of a group before the schedule is its `peak`.
    """
    recipe = groups[0][1]
    given: list[dict[str, Any]] = [
        {"params": parameters, "lr": own.lr, "peak": own.lr, "weight_decay": own.weight_decay}
        for parameters, own in groups
    ]
    # One pass over the memory in place of one for each part of the update.
    fused = all(p.device.type in ("cpu", "cuda") for parameters, _ in groups for p in parameters)
    if recipe.optimiser == "adamw":
        return torch.optim.AdamW(given, eps=recipe.eps, fused=fused)
    return torch.optim.SGD(given, momentum=recipe.momentum, fused=fused)


def moved(state: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """A state of the optimiser on a device."""
    return {k: v.to(device) if isinstance(v, Tensor) else v for k, v in state.items()}


def labels_of(samples: Samples, batch: Batch) -> Tensor:
    """The labels of a batch's samples."""
    return samples.labels[batch.index.to(samples.labels.device)]


def full(logits: Tensor) -> Tensor:
    """Logits in single precision where they are in half; double precision stays."""
    return logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits


def one_a_sample(losses: Tensor, samples: int) -> Tensor:
    """The losses, unless there is another number of them than samples.

    Raises:
        ValueError: a mean, for example, would train at a fraction of the rate and say nothing.
    """
    if losses.shape != (samples,):
        raise ValueError(
            f"the loss must give one value a sample, ({samples},), "
            f"not {tuple(losses.shape)}: use reduction='none'"
        )
    return losses
