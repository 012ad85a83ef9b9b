"""Records on disk: what listing, reading, planning and reporting thousands of them takes.

They are made up, but valid: the store reads and checks them like any others.
"""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from benchmarks.metrics import Metrics
from benchmarks.sweep import plan
from benchmarks.sweep.cell import Cell
from benchmarks.sweep.settings import read_sweep
from benchmarks.tools.speed.commands import suite
from benchmarks.tools.speed.machine import Machine
from benchmarks.tools.speed.timing import Row
from results.record_file import text_of
from results.schema import Cost, Groups, Provenance, Record, Selection
from results.store import Store

T = TypeVar("T")
CLASSES = 100
SEEDS = 5


def rows(machine: Machine) -> list[Row]:
    """Measure 10,000 cells and as many records."""
    number = 200 if machine.quick else 10_000
    return _measured(number, number)


def large(machine: Machine) -> list[Row]:
    """Measure a plan of 10,000 cells beside 100,000 records, and their report."""
    return _measured(200, 2000) if machine.quick else _measured(10_000, 100_000)


def _measured(cells: int, records: int) -> list[Row]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        planned, every = (_sweep(folder / f"{n}.yaml", n) for n in (cells, records))
        hashing, _ = _timed(lambda: [dataclasses.replace(c).key for c in planned])  # not cached
        words = ("--config", str(folder / f"{cells}.yaml"), "--device", "cpu", "--out")
        empty = suite("plan", *words, str(folder / "none"), turns=2)
        store = Store(folder / "full")
        write(store, every)
        listing, _ = _timed(lambda: os.listdir(store.folder))
        files = sorted(store.folder.glob("*.json"))
        parsing, _ = _timed(lambda: [json.loads(file.read_bytes()) for file in files])
        listed, _ = _timed(store.files)
        reading, (found, problems) = _timed(store.all)
        if problems or len(found) != records:
            raise RuntimeError(f"{len(problems)} unreadable records: {problems[:1]}")
        again, _ = _timed(store.all)
        looking, _ = _timed(lambda: plan.look_up(planned, found))
        full = suite("plan", *words, str(store.folder.parent))
        report = suite("report", str(store.folder.parent), "--out", str(folder / "report"))
    beside = f", {records} records" if records != cells else ""
    return [
        Row(f"plan: {cells} cells", empty.seconds, hashing, f"bound: their hashes{empty.memory}"),
        Row(f"plan: {cells} cells{beside or ', all done'}", full.seconds, parsing + hashing,
            f"bound: parsing the records, hashing the cells{full.memory}"),
        Row(f"list: {records} records", listed, listing, "bound: the names of the folder"),
        Row(f"read: {records} records", reading, parsing, "bound: parsing"),
        Row(f"read again: {records} records", again, parsing, "bound: parsing; none has changed"),
        Row(f"look up: {cells} cells{beside}", looking, None, "in memory"),
        Row(f"report: {records} records", report.seconds, parsing,
            f"tables, CSV, LaTeX and two figures; bound: parsing{report.memory}"),
    ]  # fmt: skip


def _timed(run: Callable[[], T]) -> tuple[float, T]:
    clock = time.perf_counter()
    found = run()
    return time.perf_counter() - clock, found


def _sweep(file: Path, number: int) -> list[Cell]:
    """Write a sweep of so many cells, and return them."""
    lines = [f"- linear_probe: {{lr: {0.001 * (i + 1):g}}}" for i in range(number // SEEDS)]
    seeds = list(range(SEEDS))
    text = "methods:\n" + "\n".join(lines) + f"\ndatasets: [glyphs100_lt]\nseeds: {seeds}\n"
    file.write_text(text, encoding="utf-8")
    return plan.expand(read_sweep(file, {"device": "cpu"})).cells


def write(store: Store, cells: Sequence[Cell]) -> None:
    """Write records with made-up numbers, and files in place of predictions; flush nothing."""
    draw = np.random.default_rng(0)
    counts = tuple(max(2, int(500 * 0.01 ** (i / (CLASSES - 1)))) for i in range(CLASSES))
    member = tuple("many" if n > 100 else "few" if n < 20 else "medium" for n in counts)
    many, medium, few = (member.count(name) for name in ("many", "medium", "few"))
    store.folder.mkdir(parents=True)
    for cell in cells:
        values = draw.normal(60, 10, CLASSES).clip(0, 100).round(4)
        groups = [float(values[np.array(member) == g].mean()) for g in ("many", "medium", "few")]
        mean = float(values.mean())
        record = Record(
            key=cell.key, identity=cell.identity, status="done", error=None, method=cell.method,
            dataset=cell.dataset, task="single", dataset_version=cell.family.version, recipe="r",
            backbone=cell.backbone.name, seed=cell.seed, split_seed=0, protocol=cell.protocol,
            precision=cell.precision, deterministic=False, config=cell.config,
            dataset_config=cell.dataset_config,
            class_names=tuple(f"class {i}" for i in range(CLASSES)),
            metrics=Metrics(
                overall=mean, many=groups[0], medium=groups[1], few=groups[2], balanced=mean,
                worst_class=float(values.min()), ece=4.2, per_class=tuple(values.tolist()),
            ),
            groups=Groups("lift", many, medium, few, counts, member),
            selection=Selection("last", "last epoch"),
            cost=Cost(51_200, 5, 50_000, 0, 1.5, 0.1, 900.0, None),
            provenance=Provenance(
                "0" * 40, False, {"torch": "2"}, "cpu", cell.backbone.weights_id, "p", "t", "s",
                cell.fingerprint, "2026-01-01T00:00:00+00:00", "2026-01-01T00:00:10+00:00",
            ),
        )  # fmt: skip
        text = text_of(record, None)
        (store.folder / f"{cell.key}.json").write_text(text, encoding="utf-8")
        (store.folder / f"{cell.key}.npz").touch()  # as many names in the folder as after a run
