"""Time of a cell besides its method, in one process and in each engine that is at hand.

Two times: how much longer a cell takes than its method, of which most is the protection of what the
worker shares, and the processor time of the driver alone, which limits how many workers it serves.

The methods wait 0 to 10 ms. The time of a cell is that from the first record of a sweep to the
last, divided by their number, so that it has no part in plan, report and the start of workers.
From it go the seconds that the records say for the method (`fit_s`, `eval_s`), divided by the
workers that share them.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from benchmarks.limits import visible_processors
from benchmarks.packages import missing
from benchmarks.tools.speed.commands import Ended, has_flag, suite
from benchmarks.tools.speed.machine import Machine
from benchmarks.tools.speed.timing import Row
from results.schema import Record
from results.store import Store

PAUSE = '''
import time
from dataclasses import dataclass
import torch
from methods.base import Method, Predictor
from methods.registry import register

@register("pause", paper="-", needs="features")
@dataclass(frozen=True)
class Pause(Method):
    """Waits."""

    ms: float = 0.0

    def fit(self, task):
        time.sleep(self.ms / 1000)
        classes = task.num_classes
        return Predictor(lambda batch: torch.zeros(len(batch), classes))
'''
WAITS = range(11)
"""Milliseconds that the methods wait."""
LITTLE = {"classes": 10, "n_max": 20, "test_per_class": 5}


@dataclass(frozen=True)
class Engine:
    """A way to run a sweep."""

    name: str
    flags: tuple[str, ...]
    workers: int

    @property
    def at_hand(self) -> bool:
        """True if this version has the flag, and the package that it needs is installed."""
        if not self.flags:
            return True
        needs_ray = self.flags[0] == "--ray"
        return has_flag("run", self.flags[0]) and not (needs_ray and missing(["ray"]))


def engines(machine: Machine) -> list[Engine]:
    """Return the engines at hand, one process first."""
    known = (
        Engine("one process", (), 1),
        Engine(f"--jobs {machine.jobs}", ("--jobs", str(machine.jobs)), machine.jobs),
        Engine(f"--ray {machine.ray}", ("--ray", machine.ray), visible_processors()),
    )
    return [engine for engine in known if engine.at_hand]


def rows(machine: Machine) -> list[Row]:
    """Measure 10,000 cells in each engine at hand."""
    number = 55 if machine.quick else 10_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        words = sweep_of_pauses(folder, WAITS, number)
        few = _run(folder, "first", [*words, "--seeds", "0"])  # it computes the features
        return [row for engine in engines(machine) for row in _overhead(folder, engine, words, few)]


def sweep_of_pauses(folder: Path, waits: Sequence[int], number: int) -> list[str]:
    """Write a plug-in and a sweep of about so many cells, and return the flags that run it."""
    plugin, file = folder / "pause.py", folder / "pauses.yaml"
    plugin.write_text(PAUSE, encoding="utf-8")
    methods = "".join(f"- pause: {{ms: {ms}}}\n" for ms in waits)
    seeds = list(range(max(1, number // len(waits))))
    file.write_text(
        f"methods:\n{methods}datasets: [glyphs100_lt]\nseeds: {seeds}\n"
        f"set: {{glyphs100_lt: {LITTLE}}}\n".replace("'", ""),
        encoding="utf-8",
    )
    return ["--plugin", str(plugin), "--config", str(file), "--device", "cpu"]


@dataclass(frozen=True)
class _Ran:
    """A sweep that was run."""

    records: list[Record]
    run: Ended
    report: Ended
    """The command that writes its report again."""

    def driver_s(self, few: _Ran) -> float | None:
        """Processor time of the driver for a cell, with its plan and without its report.

        Args:
            few: a sweep of a few cells, whose time is that of start and end.
        """
        times = [ended.processor_s for ended in (self.run, few.run, self.report, few.report)]
        if None in times:
            return None
        whole, start, report, short_report = (time or 0.0 for time in times)
        return (whole - start - (report - short_report)) / (len(self.records) - len(few.records))


def _run(folder: Path, name: str, words: Sequence[str]) -> _Ran:
    """Run a sweep."""
    out = str(folder / name)
    ended = suite("run", *words, "--out", out, cache=folder / "cache")
    records, problems = Store(folder / name).all()
    failed = [record.error for record in records if record.status != "done"]
    if failed or problems:
        raise RuntimeError(f"{len(failed)} cells failed: {[*failed, *problems][0]}")
    report = suite("report", out, "--out", str(folder / "report"), cache=folder / "cache")
    return _Ran(records, ended, report)


def _overhead(folder: Path, engine: Engine, words: Sequence[str], few: _Ran) -> list[Row]:
    ran = _run(folder, f"engine {engine.name}", [*words, *engine.flags])
    records = ran.records
    waits = f"{WAITS[0]} to {WAITS[-1]} ms"
    disk = _disk(folder / f"engine {engine.name}" / "records", folder / "copy")
    what = f"{len(records)} cells of methods that wait {waits}, 50 images"
    found = [
        Row(
            f"overhead: a cell, {engine.name}",
            cell_seconds(records) - method_seconds(records) / engine.workers,
            disk,
            f"{what}, workers: {engine.workers}; bound: a cell's two files on disk",
        )
    ]
    if (seconds := ran.driver_s(few)) is not None:
        found.append(
            Row(
                f"driver: a cell, {engine.name}",
                seconds,
                disk,
                f"processor time of the driver, with plan, without report{ran.run.memory}",
            )
        )
    return found


def cell_seconds(records: Sequence[Record]) -> float:
    """Return the seconds from the first record to the last, for each of those after the first."""
    ends = sorted(datetime.fromisoformat(r.provenance.finished) for r in records if r.provenance)
    return (ends[-1] - ends[0]).total_seconds() / max(1, len(ends) - 1)


def method_seconds(records: Sequence[Record]) -> float:
    """Return the seconds that a method takes by its records, on average."""
    return sum(r.cost.fit_s + r.cost.eval_s for r in records if r.cost) / len(records)


def _disk(folder: Path, copy: Path) -> float:
    """Return the seconds to write, flush and rename a cell's two files as the store does."""
    files = sorted(folder.iterdir())[:400]
    clock = time.perf_counter()
    for file in files:
        with copy.open("wb") as stream:
            stream.write(file.read_bytes())
            stream.flush()
            os.fsync(stream.fileno())
        copy.replace(copy.with_name("copied"))
    return 2 * (time.perf_counter() - clock) / len(files)
