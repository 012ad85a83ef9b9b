"""The adapter step in single precision, in bf16, and in LIFT's published code, side by side."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks import backbones
from benchmarks import device as devices
from benchmarks.tools.speed import theirs
from benchmarks.tools.speed.machine import Machine
from benchmarks.tools.speed.step import BACKBONE, lift, noise, step
from benchmarks.tools.speed.step import rows as of_adapters
from benchmarks.tools.speed.timing import Row, fastest

CLASSES = 100


def rows(machine: Machine) -> list[Row]:
    """Measure the steps of `step.rows`, and lift's in both precisions."""
    return [*of_adapters(machine), *side_by_side(machine)]


def side_by_side(machine: Machine) -> list[Row]:
    """Measure lift's step, and the published one if its code is at hand, in turns."""
    precisions = ["fp32", "bf16"] if devices.has_bf16(machine.device) else ["fp32"]
    steps: dict[str, Callable[[], None]] = {}
    for precision in precisions:
        backbone = backbones.load(BACKBONE, device=machine.device, precision=precision)
        steps[f"ours {precision}"] = step(backbone, machine, lift(backbone, CLASSES))
        if machine.theirs is not None:
            images = noise(backbone, machine.batch)
            steps[f"theirs {precision}"] = theirs.step(machine.theirs, images, CLASSES, precision)
    best = fastest(steps, machine.device, turns=max(2, machine.turns // 2))
    where = f"{BACKBONE}, batch {machine.batch}, {CLASSES} classes"
    found = [Row("lift step, fp32", best["ours fp32"], None, where)]
    if "bf16" in precisions:
        note = f"{where}; bound: the same in fp32"
        found.append(Row("lift step, bf16", best["ours bf16"], best["ours fp32"], note))
    if machine.theirs is not None:
        note = f"{where}; the authors' code; bound: the suite's step in that precision"
        found += [
            Row(f"LIFT's own step, {name}", best[f"theirs {name}"], best[f"ours {name}"], note)
            for name in precisions
        ]
    return found
