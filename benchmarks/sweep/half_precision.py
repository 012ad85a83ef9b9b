"""Seconds that `--precision bf16` would save on a CPU, where `auto` is fp32: records must repeat.

A plan reads what Linux lists of the processor. That takes no time and proves nothing: some virtual
machines list instructions that they do not have, and only a product in a process of its own tells
(`benchmarks.device.has_bf16`), which takes the seconds of an import of torch.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import Path

from benchmarks import device as devices
from benchmarks.sweep.cell import Cell
from benchmarks.sweep.estimate import Estimator, serves, towers_of
from benchmarks.sweep.settings import Sweep
from methods.registry import info_of

CPU_INFO = Path("/proc/cpuinfo")
_INSTRUCTIONS = re.compile(r"\b(amx_bf16|avx512_bf16|bf16)\b")
STEP_RATIO = 0.44
"""Time of an adapter step in bf16 divided by that in fp32 (ViT-B/16), by
`python -m benchmarks.speed step`: 0.44 on an AMD EPYC, half of that on an Intel Xeon with AMX. The
larger one counts."""
VIT_OPERATIONS = 5e9
"""Operations of an image in the tower from which on this holds: a ViT-B/32 has 8.5e9. The products
of smaller towers, such as the embedded one, are too small to gain."""


def seconds_saved(cells: Iterable[Cell], estimator: Estimator, sweep: Sweep) -> float:
    """Return the seconds of cells that bf16 would save; 0 where it is no choice or does not pay."""
    if sweep.precision != "auto" or devices.kind(sweep.device) != "cpu" or not _listed():
        return 0.0
    return (1 - STEP_RATIO) * math.fsum(
        estimator.cell(cell).seconds or 0.0 for cell in cells if _pays(cell)
    )


def _pays(cell: Cell) -> bool:
    """Return True for a method that trains on images with a tower of the size of a ViT."""
    if not serves(cell) or info_of(cell.method).needs != "images":
        return False
    towers = towers_of(cell.backbone, cell.image_size)
    return towers is not None and bool(towers.image_tokens) and towers.image >= VIT_OPERATIONS


def _listed() -> bool:
    """Return True if Linux lists instructions for products in bfloat16."""
    try:
        text = CPU_INFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return _INSTRUCTIONS.search(text) is not None
