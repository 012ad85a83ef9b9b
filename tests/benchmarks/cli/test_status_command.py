"""The verb `status`, and runs of two sweeps on one folder."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from benchmarks.run.claims import Claims
from benchmarks.run.run_plan import read_plan
from benchmarks.run.runs import TakingPart
from results.store import Store
from tests.benchmarks.cli.commands import Command, content, records, start, the_line
from tests.results.factory import failed_record, make_record


def test_the_state_of_a_sweep_before_and_after_its_other_part(
    command: Command, fast: list[str], small: list[str]
) -> None:
    assert command(*fast, "--shard", "1/2").status == 0
    ended = command("status", "runs")
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.splitlines() == [
        "runs: 4 cells: 2 done, 0 failed, 2 left.",
        "Nothing is running; the same command computes what is left.",
    ]
    assert command(*fast, "--shard", "2/2").status == 0
    assert command("status", "runs").out == "runs: 4 cells: 4 done, 0 failed, 0 left.\n"
    # What is left in the folder has names that do not depend on the process.
    assert [file.name for file in Path("runs/status").iterdir()] == ["plan.json"]
    assert command("--methods", "ncm", *small).status == 0
    assert command("status", "runs").out.splitlines() == [
        "runs: 1 cell: 1 done, 0 failed, 0 left.",
        "3 records of other sweeps or earlier code.",
    ]


def test_a_sweep_that_is_running(command: Command, fast: list[str]) -> None:
    assert command(*fast, "--shard", "1/2").status == 0
    plan = read_plan(Path("runs"))
    assert plan is not None
    left = [cell for cell in plan.cells if cell.key not in {f.stem for f in records().values()}]
    with TakingPart(Path("runs"), plan.sweep), Claims(Path("runs")) as claims:
        claims.take([left[0].key])
        shown = command("status", "runs").out.splitlines()
        data = json.loads(command("status", "runs", "--json").out)
    where = f"{os.uname().nodename}, process {os.getpid()}, since "
    assert shown[0] == "runs: 4 cells: 2 done, 0 failed, 1 running, 1 left."
    assert shown[1].startswith(f"  running on {where}")
    assert f": 1 cell: {left[0].title} (since " in shown[1]
    assert shown[2].startswith("Expected end: about ")
    assert (data["done"], data["running"], data["left"], data["planned"]) == (2, 1, 1, 4)
    (cell,) = data["running_cells"]
    assert cell["title"] == left[0].title and cell["pid"] == os.getpid()
    assert [run["pid"] for run in data["runs"]] == [os.getpid()]
    assert data["seconds_left"] > 0
    assert data["expected_end"] >= data["runs"][0]["since"]


def test_failures_that_are_alike_are_one_line(command: Command, work: Path) -> None:
    store = Store(work / "runs")
    for seed in range(5):
        store.write(failed_record("lift", seed, f"cannot allocate {seed + 10} MB"), None)
    for n in range(30):
        store.write(failed_record(f"m{chr(97 + n % 26) * (n + 1)}", 0, "odd " + "o" * n), None)
    for seed in (0, 1):
        store.write(failed_record("long", seed, "x" * 5000), None)
    ended = command("status", "runs")
    lines = ended.out.splitlines()
    assert lines[0] == "runs: 0 done, 37 failed."
    assert lines[1] == "Failed (--rerun failed runs them again):"
    assert lines[2].startswith("  5 cells, lift · glyphs100_lt · seed")
    assert "and 3 more: cannot allocate 1" in lines[2]
    assert len(lines) == 2 + 20 + 2
    assert lines[-2] == "  and 12 more reasons; --json has all"
    assert lines[3].startswith("  2 cells, long · ") and len(lines[3]) < 450
    assert len(json.loads(command("status", "runs", "--json").out)["failures"]) == 37


def test_what_cannot_be_read_is_said(command: Command, work: Path) -> None:
    Store(work / "runs").write(make_record(), {})
    (work / "runs" / "records" / "bad.json").write_text("{")
    ended = command("status", "runs")
    assert ended.status == 0
    assert "There is no plan of a run here" in ended.out
    assert "Ignored: runs/records/bad.json: not JSON" in ended.out


def test_a_folder_without_results(command: Command, work: Path) -> None:
    assert "gone: no such folder" in the_line(command("status", "gone"))
    assert "work: no results" in the_line(command("status", str(work)))
    assert "results/runs: no such folder" in the_line(command("status"))


# ---- two sweeps on one folder ------------------------------------------------------------------


def test_a_run_of_another_sweep_begins_nothing(command: Command, fast: list[str]) -> None:
    Path("runs").mkdir()
    with TakingPart(Path("runs"), "another"):
        before = content(Path("runs"))
        line = the_line(command(*fast))
        assert "runs: another sweep is running there" in line
        assert f"{os.uname().nodename}, process {os.getpid()}, since " in line
        assert "another folder with --out, or wait" in line
        before["records"] = None  # the folder is made first
        assert content(Path("runs")) == before
    assert command(*fast).status == 0


@pytest.mark.slow
def test_the_same_sweep_is_welcome(command: Command, fast: list[str]) -> None:
    assert command(*fast, "--shard", "1/2").status == 0
    plan = read_plan(Path("runs"))
    assert plan is not None
    with TakingPart(Path("runs"), plan.sweep):
        assert command(*fast, "--shard", "2/2").status == 0
        assert command(*fast, "--rerun", "always").status == 0
        assert "process" in the_line(command(*fast, "--seeds", "0"))
    assert "4 done" in command("status", "runs").out


@pytest.mark.slow
@pytest.mark.children
def test_a_killed_run_is_no_obstacle(
    command: Command, small: list[str], mine: Path, work: Path
) -> None:
    words = ["--methods", "mine", "--plugin", str(mine), "--seeds", "0,1", *small]
    process = start(*words)
    while not (work / "waiting").exists():
        assert process.poll() is None
        time.sleep(0.05)
    shown = command("status", "runs").out
    assert "2 cells: 1 done, 0 failed, 1 running, 0 left." in shown
    assert f"process {process.pid}, since " in shown
    assert "process" in the_line(command(*words, "--seeds", "0"))
    process.kill()
    process.communicate()
    shown = command("status", "runs").out
    assert "2 cells: 1 done, 0 failed, 1 left." in shown
    assert "Nothing is running" in shown
    assert command("--methods", "ncm", *small).status == 0
    assert [file.name for file in (work / "runs" / "status").iterdir()] == ["plan.json"]
