"""The line about bf16 on a CPU: only where it is a choice, is listed, and pays."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from benchmarks.cli.parts.sweeps import print_bf16
from benchmarks.inputs.feature_index import FeatureIndex
from benchmarks.sweep import half_precision, plan
from benchmarks.sweep.estimate import Estimator
from benchmarks.sweep.settings import read_sweep

ESTIMATOR = Estimator((), "cpu", FeatureIndex(None))


@pytest.fixture(autouse=True)
def listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The list of a processor with bf16."""
    file = tmp_path / "cpuinfo"
    file.write_text("flags\t\t: fpu avx512f avx512_bf16 avx512_fp16\n")
    monkeypatch.setattr(half_precision, "CPU_INFO", file)
    return file


def said(methods: str = "lift", dataset: str = "imagenet_lt", **flags: Any) -> str:
    """Output of a plan about bf16."""
    chosen = {"methods": methods, "datasets": dataset, "device": "cpu", "seeds": "0"} | flags
    sweep = read_sweep(None, chosen)
    console = Console(file=io.StringIO(), width=200)
    print_bf16(plan.expand(sweep).cells, ESTIMATOR, sweep, console, tried=False)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_the_part_of_the_adapters_time_is_said_in_one_line() -> None:
    sweep = read_sweep(None, {"methods": "lift,linear_probe", "datasets": "imagenet_lt"})
    cells = plan.expand(sweep).cells
    lift = sum(ESTIMATOR.cell(cell).seconds or 0.0 for cell in cells if cell.method == "lift")
    assert half_precision.seconds_saved(cells, ESTIMATOR, sweep) == pytest.approx(0.56 * lift)
    assert said().count("\n") == 1 and "--precision bf16 would save about" in said()


@pytest.mark.parametrize(
    ("methods", "dataset", "flags"),
    [
        ("linear_probe", "imagenet_lt", {}),  # on frozen features
        ("lift", "glyphs100_lt", {}),  # a small tower
        ("lift", "imagenet_lt", {"precision": "fp32"}),  # chosen
    ],
)
def test_nothing_is_said_where_it_does_not_pay(
    methods: str, dataset: str, flags: dict[str, Any]
) -> None:
    assert said(methods, dataset, **flags) == ""


@pytest.mark.parametrize("text", ["flags : avx512f avx512_fp16", "flags : not_bf16s"])
def test_nothing_is_said_where_the_processor_does_not_list_it(listed: Path, text: str) -> None:
    listed.write_text(text)
    assert said() == ""
    listed.unlink()
    assert said() == ""


def test_savings_below_a_minute_are_not_worth_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(half_precision, "STEP_RATIO", 1 - 1e-6)
    assert said() == ""
