"""The tables that `plan` prints."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.cli.parts import plan_table
from benchmarks.inputs.feature_index import FeatureIndex
from benchmarks.sweep import plan
from benchmarks.sweep.cell import Cell
from benchmarks.sweep.estimate import Estimator, Guess
from benchmarks.sweep.settings import read_sweep
from tests.results.factory import make_record


def cells(**flags: object) -> list[Cell]:
    chosen = {"datasets": "glyphs100_lt", "device": "cpu", "seeds": "0,1"}
    return plan.expand(read_sweep(None, chosen | flags)).cells


def printed(every: list[Cell], estimator: Estimator, done: int = 0) -> list[list[str]]:
    """The words of each line of a plan whose first `done` cells are finished."""
    console = Console(file=io.StringIO(), width=200)
    records = [make_record(c.method, c.seed, key=c.key) for c in every[:done]]
    planned = plan.look_up(every, records)
    plan_table.print_plan(planned, every[done:], estimator, console)
    return [line.split() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]


def test_frozen_features_have_their_own_row(tmp_path: Path) -> None:
    every = cells(methods="ncm,linear_probe,lift", split_seeds="0,1")
    index = FeatureIndex(tmp_path)
    lines = printed(every, Estimator([], "cpu", index))
    (row,) = (line for line in lines if line[0] == "frozen")
    assert row[2:7] == ["–", "0,1", "2", "to", "compute"]
    assert row[-1] == "operations"
    index.add(every[0].features_name, [])
    (row,) = (line for line in printed(every, Estimator([], "cpu", index)) if line[0] == "frozen")
    assert row[2:8] == ["–", "0,1", "1", "stored,", "1", "to"]
    images = cells(methods="lift")
    assert not any(line[0] == "frozen" for line in printed(images, Estimator([], "cpu", index)))


def test_a_row_names_the_basis_of_its_estimate() -> None:
    every = cells(methods="linear_probe,sage", datasets="glyphscenes_lt")
    probe = every[0]
    own = make_record(
        "linear_probe", dataset=probe.dataset, backbone="glyph", config=probe.config,
        cost_fit_s=600.0, cost_eval_s=0.0,
    )  # fmt: skip
    lines = {line[0]: line for line in printed(every, Estimator([own], "cpu", FeatureIndex(None)))}
    assert lines["linear_probe"][1:] == ["0,1", "0", "2", "missing", "20", "min", "records"]
    assert lines["sage"][-2:] == ["not", "applicable"]
    said = plan_table.outlook(every, Estimator([], "cpu", FeatureIndex(None)))
    assert said.startswith("4 to run, ")
    assert ", 2 of them not applicable (" in said
    assert "applicable" not in plan_table.outlook(
        every[:2], Estimator([], "cpu", FeatureIndex(None))
    )


def test_cells_that_run_at_a_time_share_the_time() -> None:
    every = cells(methods="linear_probe", seeds="0,1,2,3")
    own = [
        make_record(
            "linear_probe", dataset=cell.dataset, backbone="glyph", config=cell.config,
            cost_fit_s=600.0, cost_eval_s=0.0,
        )
        for cell in every[:1]
    ]  # fmt: skip
    index = FeatureIndex(None)
    index.add(every[0].features_name, [])
    estimator = Estimator(own, "cpu", index)
    assert "about 40 min (" in plan_table.outlook(every, estimator)
    assert "about 20 min, 2 at a time (" in plan_table.outlook(every, estimator, 2)
    # No cell is divided, and no more run at a time than there are.
    assert "about 10 min, 4 at a time (" in plan_table.outlook(every, estimator, 9)


def test_finished_cells_take_no_time() -> None:
    every = cells(methods="lift")
    (row,) = (
        line
        for line in printed(every, Estimator([], "cpu", FeatureIndex(None)), done=2)
        if line[0] == "lift"
    )
    assert row[1:] == ["0,1", "0", "2", "done", "–"]


def test_cells_without_an_estimate() -> None:
    every = cells(methods="lift", datasets="cifar10_lt", backbone="RN50/random")
    estimator = Estimator([], "cpu", FeatureIndex(None))
    assert estimator.cell(every[0]) == Guess(None, "")
    assert any("unknown" in line for line in printed(every, estimator))
    assert "2 of them without an estimate" in plan_table.outlook(every, estimator)


@pytest.mark.parametrize(
    ("seconds", "says"),
    [
        (0, "0 s"),
        (0.2, "1 s"),
        (89, "89 s"),
        (600, "10 min"),
        (7200, "2.0 h"),
        (864_000, "10 days"),
    ],
)
def test_durations_in_words(seconds: float, says: str) -> None:
    assert plan_table.duration(seconds) == says
