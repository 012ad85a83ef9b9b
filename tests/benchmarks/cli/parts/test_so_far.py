"""The table so far."""

from __future__ import annotations

import dataclasses
import io

import pytest
from rich.console import Console

from benchmarks.cli.parts.so_far import SoFar
from benchmarks.sweep import plan
from benchmarks.sweep.cell import Cell
from benchmarks.sweep.settings import read_sweep
from tests.benchmarks.small import FIELDS
from tests.results.factory import failed_record, make_record


@pytest.fixture(scope="module")
def cells() -> dict[str, Cell]:
    sets = [f"glyphs100_lt.{name}={value}" for name, value in FIELDS.items()]
    flags = {"methods": "lift,ncm", "datasets": "glyphs100_lt", "device": "cpu", "set": sets}
    return {cell.method: cell for cell in plan.expand(read_sweep(None, flags)).cells}


def lines(so_far: SoFar, height: int = 20) -> list[list[str]]:
    stream = io.StringIO()
    table = so_far.table(height)
    if table is not None:
        Console(file=stream, width=100).print(table)
    return [line.split() for line in stream.getvalue().splitlines()]


def test_means_of_the_runs_so_far_the_best_first(cells: dict[str, Cell]) -> None:
    so_far = SoFar()
    assert lines(so_far) == []
    so_far.add(cells["lift"], make_record("lift", 0, overall=50.0))
    so_far.add(cells["lift"], make_record("lift", 1, overall=60.0))
    so_far.add(cells["lift"], failed_record("lift", 2))
    so_far.add(cells["ncm"], make_record("ncm", overall=70.0))
    title, heads, *rows = lines(so_far)
    assert title[:2] == ["so", "far:"]
    assert heads == ["method", "runs", "overall", "many", "medium", "few", "balanced"]
    assert rows == [["ncm", "1", *["70.0"] * 5], ["lift", "2", *["55.0"] * 5]]


def test_the_data_set_is_that_of_the_last_cell(cells: dict[str, Cell]) -> None:
    so_far = SoFar()
    so_far.add(cells["lift"], make_record("lift"))
    other = dataclasses.replace(cells["ncm"], dataset="scenes")
    so_far.add(other, make_record("ncm", task="multi", metrics_balanced=None))
    title, heads, *rows = lines(so_far)
    assert "scenes" in title
    assert heads == ["method", "runs", "mAP", "many", "medium", "few"]
    assert [row[0] for row in rows] == ["ncm"]


def test_a_low_terminal_has_the_best_rows_or_no_table(cells: dict[str, Cell]) -> None:
    so_far = SoFar()
    for i in range(6):
        cell = dataclasses.replace(cells["lift"], label=f"m{i}")
        so_far.add(cell, make_record("lift", overall=40.0 + i))
    *_, third, second, last = lines(so_far, 5)
    assert [third[0], second[0], " ".join(last)] == ["m5", "m4", "and 4 more"]
    assert lines(so_far, 3) == []
