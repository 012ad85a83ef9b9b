"""The state of a sweep in a folder: done, failed, running, left."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from benchmarks.errors import UserError
from benchmarks.run.claims import Claims
from benchmarks.run.folder_status import status_of
from benchmarks.run.run_plan import PlannedCell, RunPlan
from benchmarks.run.runs import TakingPart
from benchmarks.safe_files import this_process
from results.store import Store
from tests.results.factory import failed_record, make_record

HOUR = 3600.0
DONE = [make_record(seed=n) for n in range(3)]
FAILED = failed_record("crt", 0, "boom")
NOT_APPLICABLE = failed_record("sage", 0, "needs class names", status="not_applicable")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A folder with five records, and a plan of seven cells."""
    store = Store(tmp_path)
    for record in DONE:
        store.write(record, {})
    for record in (FAILED, NOT_APPLICABLE):
        store.write(record, None)
    plan(tmp_path)
    return tmp_path


def plan(out: Path, **changed: PlannedCell) -> None:
    keys = [record.key for record in (*DONE[:2], FAILED, NOT_APPLICABLE)]
    cells = {key: PlannedCell(key, f"title {n}", HOUR, True, None) for n, key in enumerate(keys)}
    cells |= {key: PlannedCell(key, f"title {key}", HOUR, True, None) for key in ("x", "y", "z")}
    cells |= changed
    (out / "status").mkdir(exist_ok=True)
    RunPlan("one", time.time() - 2 * HOUR, tuple(cells.values())).write(out)


def test_a_sweep_that_is_over(out: Path) -> None:
    status = status_of(out)
    assert (status.planned, status.done, status.not_applicable, status.left) == (7, 2, 1, 3)
    (failure,) = status.failures
    assert (failure.key, failure.title, failure.reason) == (FAILED.key, "title 2", "boom")
    assert (status.running, status.runs, status.seconds_left) == ((), (), None)
    assert status.other_records == 1  # of a seed that the sweep does not have


def test_a_sweep_that_is_running(out: Path) -> None:
    with TakingPart(out, "one"), Claims(out) as claims:
        claims.take(["x", "y", DONE[0].key, "of another sweep"])
        status = status_of(out)
        (run,) = status.runs
        assert run.owner.process == this_process()
        assert [(cell.key, cell.title) for cell in status.running] == [
            ("x", "title x"),
            ("y", "title y"),
        ]
        assert status.left == 1
        assert time.time() - HOUR < status.running[0].owner.since <= time.time()
        # Four of seven cells took two hours, two at a time.
        assert status.seconds_left == pytest.approx(1.5 * HOUR, rel=0.02)
    assert status_of(out).running == ()


def test_a_run_that_was_killed_runs_nothing(out: Path) -> None:
    machine, pid, started = this_process().split("-")
    dead = {"host": "a", "pid": 1, "process": f"{machine}-{pid}-{int(started) + 1}", "since": 1}
    (out / "claims").mkdir()
    (out / "claims" / "x.0").write_text(json.dumps(dead))
    (out / "claims" / "y.0").write_text("never written")
    (out / "claims" / "z.0").write_text(json.dumps(dead))
    (out / "claims" / "z.1").write_text(json.dumps(dead | {"process": this_process()}))
    (out / "status" / "token.run").write_text(json.dumps(dead | {"sweep": "one"}))
    status = status_of(out)
    assert [cell.key for cell in status.running] == ["z"]
    assert (status.runs, status.left) == ((), 2)


def test_a_cell_that_is_computed_again_is_left_until_it_is_replaced(out: Path) -> None:
    assert FAILED.provenance is not None
    again = PlannedCell(FAILED.key, "again", HOUR, True, FAILED.provenance.finished)
    plan(out, **{FAILED.key: again})
    status = status_of(out)
    assert (status.failures, status.left) == ((), 4)
    Store(out).write(make_record(key=FAILED.key, provenance_finished="2026-02-01T00:00:00"), {})
    status = status_of(out)
    assert (status.done, status.failures, status.left) == (3, (), 3)


def test_records_without_a_plan(out: Path) -> None:
    (out / "status" / "plan.json").write_text("damaged")
    (out / "records" / "bad.json").write_text("{")
    status = status_of(out)
    assert (status.planned, status.done, status.not_applicable, status.left) == (None, 3, 1, 0)
    assert [failure.title for failure in status.failures] == ["crt · glyphs100_lt · seed 0"]
    assert status.other_records == 0
    (problem,) = status.problems
    assert "bad.json" in problem


def test_a_folder_without_results_is_said_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name, what in (("gone", "no such folder"), ("file", "not a folder"), (".", "no results")):
        with pytest.raises(UserError, match=what):
            status_of(tmp_path / name)


def test_looking_changes_nothing(out: Path) -> None:
    before = {str(file): file.stat().st_mtime_ns for file in out.rglob("*") if file.is_file()}
    status_of(out)
    assert before == {
        str(file): file.stat().st_mtime_ns for file in out.rglob("*") if file.is_file()
    }
