"""Sweeps for tests of the plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.sweep import plan
from benchmarks.sweep.settings import Sweep, read_sweep


def sweep_of(folder: Path, methods: str = "linear_probe", **flags: Any) -> Sweep:
    defaults = {"datasets": "glyphs100_lt", "backbone": f"local-dir:{folder}", "device": "cpu"}
    return read_sweep(None, {"methods": methods} | defaults | flags)


def keys_of(sweep: Sweep) -> list[str]:
    return [cell.key for cell in plan.expand(sweep).cells]
