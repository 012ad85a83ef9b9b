"""Options of a run that are in no record's key: where to run, and what to keep."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks import device as devices
from benchmarks.run.ray_cluster import ray_slots
from benchmarks.run.slots import Pool, Slot, slots_of
from benchmarks.sweep.settings import Sweep

SECONDS_BETWEEN_CHECKPOINTS = 10.0


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Options of a run; `of` takes them from a sweep."""

    out: Path
    data_root: Path
    device: torch.device
    offline: bool = False
    debug: bool = False
    """Raise what a method raises instead of writing a failed record."""
    save_logits: bool = False
    save_model: bool = False
    checkpoint_s: float = SECONDS_BETWEEN_CHECKPOINTS
    """Least time between two writes of a cell's training state."""
    live: bool = False
    """Pass on what methods log while they fit, for trackers."""
    isolated: bool = False
    """The process fits and does nothing else; an exit or an interruption is a failed cell."""
    cell_timeout: float | None = None
    """Seconds after which a cell that has no result fails; None waits for ever."""
    max_failures: int | None = None
    """Failed cells after which no more are started; None starts all."""
    deterministic: bool = True
    """Use algorithms that repeat their numbers, at some cost."""
    slots: tuple[Slot, ...] = (Slot(Pool(math.inf)),)
    """Places where units of work run side by side."""
    threads: int | None = None
    """Threads of a process that fits; None leaves the choice to torch."""

    @classmethod
    def of(
        cls, sweep: Sweep, slots: Sequence[Slot] | None = None, *, debug: bool = False
    ) -> RunOptions:
        """Return the options of a sweep, with a device that this machine has.

        Args:
            sweep: the request.
            slots: places on this machine, by default as the sweep asks for; with `--ray`, those of
                the cluster are used.
            debug: see `RunOptions.debug`.

        Raises:
            UserError: the sweep names a device, a GPU or a cluster that is not available.
        """
        device = devices.pick(sweep.device)
        on_ray = ray_slots(sweep, gpu=device.type == "cuda") if sweep.ray else None
        return cls(
            # Absolute, because a method may change the working directory.
            out=sweep.out.absolute(),
            data_root=sweep.data_root.absolute(),
            device=device,
            offline=sweep.offline,
            debug=debug,
            save_logits=sweep.save_logits,
            save_model=sweep.save_model,
            live=bool(sweep.track),
            cell_timeout=sweep.cell_timeout,
            max_failures=sweep.max_failures,
            deterministic=not sweep.no_deterministic,
            slots=tuple(on_ray or slots or slots_of(sweep)),
        )
