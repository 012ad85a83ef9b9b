"""The lines that a run prints as its cells finish."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from benchmarks.cli.parts.progress import ProgressDisplay
from benchmarks.datasets.families.imagenet_lt import ImageNetLT
from benchmarks.sweep import plan
from benchmarks.sweep.cell import Cell
from benchmarks.sweep.settings import read_sweep
from tests.benchmarks.small import FIELDS
from tests.results.factory import failed_record, make_record


@pytest.fixture
def cell(tmp_path: Path) -> Cell:
    sets = [f"glyphs100_lt.{name}={value}" for name, value in FIELDS.items()]
    flags = {"methods": "lift", "datasets": "glyphs100_lt", "device": "cpu", "set": sets}
    return plan.expand(read_sweep(None, flags)).cells[0]


def printed(cell: Cell, *records: Any) -> list[str]:
    stream = io.StringIO()
    with ProgressDisplay(Console(file=stream, width=300), len(records), 0) as display:
        for record in records:
            display.finished(cell, record)
    return stream.getvalue().splitlines()


def test_a_cell_on_features_shows_no_wait(cell: Cell) -> None:
    (line,) = printed(cell, make_record())
    assert line.endswith("50.0 % (many 50.0 medium 50.0 few 50.0) 14.0 s")


def test_the_data_wait_is_printed(cell: Cell) -> None:
    (line,) = printed(cell, make_record(cost_data_wait_s=9.0))
    assert line.endswith("14.0 s, data wait 72.0 %")  # a few seconds need no advice
    (line,) = printed(cell, make_record(cost_data_wait_s=0.15))
    assert line.endswith("14.0 s, data wait 1.2 %")


def test_advice_on_a_long_data_wait_is_printed_once(cell: Cell) -> None:
    # 10,000 images in 125 s, 100 s of which are steps
    much = make_record(cost_data_wait_s=25.0, cost_fit_s=125.0, cost_images_seen=10_000)
    first, said, second = printed(cell, much, much)
    assert first.endswith("data wait 20.0 %")
    assert second.endswith("data wait 20.0 %")
    assert "images arrive at 80 a second, training could use 100" in said
    assert said.endswith("more CPU cores help")
    photographs = dataclasses.replace(cell, family=ImageNetLT(), dataset="imagenet_lt")
    _, said = printed(photographs, much)
    assert "--set imagenet_lt.cache_images=256" in said
    resized = dataclasses.replace(cell, family=ImageNetLT(cache_images=256))
    assert "--set" not in printed(resized, much)[1]


def test_a_failed_cell_and_a_cell_without_training(cell: Cell) -> None:
    failed, untrained = printed(
        cell, failed_record("lift"), make_record(cost_data_wait_s=0.0, cost_fit_s=0.0)
    )
    assert failed.endswith("failed: boom")
    assert untrained.endswith("1.5 s")


def test_a_long_name_keeps_the_counters_visible(
    cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name of a data set lists its fields, so it may be long."""
    monkeypatch.setenv("TERM", "xterm")  # bars are for terminals that can redraw
    stream = io.StringIO()
    display = ProgressDisplay(Console(file=stream, width=80, force_terminal=True), 2, 0)
    long = dataclasses.replace(cell, dataset="glyphs100_lt (" + "n_max=20, " * 12 + ")")
    with display:
        display.started(long)
        display.stepped(2, 5, 1, 4)
        display._progress.refresh()
    lines = [line for line in stream.getvalue().splitlines() if "epoch 3/5" in line]
    assert lines and all("1/4" in line and "left" in line for line in lines)
    assert any("0/2" in line for line in stream.getvalue().splitlines())
