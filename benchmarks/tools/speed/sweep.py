"""Overhead of a large sweep in addition to its fits: start, plan, report, and the runner itself.

Commands run in separate processes, on synthetic records in a temporary folder. Bounds: a bare
interpreter that imports NumPy and rich; hashing the specifications of the cells; parsing the JSON
of the records; writing the same bytes to disk and flushing them.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.metrics import Metrics
from benchmarks.sweep import plan
from benchmarks.sweep.cell import Cell
from benchmarks.sweep.settings import Choice, Sweep
from benchmarks.tools.speed.machine import Machine
from benchmarks.tools.speed.timing import Row
from results.record_file import text_of
from results.schema import Cost, Groups, Provenance, Record, Selection
from results.store import Store

ROOT = Path(__file__).resolve().parents[3]
CLASSES = 100
IDLE = '''
from dataclasses import dataclass
import torch
from methods.base import Method, Predictor
from methods.registry import register

@register("idle", paper="-", needs="features")
@dataclass(frozen=True)
class Idle(Method):
    """Does nothing."""

    def fit(self, task):
        classes = task.num_classes
        return Predictor(lambda batch: torch.zeros(len(batch), classes))
'''
LITTLE = ["--set", "glyphs100_lt.classes=10", "--set", "glyphs100_lt.n_max=20"]
LITTLE += ["--set", "glyphs100_lt.test_per_class=5"]


def rows(machine: Machine) -> list[Row]:
    """Measure start, plan, report and overhead of a sweep; `machine.quick` takes fewer cells."""
    number = 200 if machine.quick else 2000
    with tempfile.TemporaryDirectory() as folder:
        return [*_start(3), *_large(Path(folder), number), _overhead(Path(folder), number // 10)]


def _command(*words: str, turns: int = 1) -> float:
    """Return the least wall time of a command line in a separate process."""
    line = [sys.executable, str(ROOT / "run_benchmarks.py"), *words]
    return _process(line, turns)


def _process(line: list[str], turns: int) -> float:
    best = float("inf")
    for _ in range(turns):
        clock = time.perf_counter()
        ended = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
        best = min(best, time.perf_counter() - clock)
        if ended.returncode:
            raise RuntimeError(ended.stderr[-500:])
    return best


def _start(turns: int) -> list[Row]:
    bare = _process([sys.executable, "-c", "import numpy, rich.console, rich.table"], turns)
    return [
        Row(f"start: {name}", _command(*name.split(), turns=turns), bare, "bound: NumPy and rich")
        for name in ("--help", "list", "show lift")
    ]


def _large(folder: Path, number: int) -> list[Row]:
    """Measure `plan` with an empty and a full folder, reading, and a report of one table."""
    lines = [f"- linear_probe: {{lr: {0.001 * (i + 1):g}}}" for i in range(number // 5)]
    file = folder / "sweep.yaml"
    text = "methods:\n" + "\n".join(lines) + "\ndatasets: [glyphs100_lt]\nseeds: [0, 1, 2, 3, 4]\n"
    file.write_text(text, encoding="utf-8")
    chosen = tuple(Choice("linear_probe", (("lr", 0.001 * (i + 1)),)) for i in range(number // 5))
    cells = plan.expand(
        Sweep(chosen, (Choice("glyphs100_lt"),), (0, 1, 2, 3, 4), device="cpu")
    ).cells
    clock = time.perf_counter()
    for cell in cells:  # a copy, because a cell caches its hashes
        _ = dataclasses.replace(cell).key
    hashing = time.perf_counter() - clock
    words = ("--config", str(file), "--device", "cpu", "--out")
    found = [
        Row(f"plan: {number} cells", _command("plan", *words, str(folder / "none"), turns=2),
            hashing, "bound: their hashes"),
    ]  # fmt: skip
    _write(Store(folder / "full"), cells)
    files = sorted((folder / "full" / "records").glob("*.json"))
    clock = time.perf_counter()
    for path in files:
        json.loads(path.read_bytes())
    parsing = time.perf_counter() - clock
    clock = time.perf_counter()
    Store(folder / "full").all()
    reading = time.perf_counter() - clock
    found += [
        Row(f"plan: {number} cells, all done", _command("plan", *words, str(folder / "full")),
            parsing + hashing, "bound: parsing the records, hashing the cells"),
        Row(f"read: {number} records", reading, parsing, "bound: parsing"),
        Row(f"report: {number} records",
            _command("report", str(folder / "full"), "--out", str(folder / "report")),
            parsing, "tables, CSV, LaTeX and two figures; bound: parsing"),
    ]  # fmt: skip
    return found


def _write(store: Store, cells: list[Cell]) -> None:
    """Write records with made-up numbers, without flushing."""
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


def _overhead(folder: Path, number: int) -> Row:
    """Measure a cell of a method that does nothing, on 50 test images."""
    plugin = folder / "idle.py"
    plugin.write_text(IDLE, encoding="utf-8")
    words = ["--plugin", str(plugin), "--methods", "idle", "--datasets", "glyphs100_lt", *LITTLE]
    words += ["--device", "cpu", "--out", str(folder / "idle"), "--seeds"]
    _command(*words, "0,1")  # computes features
    few = _command(*words, "0,1", "--rerun", "always")
    many = _command(*words, ",".join(map(str, range(number + 2))), "--rerun", "always")
    files = [path for path in (folder / "idle" / "records").iterdir()]
    clock = time.perf_counter()
    for path in files:  # written, flushed and renamed as by the store
        copy = folder / "copy"
        with copy.open("wb") as stream:
            stream.write(path.read_bytes())
            stream.flush()
            os.fsync(stream.fileno())
        copy.replace(folder / "copied")
    disk = (time.perf_counter() - clock) / (len(files) / 2)
    return Row(
        "overhead: a cell", (many - few) / number, disk,
        "a method that does nothing, 50 images; bound: its two files on disk",
    )  # fmt: skip
