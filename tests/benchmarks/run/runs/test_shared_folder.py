"""Runs that share a folder share the cells: each is run once, and all runs end with all records."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.run import runner
from benchmarks.run.claims import Claims
from results.store import Store
from tests.benchmarks.run.runs.worlds import Cells, Watcher, run

ROOT = Path(__file__).resolve().parents[4]


def fitted(watcher: Watcher) -> list[str]:
    return [line for line in watcher.lines if line.startswith("started")]


def copied(key: str, source: Path, out: Path) -> None:
    """Write the record of a cell as another run does."""
    for file in (source / "records").glob(f"{key}.*"):
        shutil.copy(file, out / "records" / file.name)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], Any]]:
    """Things that happen while the run waits, one after the other."""
    steps: list[Callable[[], Any]] = []
    monkeypatch.setattr(runner, "sleep", lambda _: steps.pop(0)())
    return steps


def test_a_cell_of_another_run_is_waited_for_and_its_record_returned(
    cells: Cells, out: Path, pauses: list[Callable[[], Any]]
) -> None:
    todo = cells("ncm,zero_shot", seeds="0")
    theirs = run(todo, out.parent / "other")
    out.mkdir()
    with Claims(out) as claims:
        claims.take([todo[0].key])
        pauses += [
            lambda: None,
            lambda: copied(todo[0].key, out.parent / "other", out),
        ]
        watcher = Watcher()
        records = run(todo, out, watcher)
    assert fitted(watcher) == ["started zero_shot 0"]
    assert watcher.prepared[-1] == "waiting for 1 cell of another run"
    assert records[0].provenance == theirs[0].provenance
    assert records[1].provenance != theirs[1].provenance
    assert watcher.lines[-1] == "done ncm 0"
    assert pauses == []


def test_a_cell_that_another_run_gives_up_is_run(
    cells: Cells, out: Path, pauses: list[Callable[[], Any]]
) -> None:
    todo = cells("ncm", seeds="0")
    out.mkdir()
    with Claims(out) as claims:
        claims.take([todo[0].key])
        pauses.append(lambda: claims.release(todo[0].key))
        (record,) = run(todo, out)
    assert record.status == "done"
    assert Store(out).get(record.key) == record
    assert not (out / "claims").exists()


def test_a_record_that_was_written_after_the_plan_is_returned(cells: Cells, out: Path) -> None:
    todo = cells("ncm", seeds="0")
    (first,) = run(todo, out)
    watcher = Watcher()
    (again,) = run(todo, out, watcher, known={})
    assert fitted(watcher) == [] and again.provenance == first.provenance
    (anew,) = run(todo, out, watcher, known={todo[0].key: first})
    assert fitted(watcher) == ["started ncm 0"] and anew.provenance != first.provenance
    (anew,) = run(todo, out, watcher)  # reads what is there before it starts
    assert len(fitted(watcher)) == 2


def test_a_run_that_lost_its_cell_does_not_write_the_record(
    cells: Cells, out: Path, pauses: list[Callable[[], Any]]
) -> None:
    todo = cells("ncm", seeds="0")
    run(todo, out.parent / "other")

    class Slow(Watcher):
        def started(self, cell: Any) -> None:
            super().started(cell)
            (out / "claims" / f"{cell.key}.1").write_text("another run's")

    pauses.append(lambda: copied(todo[0].key, out.parent / "other", out))
    (record,) = run(todo, out, Slow())
    written = Store(out).get(todo[0].key)
    assert written is not None
    assert record.provenance == written.provenance
    assert written == Store(out.parent / "other").get(todo[0].key)


PLUGIN = """
import os
from dataclasses import dataclass

from benchmarks import randomness
from methods.base import Method, Predictor
from methods.registry import register


@register("logged", paper="A. Author 2026", needs="features")
@dataclass(frozen=True)
class Logged(Method):
    '''Writes its seed to a file.'''

    def fit(self, task):
        with open(os.environ["FITS"], "a") as log:
            print(task.seed, file=log)
        shape = task.train.features().shape[1:]
        names = task.texts.class_names
        w = randomness.normal_per_class(names, shape, task.seed, "w")
        return Predictor(lambda batch: batch.inputs @ w.T)
"""


@pytest.mark.slow
@pytest.mark.children
def test_commands_started_together_do_each_cell_once(tmp_path: Path) -> None:
    runners = 4
    plugin, log, out = tmp_path / "logged.py", tmp_path / "fits.txt", tmp_path / "out"
    plugin.write_text(PLUGIN)
    seeds = ",".join(map(str, range(12)))
    words = [
        sys.executable, "run_benchmarks.py", "run", "--plugin", str(plugin), "--out", str(out),
        "--methods", "logged,ncm", "--datasets", "glyphs100_lt", "--seeds", seeds,
        "--set", "glyphs100_lt.classes=8", "--set", "glyphs100_lt.n_max=20",
    ]  # fmt: skip
    processes = [
        subprocess.Popen(
            words, cwd=ROOT, stdout=subprocess.PIPE, env=os.environ | {"FITS": str(log)}, text=True
        )
        for _ in range(runners)
    ]
    shown = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * runners
    assert Counter(log.read_text().split()) == Counter(seeds.split(","))
    tables = {re.sub(r".*?(method .*?)\n\n.*", r"\1", text, flags=re.DOTALL) for text in shown}
    assert len(tables) == 1
    records, problems = Store(out).all()
    assert problems == []
    assert len([r for r in records if r.method == "logged"]) == 12
    assert not (out / "claims").exists()
