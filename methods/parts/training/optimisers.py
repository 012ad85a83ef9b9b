"""One optimiser for several trainings, each with its own rates and state."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from methods.parts.training.schedules import Schedule


def optimiser_of(trainings: Sequence[tuple[list[Tensor], Schedule]]) -> torch.optim.Optimizer:
    """One optimiser for the parameters of several trainings.

    Each training is a group of its own, so that its update is the call of a training alone.

    Args:
        trainings: parameters with their schedules, which differ in learning rates and decay only.
            The keys `peak` and `floor` of an optimiser group are the ends of its cosine.
    """
    schedule = trainings[0][1]
    given: list[dict[str, Any]] = [
        {
            "params": parameters, "weight_decay": own.weight_decay,
            "lr": own.lr, "peak": own.lr, "floor": own.floor,
        }
        for parameters, own in trainings
    ]  # fmt: skip
    # A fused update passes over the memory once.
    fused = all(p.device.type in ("cpu", "cuda") for parameters, _ in trainings for p in parameters)
    if schedule.optimiser == "adamw":
        return torch.optim.AdamW(given, eps=schedule.eps, fused=fused)
    if schedule.optimiser == "adam":
        return torch.optim.Adam(given, eps=schedule.eps, fused=fused)
    nesterov = schedule.optimiser == "nesterov"
    return torch.optim.SGD(given, momentum=schedule.momentum, nesterov=nesterov, fused=fused)


def take_up(
    optimiser: torch.optim.Optimizer, parameters: list[Tensor], states: list[dict[str, Any]]
) -> None:
    """Resume from the states of parameters that an interrupted run saved, or from none."""
    if states:
        for parameter, state in zip(parameters, states, strict=True):
            optimiser.state[parameter] = {
                name: value.to(parameter.device) if isinstance(value, Tensor) else value
                for name, value in state.items()
            }


def anneal(
    optimiser: torch.optim.Optimizer, done: float, epochs: int, *, warmup: int = 0, steps: int = 1
) -> None:
    """Set the learning rates on the cosine from their peaks to their floors.

    A warm-up comes first: it begins at a millionth of the peak and reaches it after `warmup` steps,
    and the cosine begins with the next step (as in the code of LT-Soups).

    Args:
        optimiser: from `optimiser_of`.
        done: epochs trained so far; a fraction within an epoch.
        epochs: all epochs of the training.
        warmup: steps of the warm-up.
        steps: steps of an epoch.
    """
    step = round(done * steps)
    if warmup:
        done, epochs = max(step - warmup - 1, 0), epochs * steps - warmup
    for group in optimiser.param_groups:
        fall = group["peak"] - group["floor"]
        group["lr"] = group["floor"] + fall * 0.5 * (1 + math.cos(math.pi * done / epochs))
        if step < warmup:
            group["lr"] = group["peak"] * (1e-6 + (1 - 1e-6) * step / warmup)
