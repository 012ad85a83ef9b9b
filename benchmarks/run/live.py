"""Numbers by epoch that leave a fit while it lasts, for trackers."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook

from benchmarks.run.border import checked_curves
from methods.base import Task

Listener = Callable[[str, float, float], None]
"""Receives the name of a curve, an epoch and a value."""
RATE = "lr"
"""The curve of the learning rate."""


class LastOptimiser:
    """The optimiser that took the last step in this process."""

    def __init__(self) -> None:
        self._last: weakref.ref[Optimizer] | None = None

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watch the steps of all optimisers of torch."""

        def note(optimiser: Optimizer, *_: Any) -> None:
            self._last = weakref.ref(optimiser)

        hook = register_optimizer_step_post_hook(note)
        try:
            yield
        finally:
            hook.remove()
            self._last = None

    def rate(self, addresses: set[int]) -> float | None:
        """Return the learning rate of a training; None if there is none, or more than one.

        Args:
            addresses: of tensors of its module. Trainings that take their steps in turns share an
                optimiser, with a group of parameters for each.
        """
        optimiser = None if self._last is None else self._last()
        if optimiser is None:
            return None
        groups = optimiser.param_groups
        own = [g for g in groups if g["params"] and g["params"][0].data_ptr() in addresses]
        rates = {float(group["lr"]) for group in own or groups}
        return rates.pop() if len(rates) == 1 else None


@dataclass
class LiveTask(Task):
    """A task that passes on what its method logs, with the learning rate of each epoch.

    The rate becomes a curve of the record, so that a resumed fit passes on that of earlier epochs.
    """

    listener: Listener = lambda name, epoch, value: None
    optimiser: LastOptimiser = field(default_factory=LastOptimiser)

    def __post_init__(self) -> None:
        self.started = self._module_started
        self._addresses: set[int] = set()
        self._silent = True

    def log(self, name: str, epoch: float, value: float) -> None:
        """See `Task.log`."""
        super().log(name, epoch, value)
        new = [name]
        if name == "loss" and (rate := self.optimiser.rate(self._addresses)) is not None:
            super().log(RATE, epoch, rate)
            new.append(RATE)
        if self._silent:  # a checkpoint may have brought earlier epochs back
            self._silent = False
            self._pass_on(self.curves)
        else:
            self._pass_on({name: {epoch: self.curves[name][epoch]} for name in new})

    def _module_started(self, stage: int, state: Mapping[str, Tensor]) -> None:
        self._addresses = {tensor.data_ptr() for tensor in state.values()}

    def _pass_on(self, curves: Mapping[str, Mapping[float, float]]) -> None:
        try:
            found = checked_curves(curves)
        except (TypeError, ValueError):  # the cell will fail for it
            return
        for name, points in found.items():
            for epoch, value in points:
                self.listener(name, epoch, value)
