"""Runs of the small world that the tests of runner and bench share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.run import runner
from benchmarks.run.display import Silent
from benchmarks.run.options import RunOptions
from benchmarks.sweep.cell import Cell
from results.schema import Record

SMALL = "glyphs100_lt_ir8 (n_max=35, classes=4, test_per_class=4)"
"""The small world's name: the family and every knob that is not at its default."""


class Watcher(Silent):
    """A display that remembers."""

    def __init__(self) -> None:
        self.prepared: list[str] = []
        self.lines: list[str] = []
        self.steps: list[tuple[int, int, int, int]] = []

    def preparing(self, what: str, done: int = 0, total: int = 0) -> None:
        self.prepared.append(what)

    def started(self, cell: Cell) -> None:
        self.lines.append(f"started {cell.method} {cell.seed}")

    def stepped(self, epoch: int, epochs: int, step: int, steps: int) -> None:
        self.steps.append((epoch, epochs, step, steps))

    def finished(self, cell: Cell, record: Record) -> None:
        self.lines.append(f"{record.status} {cell.method} {cell.seed}")

    def lanes(self, count: int) -> Sequence[Watcher]:
        return [self] * count


def run(
    cells: list[Cell],
    out: Path,
    watcher: Watcher | None = None,
    known: Mapping[str, Record | None] | None = None,
    **options: Any,
) -> list[Record]:
    where = RunOptions(
        out=out, data_root=out.parent / "data", device=torch.device("cpu"), **options
    )
    return runner.run(cells, where, watcher or Watcher(), known=known)


Cells = Callable[..., list[Cell]]
