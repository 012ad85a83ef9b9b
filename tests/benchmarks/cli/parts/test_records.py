"""Records of several folders, and folders with damaged records."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from benchmarks.cli.parts.records import load_records
from benchmarks.sweep import plan
from benchmarks.sweep.settings import read_sweep
from results.store import Store
from tests.benchmarks.cli.commands import Command
from tests.results.factory import change_file, make_record, record_of, with_key

IDS = np.array(["a", "b"])


def test_the_predictions_are_those_of_the_records_own_folder(tmp_path: Path) -> None:
    """Both folders hold the cell, from two runs, and the later one counts."""
    for name, day in (("one", 1), ("two", 2), ("three", 1)):
        record = with_key(make_record(provenance_finished=f"2026-01-0{day}T00:00:00+00:00"))
        arrays = {"ids": IDS, "labels": np.array([day, day]), "top5": np.array([[0], [0]])}
        Store(tmp_path / name).write(record, arrays)
    for names in (("one", "two", "three"), ("two", "one"), ("three", "two")):
        loaded = load_records([tmp_path / name for name in names], [], Console(quiet=True))
        (record,) = loaded.records
        assert loaded.read(record)["labels"].tolist() == [2, 2]


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "empty": lambda file: file.write_text(""),
    "brackets": lambda file: file.write_text("[" * 100_000),
    "NaN": lambda file: change_file(file, lambda data: data["metrics"].update(few=float("nan"))),
    "180": lambda file: change_file(file, lambda data: data["metrics"].update(overall=180)),
    "huge": lambda file: change_file(file, lambda data: data["cost"].update(fit_s=1e308)),
    "digits": lambda file: change_file(file, lambda data: data["metrics"].update(few=10**400)),
    "long": lambda file: change_file(file, lambda data: data.update(dataset="x" * 5000)),
    "surrogate": lambda file: change_file(file, lambda data: data.update(remark="\ud800")),
    "seed": lambda file: change_file(file, lambda data: data.update(seed=17)),
    "newer": lambda file: change_file(file, lambda data: data.update(schema_version=2)),
    "folder": lambda file: (file.unlink(), file.mkdir()),
    "pipe": lambda file: (file.unlink(), os.mkfifo(file)),
    "link": lambda file: (file.unlink(), file.symlink_to("nowhere")),
}


@pytest.fixture
def damaged(work: Path) -> list[Path]:
    """Records of a sweep in `runs`, the last ones damaged, each in another way."""
    (work / "sweep.yaml").write_text(
        f"methods: [ncm, coop]\ndatasets: [glyphs100_lt]\nseeds: {list(range(len(DAMAGE) + 1))}\n"
        "out: runs\n"
    )
    cells = plan.expand(read_sweep(work / "sweep.yaml", {})).cells
    arrays = {"ids": IDS, "labels": np.array([1, 2]), "top5": np.array([[0], [2]])}
    for cell in cells:
        Store(work / "runs").write(record_of(cell), arrays)
    files = [Path("runs/records") / f"{cell.key}.json" for cell in cells[-len(DAMAGE) :]]
    for file, damage in zip(files, DAMAGE.values(), strict=True):
        damage(file)
    return files


def test_a_damaged_record_is_one_line_and_the_others_are_used(
    command: Command, damaged: list[Path]
) -> None:
    for words in (
        ["report", "runs", "--out", "there"],
        ["plan", "--config", "sweep.yaml"],
        ["compare", "runs", "--a", "ncm", "--b", "coop"],
    ):
        ended = command(*words)
        assert (ended.status, ended.err) == (0, ""), words
        lines = [line for line in ended.out.splitlines() if line.startswith("Ignored: ")]
        assert len(lines) == len(damaged)
        for file in damaged:
            assert sum(f"Ignored: {file}: " in line for line in lines) == 1
    assert "15 cells, 13 to run" in command("plan", "--config", "sweep.yaml").out


def test_damaged_predictions_end_a_comparison_with_their_path(
    command: Command, damaged: list[Path]
) -> None:
    (kept,) = {file.stem for file in Path("runs/records").glob("*.json") if file.is_file()} & {
        record.key for record in Store(Path("runs")).all()[0] if record.method == "coop"
    }
    file = Path(f"runs/records/{kept}.npz")
    file.write_bytes(file.read_bytes()[:-1])
    ended = command("compare", "runs", "--a", "ncm", "--b", "coop")
    assert ended.status == 2
    assert ended.err.startswith(f"error: Damaged predictions {file} (")
    assert ended.err.count("\n") == 1
