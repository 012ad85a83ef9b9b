"""One metric of every variant on every data set, from the tables of several data sets.

Data sets that share images are no independent evidence: in statistics, `cifar100_lt` at three
ratios is one data set, and the mean of the three is its value. They share a `block`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.metrics import METRICS
from reports.across.variants import absence, aligned, block_of
from reports.table import Row, Table

Array = NDArray[np.float64]


@dataclass(frozen=True)
class DataSet:
    """A column of a matrix."""

    key: str
    """Its own name."""
    name: str
    """Its printed name."""
    block: str
    """Equal for data sets that share images."""


@dataclass(frozen=True)
class Cell:
    """A variant on a data set."""

    runs: tuple[float, ...]
    """Value of each run, in the unit of the metric."""
    missing: str = ""
    """Reason why there is no value."""
    fixed: bool = False
    """True for a deterministic method: its one run is what every seed would give."""

    @property
    def mean(self) -> float:
        """Mean over the runs; NaN without any."""
        return float(np.mean(self.runs)) if self.runs else float("nan")


@dataclass(frozen=True)
class Line:
    """A row of a matrix."""

    label: str
    name: str
    """Printed name."""
    flags: str
    """Signs of footnotes."""
    method: str
    cells: tuple[Cell, ...]
    """One for each data set."""
    rows: tuple[Row | None, ...]
    """The rows of the tables that the cells are from."""

    @property
    def complete(self) -> bool:
        """True if there is a value on every data set."""
        return all(cell.runs for cell in self.cells)


@dataclass(frozen=True)
class Matrix:
    """Variants by data sets, for one metric, backbone and task."""

    backbone: str
    backbone_name: str
    task: str
    metric: str
    data_sets: tuple[DataSet, ...]
    lines: tuple[Line, ...]
    """Sorted by label."""

    @property
    def blocks(self) -> list[str]:
        """The independent data sets, in the order of the columns."""
        return list(dict.fromkeys(data_set.block for data_set in self.data_sets))

    @property
    def higher_is_better(self) -> bool:
        """Direction of the metric."""
        return METRICS[self.metric].higher_is_better

    @property
    def title(self) -> str:
        """The metric as tables call it."""
        return METRICS[self.metric].title_for(self.task)

    def weights(self) -> Array:
        """(D,) weight of each data set in a mean: equal for all blocks, and within each."""
        sizes = Counter(data_set.block for data_set in self.data_sets)
        return np.array([1 / (len(sizes) * sizes[d.block]) for d in self.data_sets])

    def block_values(self, lines: Sequence[Line]) -> Array:
        """(L, B) mean of each line over the data sets of each block."""
        values = np.array([[cell.mean for cell in line.cells] for line in lines], dtype=float)
        of = np.array([data_set.block for data_set in self.data_sets])
        return np.stack([values[:, of == block].mean(1) for block in self.blocks], axis=1)


def matrices(tables: Sequence[Table], metric: str = "") -> list[Matrix]:
    """A matrix for each backbone and task that has two data sets or more with values.

    Args:
        tables: tables of any data sets and backbones.
        metric: key of a metric; empty for the main one of the tables, which is balanced accuracy on
            all of them if it is on one: on a balanced test set it equals the overall one.
    """
    found = []
    for backbone, task in sorted({(table.backbone, table.task) for table in tables}):
        own = [t for t in tables if (t.backbone, t.task) == (backbone, task)]
        mains = {table.main for table in own}
        key = metric or ("balanced" if "balanced" in mains else min(mains))
        own = [t for t in own if any(row.values[key].n for row in t.rows)]
        if len(own) > 1:
            found.append(_matrix(own, key))
    return found


def _matrix(tables: Sequence[Table], metric: str) -> Matrix:
    lines = [
        Line(
            one.label,
            one.name,
            one.flags,
            one.method,
            tuple(_cell(row, metric) for row in one.rows),
            one.rows,
        )
        for one in aligned(tables)
    ]
    return Matrix(
        backbone=tables[0].backbone,
        backbone_name=tables[0].backbone_name,
        task=tables[0].task,
        metric=metric,
        data_sets=tuple(DataSet(table.dataset, table.name, block_of(table)) for table in tables),
        lines=tuple(lines),
    )


def _cell(row: Row | None, metric: str) -> Cell:
    if row is None or not row.done:
        return Cell((), absence(row, metric))
    values = [getattr(record.metrics, metric) for record in row.done]
    runs = tuple(value for value in values if value is not None)
    fixed = all(record.deterministic for record in row.done)
    return Cell(runs, "" if runs else "no value", fixed)
