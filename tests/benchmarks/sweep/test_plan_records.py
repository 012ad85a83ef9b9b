"""Findings of a plan in the records of its cells."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from benchmarks.datasets.base import DataSet, Family
from benchmarks.sweep import plan
from benchmarks.sweep.cell import Cell
from benchmarks.sweep.plan import Planned
from results.schema import Record
from tests.results.factory import make_record


def _record(cell: Cell, status: str = "done", **changes: Any) -> Any:
    parts = {} if status == "done" else {"metrics": None, "error": "x"}
    defaults = {"key": cell.key, "identity": cell.identity, "status": status}
    return make_record(cell.method, cell.seed, **parts | defaults | changes)


@pytest.mark.parametrize(
    ("status", "state"),
    [("done", "done"), ("failed", "failed"), ("not_applicable", "not applicable")],
)
def test_a_cell_is_what_its_record_says(cell: Cell, status: str, state: str) -> None:
    record = _record(cell, status)
    other = make_record("lift", key="other", identity="other")
    assert plan.look_up([cell], [other, record]) == [Planned(cell, state, record)]


def test_a_cell_without_record_is_missing(cell: Cell) -> None:
    other = make_record("lift", key="other", identity="other")
    assert plan.look_up([cell], [other]) == [Planned(cell, "missing", None)]


def test_a_record_of_other_source_is_stale(cell: Cell) -> None:
    old = _record(cell, key="old")
    assert plan.look_up([cell], [old]) == [Planned(cell, "stale", old)]
    today = _record(cell)
    assert plan.look_up([cell], [today, old]) == [Planned(cell, "done", today)]


def test_a_record_of_nondeterministic_algorithms_is_stale_by_default(cell: Cell) -> None:
    record = _record(cell, notes=("another", plan.UNREPEATABLE))
    assert plan.look_up([cell], [record]) == [Planned(cell, "stale", record)]
    assert plan.look_up([cell], [record], repeatable=False) == [Planned(cell, "done", record)]


def test_the_newest_finished_of_several_stale_records_is_used(cell: Cell) -> None:
    first = _record(cell, key="b", provenance_finished="2026-01-01T00:00:00+00:00")
    second = _record(cell, key="a", provenance_finished="2026-01-02T00:00:00+00:00")
    broken = _record(cell, "failed", key="c", provenance_finished="2026-01-03T00:00:00+00:00")
    for records in ([first, second, broken], [broken, second, first]):
        assert plan.look_up([cell], records)[0].record == second


RUNS = {
    # state: rerun strategies under which it is computed, and whether --accept-stale keeps it
    "missing": ({"missing", "failed", "always"}, False),
    "stale": ({"missing", "failed", "always"}, True),
    "failed": ({"failed", "always"}, False),
    "done": ({"always"}, False),
    "not applicable": ({"always"}, False),
}


@pytest.mark.parametrize("state", RUNS)
@pytest.mark.parametrize("rerun", ["missing", "failed", "always"])
def test_which_cells_are_computed(cell: Cell, state: str, rerun: str) -> None:
    planned = Planned(cell, state, None)
    strategies, kept = RUNS[state]
    assert planned.to_run(rerun, accept_stale=False) == (rerun in strategies)
    expected = rerun in strategies and (not kept or rerun == "always")
    assert planned.to_run(rerun, accept_stale=True) == expected


@dataclasses.dataclass(frozen=True)
class _OwnPictures(Family):
    """Data of which a record holds the files' hash."""

    name = "pictures"
    task = "single"
    size: int = 8

    def pinned(self) -> dict[str, Any]:
        return {"size": self.size, "files": "today"}

    def load(self, root: Path, split_seed: int) -> DataSet:
        raise NotImplementedError

    def card(self) -> dict[str, str]:
        raise NotImplementedError


def test_records_from_before_the_files_changed_are_counted_if_any_is_missing(cell: Cell) -> None:
    own = dataclasses.replace(cell, family=_OwnPictures(), dataset="pictures")

    def record(key: str, dataset: str = "pictures", **config: Any) -> Record:
        return make_record(key=key, dataset=dataset, dataset_config={"size": 8} | config)

    records = [record("a", files="before"), record("b", files="earlier")]
    records += [record("c", files="today"), record("d", files="before", size=9), record("e")]
    records += [record("f", "other", files="before")]
    for state, found in (("missing", {"pictures": 2}), ("stale", {}), ("done", {}), ("failed", {})):
        assert plan.of_other_data([Planned(own, state, None)], records) == found, state
