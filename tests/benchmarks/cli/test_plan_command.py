"""The verb `plan`."""

from __future__ import annotations

import json
from pathlib import Path

from tests.benchmarks.cli.commands import (
    Command,
    content,
    records,
    the_line,
)


def test_plan_shows_the_cells_and_runs_nothing(
    command: Command, fast: list[str], work: Path
) -> None:
    ended = command("plan", *fast)
    assert ended.status == 0
    assert "4 cells, 4 to run" in ended.out
    for word in ("ncm", "linear_probe", "glyphs100_lt_ir8", "local-dir:small_clip@", "0,1,2"):
        assert word in ended.out
    assert "1 missing" in ended.out
    assert "3 missing" in ended.out
    assert content(work) == {}
    command(*fast, "--seeds", "0")
    after = command("plan", *fast).out
    assert "1 done, 2 missing" in after
    assert "4 cells, 2 to run" in after
    assert "3 to run" in command("plan", *fast, "--rerun", "always", "--seeds", "0,1").out


def test_plan_and_run_report_an_imbalance_that_cannot_be_reached(
    command: Command, small: list[str]
) -> None:
    words = ["--methods", "ncm", *small]
    note = "the imbalance ratio is 35, not 90: every class has at least one training image"
    assert "every class has at least one" not in command("plan", *words).out
    words += ["--set", "glyphs100_lt.imbalance=90"]
    assert f"note: glyphs100_lt_ir90 (n_max=35, classes=4, test_per_class=4): {note}" in (
        command("plan", *words).out
    )
    assert command(*words).out.count(note) == 2  # as its cell ends, and under the table
    assert note in json.loads(records()["ncm", 0].read_text(encoding="utf-8"))["notes"]


def test_plan_takes_every_flag_of_run(command: Command, fast: list[str]) -> None:
    assert command("plan", *fast, "--debug", "--allow-mixed").status == 0


def test_plan_without_arguments_is_the_quick_start(command: Command) -> None:
    ended = command("plan")
    assert ended.status == 0
    for word in ("zero_shot", "ncm", "linear_probe", "logit_adjustment", "lift", "glyphs100_lt"):
        assert word in ended.out


def test_an_unreadable_record_is_named_and_ignored(
    command: Command, fast: list[str], work: Path
) -> None:
    (work / "runs" / "records").mkdir(parents=True)
    (work / "runs" / "records" / "a.json").write_text('{"schema_version": 99}')
    (work / "runs" / "records" / "b[red].json").write_text("{")
    ended = command("plan", *fast)
    assert ended.status == 0
    assert "a.json: schema 99, but this version reads 1" in ended.out
    assert "b[red].json: not JSON" in ended.out
    assert "No readable records under runs" in the_line(command("report", "runs"))
    assert command(*fast).out.count("Ignored: ") == 2  # the store is read once


def test_what_cannot_run_is_said_before_any_estimate(
    command: Command, small: list[str], work: Path
) -> None:
    words = ["--methods", "ncm", *small, "--data-root", str(work), "--offline"]
    words[words.index("--datasets") + 1] += ",places_lt"
    planned = command("plan", *words)
    assert planned.status == 2
    assert planned.out.index("no Places_LT_train.txt") < planned.out.index("to run")
    ended = command(*words)
    assert ended.status == 2
    assert ended.out == ""
    assert "places_lt: no Places_LT_train.txt" in the_line(ended)
    assert not records()
