"""One metric of every variant on every data set, from the tables of several data sets.

Two rows of two tables are the same variant if method, protocol and all fields agree except those
that a recipe set, and if both have a recipe or none: a recipe may have tuned its fields for each
data set separately. If a table has several such rows, what the recipe says must agree, too.

Data sets that share images are no independent evidence: in statistics, `cifar100_lt` at three
ratios is one data set, and the mean of the three is its value. They share a `block`: the data set's
name without its fields, and the seed of its world if that draws other images.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.metrics import METRICS
from benchmarks.sweep.rows.variants import shown, table_labels
from reports.layout import flags
from reports.table import Row, Table
from results.schema import Record

Array = NDArray[np.float64]
_OTHER_IMAGES = "world_seed"
"""Field of an embedded data set with which all its images and classes change."""


@dataclass(frozen=True)
class DataSet:
    """A column of a matrix."""

    name: str
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
    cells: tuple[Cell, ...]
    """One for each data set."""

    @property
    def complete(self) -> bool:
        """True if there is a value on every data set."""
        return all(cell.runs for cell in self.cells)


@dataclass(frozen=True)
class Matrix:
    """Variants by data sets, for one metric, backbone and task."""

    backbone: str
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


def matrices(tables: Sequence[Table], metric: str) -> list[Matrix]:
    """A matrix for each backbone and task that has two data sets or more with values.

    Args:
        tables: tables of any data sets and backbones.
        metric: key of a metric.
    """
    found = []
    for backbone, task in sorted({(table.backbone, table.task) for table in tables}):
        own = [t for t in tables if (t.backbone, t.task) == (backbone, task)]
        own = [t for t in own if any(row.values[metric].n for row in t.rows)]
        if len(own) > 1:
            found.append(_matrix(own, metric))
    return found


Key = tuple[str, ...]


def _matrix(tables: Sequence[Table], metric: str) -> Matrix:
    keyed = [_by_key(table.rows) for table in tables]
    several = {key for rows in keyed for key, same in rows.items() if len(same) > 1}
    columns: list[dict[Key, Row]] = []
    for rows in keyed:
        columns.append({})
        for key, same in rows.items():
            for row in same:
                tuning = _first(row).tuning
                longer = (*key, str(tuning)) if key in several else key
                columns[-1][longer] = row
    keys = sorted({key for column in columns for key in column})
    having = {key: [column[key] for column in columns if key in column] for key in keys}
    labels = _labels([_first(rows[0]) for rows in having.values()])
    lines = [
        Line(
            f"{label} {''.join(sorted({s for row in having[key] for s in flags(row)}))}".rstrip(),
            tuple(_cell(column.get(key), metric) for column in columns),
        )
        for key, label in zip(keys, labels, strict=True)
    ]
    return Matrix(
        backbone=tables[0].backbone,
        task=tables[0].task,
        metric=metric,
        data_sets=tuple(DataSet(table.dataset, _block(table)) for table in tables),
        lines=tuple(sorted(lines, key=lambda line: line.label)),
    )


def _by_key(rows: Iterable[Row]) -> Mapping[Key, list[Row]]:
    found: dict[Key, list[Row]] = {}
    for row in rows:
        record = _first(row)
        tuned = record.tuning.fields if record.tuning is not None else ()
        config = {n: shown(v) for n, v in record.config.items() if n not in tuned}
        recipe = "" if record.tuning is None else "tuned" if record.tuning.trials else "recipe"
        key = (row.method, record.protocol, recipe, repr(sorted(config.items())))
        found.setdefault(key, []).append(row)
    return found


def _labels(records: Sequence[Record]) -> list[str]:
    """Labels of variants, with the protocol for those that differ in nothing else."""
    labels = table_labels(records)
    often = Counter(labels)
    return [
        label if often[label] == 1 else f"{label} [{record.protocol}]"
        for label, record in zip(labels, records, strict=True)
    ]


def _first(row: Row) -> Record:
    return (*row.done, *row.failed)[0]


def _cell(row: Row | None, metric: str) -> Cell:
    if row is None:
        return Cell((), "not run")
    if row.not_applicable:
        return Cell((), "not applicable")
    if not row.done:
        return Cell((), "failed")
    values = [getattr(record.metrics, metric) for record in row.done]
    runs = tuple(value for value in values if value is not None)
    fixed = all(record.deterministic for record in row.done)
    return Cell(runs, "" if runs else "no value", fixed)


def _block(table: Table) -> str:
    knobs = _first(table.rows[0]).dataset_config
    name = table.dataset.partition(" (")[0]
    ratio = knobs.get("imbalance")
    if isinstance(ratio, int | float):
        name = name.removesuffix(f"_ir{ratio:g}")
    seed = knobs.get(_OTHER_IMAGES, 0)
    return f"{name}, {_OTHER_IMAGES} {seed}" if seed else name
