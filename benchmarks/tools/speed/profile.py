"""Shares of a training step's time by kind of operation, with open_clip's blocks and with ours."""

from __future__ import annotations

from collections.abc import Callable

from torch.profiler import ProfilerActivity, profile

from benchmarks import backbones
from benchmarks.tools.speed.machine import Machine
from benchmarks.tools.speed.step import BACKBONE, OnOpenClip, lift, step
from benchmarks.tools.speed.timing import Row

KINDS = {
    "matrix products": ("mm", "bmm", "baddbmm"),
    "fused attention": ("scaled_dot_product", "flash", "efficient_attention", "cudnn_attention"),
    "softmax": ("softmax",),
    "GELU": ("gelu",),
    "layer norm": ("layer_norm",),
    "copies": ("copy_", "cat", "clone", "contiguous"),
}
"""Parts of the names of torch's operations; names of products end in them."""


def rows(machine: Machine) -> list[Row]:
    """Return the shares of lift's step on open_clip's blocks, then on ours."""
    backbone = backbones.load(BACKBONE, device=machine.device, precision=machine.precision)
    before = step(backbone, machine, OnOpenClip(backbone, 100))
    after = step(backbone, machine, lift(backbone, 100))
    found = []
    for name, run in (("before", before), ("after", after)):
        shares = by_kind(run, machine)
        total = sum(shares.values())
        found += [
            Row(f"{name}: {kind}", seconds, total, "bound: the whole step; ratio: its share")
            for kind, seconds in shares.items()
        ]
    return found


def by_kind(run: Callable[[], None], machine: Machine) -> dict[str, float]:
    """Return the seconds that one run spends in each kind of operation, largest first."""
    on = [ProfilerActivity.CPU]
    if machine.device.type == "cuda":
        on.append(ProfilerActivity.CUDA)
    run()
    with profile(activities=on) as profiled:
        run()
    found: dict[str, float] = {}
    for event in profiled.key_averages():
        own = event.self_device_time_total if len(on) > 1 else event.self_cpu_time_total
        found[_kind(event.key)] = found.get(_kind(event.key), 0.0) + own * 1e-6
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _kind(operation: str) -> str:
    name = operation.removeprefix("aten::")
    for kind, parts in KINDS.items():
        if kind == "matrix products":
            if name.endswith(parts):
                return kind
        elif any(part in name for part in parts):
            return kind
    return "everything else"
