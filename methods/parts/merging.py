"""Merging of weights: states of modules of one architecture, interpolated or averaged.

Networks that were trained from the same start often lie in one basin of the loss, so that the mean
of their weights is a network again (Wortsman et al. 2022, arXiv 2203.05482 and 2109.01903).

    before = copied(module.state_dict())
    train(task, module, …)
    module.load_state_dict(interpolated(before, module.state_dict(), 0.5))

A state maps names to tensors, as `state_dict` returns it. Numbers that are not floating-point
(counters, indices) are taken from the last state. C classes play no role: a merge acts on each
number alone, so permuting the classes permutes the result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

State = Mapping[str, Tensor]


def copied(state: State) -> dict[str, Tensor]:
    """A copy of a state that later training does not change."""
    return {name: tensor.detach().clone() for name, tensor in state.items()}


@torch.no_grad()
def interpolated(first: State, second: State, share: float) -> dict[str, Tensor]:
    """(1 - share) * first + share * second, number by number.

    Args:
        first: the state at share 0.
        second: the state at share 1.
        share: any number; beyond [0, 1] it extrapolates.

    Raises:
        ValueError: the states have different names or shapes.
    """
    _refuse_different(first, second)
    return {
        name: (1 - share) * first[name] + share * last if last.is_floating_point() else last.clone()
        for name, last in second.items()
    }


@torch.no_grad()
def averaged(states: Sequence[State]) -> dict[str, Tensor]:
    """The mean of one or more states.

    Raises:
        ValueError: the states have different names or shapes.
    """
    found = copied(states[0])
    for number, state in enumerate(states[1:], 2):
        found = interpolated(found, state, 1 / number)
    return found


def _refuse_different(first: State, second: State) -> None:
    if first.keys() != second.keys() or any(first[k].shape != second[k].shape for k in second):
        raise ValueError("weights of different architectures cannot be merged")
