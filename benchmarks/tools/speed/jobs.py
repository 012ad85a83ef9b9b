"""Sweeps with `--jobs N` against the same in one process with N threads, each on empty caches."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.errors import UserError
from benchmarks.tools.speed.commands import ROOT, has_flag, suite
from benchmarks.tools.speed.machine import Machine
from benchmarks.tools.speed.overhead import sweep_of_pauses
from benchmarks.tools.speed.timing import Row

HEADS_ONLY = ("--methods", "ncm,linear_probe", "--seeds", "0")
"""Methods and seeds for a quick look at the output."""


def rows(machine: Machine) -> list[Row]:
    """Measure the quick start, 200 tiny cells, and as many as there are workers for their start."""
    with tempfile.TemporaryDirectory() as name:
        folder, number = Path(name), 10 if machine.quick else 200
        tiny, few = [
            sweep_of_pauses(_made(folder / str(n)), (0,), n) for n in (number, machine.jobs)
        ]
        note = "methods that do nothing, 50 images"
        return [
            _both("quick start", _config("quick_start", machine), machine),
            _both(f"{number} tiny cells", tiny, machine, note),
            _both(f"{machine.jobs} tiny cells", few, machine, f"{note}: the workers' start"),
        ]


def paper(machine: Machine) -> list[Row]:
    """Measure the sweep of the paper table, which takes hours."""
    return [_both("paper table", _config("paper_table", machine), machine)]


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _config(name: str, machine: Machine) -> list[str]:
    words = ["--config", str(ROOT / "configs" / f"{name}.yaml")]
    return [*words, "--device", "cpu", *(HEADS_ONLY if machine.quick else ())]


def _both(what: str, words: Sequence[str], machine: Machine, note: str = "the command") -> Row:
    """Measure a sweep both ways, from the command to its report.

    Raises:
        UserError: this version has no `--jobs`.
    """
    if not has_flag("run", "--jobs"):
        raise UserError("`run` has no --jobs in this version.")
    alone = _run(words, threads=machine.jobs)
    # No number of threads here: it would be that of each process.
    side_by_side = _run([*words, "--jobs", str(machine.jobs)])
    return Row(
        f"{what}, --jobs {machine.jobs}", side_by_side, alone,
        f"{note}, on empty caches; bound: one process with {machine.jobs} threads",
    )  # fmt: skip


def _run(words: Sequence[str], threads: int | None = None) -> float:
    with tempfile.TemporaryDirectory() as name:
        out, cache = Path(name) / "out", Path(name) / "cache"
        return suite("run", *words, "--out", str(out), cache=cache, threads=threads).seconds
