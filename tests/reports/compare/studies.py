"""Made-up records with predictions, to be compared."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from rich.console import Console

from reports.aggregate import build_tables
from reports.compare.comparison import Comparer, Comparison, against
from reports.compare.rows import find_row
from reports.table import Table
from results.schema import Record
from tests.results.factory import failed_record, make_record

COUNTS = (300, 200, 50, 30, 10, 5)
LABELS = np.repeat(np.arange(6), 20)
IDS = np.array([f"image {i}" for i in range(120)])


class Study:
    """Records with their predictions; `table` and `compare` as the suite makes them."""

    def __init__(self) -> None:
        self.records, self.predictions = [], {}

    def add(
        self,
        method: str,
        seed: int = 0,
        accuracy: float | np.ndarray = 0.5,
        order: np.ndarray | None = None,
        labels: np.ndarray = LABELS,
        ids: np.ndarray = IDS,
        own: np.random.Generator | None = None,
        **changes: Any,
    ) -> Record:
        """A run that is right on each image with a probability."""
        own = own or np.random.default_rng([seed, *method.encode()])
        right = own.random(len(labels)) < accuracy
        by_class = [float(100 * right[labels == c].mean()) for c in range(6)]
        record = make_record(
            method, seed, overall=float(100 * right.mean()), per_class=by_class,
            counts=COUNTS, **changes,
        )  # fmt: skip
        top = np.tile(np.arange(5), (len(labels), 1))
        top[:, 0] = np.where(right, labels, (labels + 1) % 6)
        order = np.arange(len(labels)) if order is None else order
        arrays = {"ids": ids, "labels": labels.astype(np.int32), "top5": top.astype(np.int32)}
        self.records.append(record)
        self.predictions[record.key] = {name: array[order] for name, array in arrays.items()}
        return record

    def first(self, seeds: int) -> Study:
        """The study with the first seeds alone."""
        kept = Study()
        kept.records = [record for record in self.records if record.seed < seeds]
        kept.predictions = self.predictions
        return kept

    def predictions_of(self, record: Record) -> dict[str, np.ndarray]:
        """The predictions stored with a record."""
        return self.predictions[record.key]

    def table(self, **options: Any) -> Table:
        (table,) = build_tables(self.records, **options)
        return table

    def compare(self, a: str, b: str, **options: Any) -> Comparison:
        table = self.table(**options)
        comparer = Comparer(self.predictions_of)
        return comparer.compare(table, find_row(table, a), find_row(table, b))


def study(
    a_seeds: Sequence[int] = (0, 1, 2), b_seeds: Sequence[int] = (0, 1, 2), **changes: Any
) -> Study:
    result = Study()
    for seed in a_seeds:
        result.add("sage", seed, 0.8, **changes)
    for seed in b_seeds:
        result.add("lift", seed, 0.4)
    return result


def text_of(print_it: Callable[..., None], *arguments: Any, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width)
    print_it(*arguments, console)
    return console.file.getvalue()


def everyone() -> tuple[list[Comparison], list[str]]:
    """Every row against `lift`, and what cannot be compared."""
    made = study()
    made.add("ncm", 0, 0.41, deterministic=True)
    made.records.append(failed_record("coop"))
    table = made.table()
    comparer = Comparer(made.predictions_of)
    return against(table, find_row(table, "lift"), comparer)
