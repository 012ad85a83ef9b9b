"""Recipes whose method is another one today."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from benchmarks.cli.parts.plan_table import print_plan
from benchmarks.cli.parts.recipes import renew_recipe_state
from benchmarks.inputs.feature_index import FeatureIndex
from benchmarks.sweep import plan
from benchmarks.sweep.cell import Cell
from benchmarks.sweep.estimate import Estimator
from benchmarks.sweep.fingerprints import fingerprint
from benchmarks.sweep.recipe_files import Recipe, write_recipe
from benchmarks.sweep.recipe_state import is_stale, state_of
from benchmarks.sweep.settings import read_sweep
from methods.registry import METHODS
from results.store import Store
from tests.results.factory import make_record, record_of

Write = Callable[..., Recipe]


@pytest.fixture
def recipe(tmp_path: Path) -> Write:
    """Writes a recipe of linear_probe, which was tuned with its present source."""

    def write(name: str = "probe.yaml", **changes: Any) -> Recipe:
        tuning: dict[str, Any] = {"source": _source()} | changes.pop("tuning", {})
        values: dict[str, Any] = {
            "method": "linear_probe", "dataset": "glyphs100_lt", "backbone": "glyph",
            "protocol": "equal", "origin": "tuned-on-glyphs100_lt, 9 trials", "trials": 9,
            "fields": {"lr": 0.5},
        }  # fmt: skip
        found = Recipe(tmp_path / name, tuning=tuning, **(values | changes))
        write_recipe(found)
        return found

    return write


def _source(**fields: Any) -> str:
    defaults = {name: field.default for name, field in METHODS.fields("linear_probe").items()}
    return fingerprint("linear_probe", defaults | fields)


def _planned(recipe: Recipe, *assignments: str) -> tuple[list[Cell], list[str]]:
    flags = {
        "methods": "linear_probe,ncm", "datasets": "glyphs100_lt", "device": "cpu", "seeds": "0",
        "recipes": [str(recipe.file)], "set": list(assignments),
    }  # fmt: skip
    said: list[str] = []
    return plan.expand(read_sweep(None, flags), said.append).cells, said


def test_the_source_tells_the_state(recipe: Write) -> None:
    assert state_of(recipe()) == "current"
    old = recipe(tuning={"source": "0" * 16})
    assert state_of(old) == "stale"
    assert is_stale(old)
    assert state_of(recipe(tuning={"source": ""})) == "by hand"
    assert state_of(recipe(method="nothing")) == "unknown method"


def test_a_fixed_loss_is_part_of_the_source(recipe: Write) -> None:
    usual = METHODS.fields("linear_probe")["loss"].default
    other = "balanced_softmax"
    assert _source(loss=other) != _source()
    tuned = recipe(tuning={"source": _source(loss=other), "fixed": {"loss": other}})
    assert state_of(tuned) == "current"
    assert state_of(recipe(tuning={"fixed": {"loss": other}})) == "stale"
    # A row with another loss than the tuned one does not make the recipe stale.
    cells, said = _planned(recipe(), f"linear_probe.loss={other}")
    assert usual != other
    assert [cell.tuning.stale for cell in cells if cell.tuning] == [False]
    assert not said


def test_the_plan_names_stale_recipes(recipe: Write) -> None:
    assert _planned(recipe())[1] == []
    old = recipe("old.yaml", tuning={"source": "0" * 16})
    cells, said = _planned(old)
    assert [cell.tuning is not None and cell.tuning.stale for cell in cells] == [True, False]
    (line,) = said
    assert line.startswith("1 recipe was tuned with another version of the method's source: ")
    assert "old.yaml" in line
    console = Console(file=io.StringIO(), width=200)
    estimator = Estimator([], "cpu", FeatureIndex(None))
    print_plan(plan.look_up(cells, []), cells, estimator, console)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    (row,) = (line for line in shown.splitlines() if line.startswith("linear_probe"))
    assert "1 missing †" in row
    assert "† its recipe was tuned with another version of the method's source" in shown
    assert shown.count("†") == 2


def test_a_recipe_of_which_nothing_is_used_is_not_named(recipe: Write) -> None:
    old = recipe(tuning={"source": "0" * 16})
    cells, said = _planned(old, "linear_probe.lr=0.1")
    assert not any(cell.tuning for cell in cells)
    assert said == []


def test_a_renewed_recipe_with_the_same_winner_clears_the_record(
    recipe: Write, tmp_path: Path
) -> None:
    before, _ = _planned(recipe("old.yaml", tuning={"source": "0" * 16}))
    after, _ = _planned(recipe("new.yaml"))
    assert [cell.key for cell in before] == [cell.key for cell in after]
    store = Store(tmp_path)
    arrays = {"labels": [0, 1], "top5": [[0], [1]], "top5_prob": [[1.0], [1.0]],
              "true_prob": [1.0, 1.0], "ids": ["a", "b"]}  # fmt: skip
    for cell in before:
        store.write(record_of(cell), arrays)  # type: ignore[arg-type]
    planned = plan.look_up(after, store.all()[0])
    assert {p.state for p in planned} == {"done"}
    found = renew_recipe_state(planned, store)
    stored = {record.key: record for record in Store(tmp_path).all()[0]}
    for p in found:
        assert p.record == stored[p.cell.key]
        assert (p.record.tuning is None) == (p.cell.method == "ncm")
        assert p.record.tuning is None or not p.record.tuning.stale
        store.predictions(p.cell.key)
    # And the other way round: the source changed back.
    again = renew_recipe_state(plan.look_up(before, list(stored.values())), store)
    assert [p.record.tuning.stale for p in again if p.record and p.record.tuning] == [True]


def test_cells_without_a_finished_record_are_left_alone(recipe: Write, tmp_path: Path) -> None:
    cells, _ = _planned(recipe(tuning={"source": "0" * 16}))
    failed = make_record("linear_probe", key=cells[0].key, status="failed", error="boom")
    planned = plan.look_up(cells, [failed])
    assert renew_recipe_state(planned, Store(tmp_path)) == planned
