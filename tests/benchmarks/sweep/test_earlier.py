"""Records made before a field was added."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from benchmarks.sweep import plan
from benchmarks.sweep.cell import Cell
from benchmarks.sweep.settings import Choice, Sweep
from results.schema import Record
from tests.results.factory import record_of, with_key


def cells(**changes: Any) -> list[Cell]:
    sweep = Sweep(
        methods=(Choice("linear_probe"),), datasets=(Choice("glyphs100_lt"),), seeds=(0,),
        device="cpu", **changes,
    )  # fmt: skip
    return plan.expand(sweep, lambda line: None).cells


def earlier(cell: Cell, *, without: str = "", knob: str = "") -> Record:
    """The record of a cell before its method or its data set had a field."""
    record = record_of(cell)
    config = {name: value for name, value in record.config.items() if name != without}
    knobs = {name: value for name, value in record.dataset_config.items() if name != knob}
    return with_key(dataclasses.replace(record, config=config, dataset_config=knobs))


@pytest.mark.parametrize("gone", [{"without": "tte"}, {"knob": "coverage"},
                                  {"without": "tte", "knob": "coverage"}])  # fmt: skip
def test_a_record_without_a_field_is_of_the_cell_with_its_default(gone: dict[str, str]) -> None:
    (cell,) = cells()
    record = earlier(cell, **gone)
    assert record.identity != cell.identity
    (planned,) = plan.look_up([cell], [record])
    assert (planned.state, planned.record) == ("stale", record)


def test_a_cell_with_another_value_of_the_field_is_missing() -> None:
    (cell,) = cells()
    (other,) = cells(set=(("linear_probe", "tte", True),))
    record = earlier(cell, without="tte")
    (planned,) = plan.look_up([other], [record])
    assert planned.state == "missing"
    (planned,) = plan.look_up([cell], [earlier(cell, without="lr")])
    assert planned.state == "stale"  # the default was the only value
