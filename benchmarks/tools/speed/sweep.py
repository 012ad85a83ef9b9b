"""Overhead of a large sweep in addition to its fits: start, plan, report, and the runner itself.

Commands run in separate processes. Bounds: a bare interpreter that imports NumPy and rich; hashing
the specifications of the cells; parsing the JSON of the records; writing the same bytes to disk and
flushing them.
"""

from __future__ import annotations

import sys

from benchmarks.tools.speed import jobs, overhead, records
from benchmarks.tools.speed.commands import process, suite
from benchmarks.tools.speed.machine import Machine
from benchmarks.tools.speed.timing import Row


def rows(machine: Machine) -> list[Row]:
    """Measure start, plan, report and the overhead of a cell; `machine.quick` takes fewer cells."""
    return [*_start(3), *records.rows(machine), *overhead.rows(machine)]


def large(machine: Machine) -> list[Row]:
    """Measure plan and report beside 100,000 records."""
    return records.large(machine)


def ratios(machine: Machine) -> list[Row]:
    """Measure the quick start and tiny cells with `--jobs` against one process."""
    return jobs.rows(machine)


def paper(machine: Machine) -> list[Row]:
    """Measure the paper table with `--jobs` against one process."""
    return jobs.paper(machine)


def _start(turns: int) -> list[Row]:
    line = [sys.executable, "-c", "import numpy, rich.console, rich.table"]
    bare = process(line, turns=turns).seconds
    return [
        Row(f"start: {name}", suite(*name.split(), turns=turns).seconds, bare,
            "bound: NumPy and rich")
        for name in ("--help", "list", "show lift")
    ]  # fmt: skip
