"""Moving averages of parameters over the steps of a training.

After the first step the average is the parameters themselves, then decay * average +
(1 - decay) * parameters (torch's `AveragedModel` with `get_ema_avg_fn`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor


class Average:
    """The moving average of some parameters.

    Args:
        parameters: the parameters.
        decay: share of the average that stays at each step, from 0 to below 1.
    """

    def __init__(self, parameters: Sequence[Tensor], decay: float) -> None:
        self._parameters = list(parameters)
        self._decay = decay
        self.values: list[Tensor] = []
        """One per parameter; empty before the first step."""

    def resume(self, values: Sequence[Tensor]) -> None:
        """Continue from the values of an interrupted training."""
        self.values = [v.to(p) for v, p in zip(values, self._parameters, strict=True)]

    @torch.no_grad()
    def stepped(self) -> None:
        """Take in the parameters after a step."""
        now = [parameter.detach() for parameter in self._parameters]
        if self.values:
            torch._foreach_lerp_(self.values, now, 1 - self._decay)
        else:
            self.values = [value.clone() for value in now]

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Put the average in place of the parameters for a while."""
        before = [parameter.detach().clone() for parameter in self._parameters]
        self.put()
        try:
            yield
        finally:
            self._copy(before)

    def put(self) -> None:
        """Put the average in place of the parameters for good."""
        self._copy(self.values)

    @torch.no_grad()
    def _copy(self, values: Sequence[Tensor]) -> None:
        for parameter, value in zip(self._parameters, values, strict=True):
            parameter.copy_(value)
