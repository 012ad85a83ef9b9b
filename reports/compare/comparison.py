"""Paired comparisons of two rows of a table: which runs are paired, and what is measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.errors import UserError, did_you_mean
from benchmarks.metrics import METRICS
from benchmarks.sweep.rows import labels
from benchmarks.sweep.rows.labels import Named, choose
from reports.compare.intervals import Interval, paired_interval
from reports.compare.parts import (
    Array,
    accuracy_parts,
    compared_metrics,
    part_steps,
    precision_parts,
)
from reports.table import Row, Table
from results.schema import Record

Read = Callable[[Record], Mapping[str, NDArray[Any]]]
"""Returns the predictions stored with a record."""
NEEDED = frozenset({"ids", "labels", "top5", "scores", "right"})
"""Names of the prediction arrays that comparisons use, if present."""


@dataclass(frozen=True)
class Comparison:
    """Variant A against variant B on one data set and backbone."""

    table: Table
    a: str
    b: str
    """Labels of the two rows."""
    intervals: Mapping[str, Interval | None]
    """Interval of each compared metric by its key; None for an empty group."""
    covers: str
    """Sources of variation in the intervals: test images and, if there are several, runs."""
    notes: tuple[str, ...]
    """Notes for the reader: runs left out, stale records."""


def verdict(metric: str, interval: Interval | None) -> str:
    """`A better`, `B better`, `no difference shown`, or nothing for an empty group."""
    if interval is None:
        return ""
    if interval.low <= 0 <= interval.high:
        return "no difference shown"
    a_better = (interval.low > 0) == METRICS[metric].higher_is_better
    return "A better" if a_better else "B better"


def find_row(table: Table, wanted: str) -> Row | None:
    """The row that a label names (see `benchmarks.sweep.rows.labels`).

    Returns:
        None if there is no such row.

    Raises:
        UserError: the label names several rows.
    """
    index = choose(wanted, _named(table), table.dataset)
    return None if index is None else table.rows[index]


def also_named(table: Table, wanted: str) -> Row | None:
    """A row other than that of `find_row` which the label could mean; None if there is none."""
    rows = _named(table)
    index = choose(wanted, rows, table.dataset)
    other = None if index is None else labels.also_named(wanted, rows, index)
    return None if other is None else table.rows[other]


def _named(table: Table) -> list[Named]:
    firsts = [(*row.done, *row.failed)[0] for row in table.rows]
    return [
        Named(first.method, first.config, first.tuning, first.protocol, row.label)
        for row, first in zip(table.rows, firsts, strict=True)
    ]


def unknown_variant(tables: Sequence[Table], wanted: str) -> UserError:
    """The error for a label that is in no table."""
    return did_you_mean("variant", wanted, {row.label for table in tables for row in table.rows})


def against(table: Table, baseline: Row, comparer: Comparer) -> tuple[list[Comparison], list[str]]:
    """Comparisons of all other rows of a table with one row, and a line for each that fails.

    Rows that do not apply to the data are skipped; the table says why.
    """
    found, problems = [], []
    if not baseline.done:
        where = f"{table.dataset} / {table.backbone}"
        return [], [f"'{baseline.label}' has no finished run on {where}."]
    for row in table.rows:
        if row is not baseline and not row.not_applicable:
            try:
                found.append(comparer.compare(table, row, baseline))
            except UserError as error:
                problems.append(str(error))
    return found, problems


class Comparer:
    """Compares rows of tables and reads the predictions of each run once.

    Args:
        read: returns the predictions of a record.
    """

    def __init__(self, read: Read) -> None:
        self._read = read
        self._runs: dict[str, _Run] = {}
        self._images: list[Images] = []

    def compare(self, table: Table, a: Row, b: Row) -> Comparison:
        """Compare A with B over the run seeds and splits that both have.

        Raises:
            UserError: the rows share no finished runs, or predictions are missing, damaged or of
                different test images.
        """
        units = _units(a, b)
        if not units:
            raise UserError(
                f"'{a.label}' and '{b.label}' have no finished run of the same seeds on "
                f"{table.dataset} / {table.backbone}."
            )
        runs = {r.key: self._run(r) for unit in units for pair in unit for r in pair}
        first = next(iter(runs.values()))
        for key, run in runs.items():
            if run.images is not first.images:
                files = f"records/{next(iter(runs))}.npz, records/{key}.npz"
                raise UserError(
                    f"{table.dataset} / {table.backbone}: the runs of '{a.label}' and "
                    f"'{b.label}' were not tested on the same images ({files}), so nothing can be "
                    "paired."
                )
        ids, labels = first.images
        groups = units[0][0][0].groups
        assert groups is not None
        steps = part_steps(labels, np.array(groups.membership))
        strata = labels if table.task == "single" else np.zeros(len(ids), dtype=int)
        parts = {key: run.parts() for key, run in runs.items()}
        intervals: dict[str, Interval | None] = {}
        for name in (metric.key for metric in compared_metrics(table.task)):
            if any(name not in found for found in parts.values()):
                intervals[name] = None
                continue
            # With several splits the run seeds of each are averaged, and the splits vary.
            side_a, side_b = (
                np.stack(
                    [np.mean([parts[p[side].key][name] for p in unit], axis=0) for unit in units]
                )
                for side in (0, 1)
            )
            intervals[name] = paired_interval(side_a, side_b, strata, steps.get(name))
        covers = _covers(a, b, units, len(ids))
        return Comparison(table, a.label, b.label, intervals, covers, _notes(a, b, units))

    def _run(self, record: Record) -> _Run:
        if record.key not in self._runs:
            ids, labels, parts = _load(record, self._read(record))
            self._runs[record.key] = _Run(self._shared(ids, labels), parts)
        return self._runs[record.key]

    def _shared(self, ids: NDArray[np.str_], labels: NDArray[np.int64]) -> Images:
        """The same object for equal images, so that a hundred runs keep one copy."""
        for known in self._images:
            if np.array_equal(known[0], ids) and np.array_equal(known[1], labels):
                return known
        self._images.append((ids, labels))
        return self._images[-1]


Images = tuple[NDArray[np.str_], NDArray[np.int64]]
"""Sample ids in their order and labels, (N,) or (N, C)."""
Parts = Mapping[str, Array]
"""Metric -> (N,) contributions of the images."""


@dataclass(frozen=True)
class _Run:
    """The predictions of a run, in the order of its sample ids."""

    images: Images
    parts: Callable[[], Parts]
    """Computes the parts; those that are quick to compute are not kept in memory."""


def _load(
    record: Record, data: Mapping[str, NDArray[Any]]
) -> tuple[NDArray[np.str_], NDArray[np.int64], Callable[[], Parts]]:
    """Ids, labels and parts of a run."""
    assert record.groups is not None and record.metrics is not None
    order = np.argsort(data["ids"], kind="stable")
    labels = data["labels"][order].astype(np.int64)
    membership = np.array(record.groups.membership)
    if record.task == "multi":
        kept = precision_parts(data["scores"][order], labels, membership)
        return data["ids"][order], labels, lambda: kept
    right = data["right"][order] if "right" in data else data["top5"][order, 0] == labels
    # The smallest integer type for the labels, because a table may have hundreds of runs.
    small = labels.astype(np.min_scalar_type(max(len(membership) - 1, 0)))
    return data["ids"][order], small, lambda: accuracy_parts(right, small, membership)


Pair = tuple[Record, Record]


def _units(a: Row, b: Row) -> list[list[Pair]]:
    """Pairs of runs, grouped by the unit that varies: runs of a single split, or splits.

    A deterministic method has one run for each split, paired with every run of the other method.
    """
    splits: dict[int, list[Pair]] = {}
    for record in a.done:
        for other in b.done:
            same = record.seed == other.seed or record.deterministic or other.deterministic
            if record.split_seed == other.split_seed and same:
                splits.setdefault(record.split_seed, []).append((record, other))
    if len(splits) > 1:
        return [splits[split] for split in sorted(splits)]
    return [[pair] for pairs in splits.values() for pair in pairs]


def _covers(a: Row, b: Row, units: list[list[Pair]], images: int) -> str:
    """Sources of variation in the interval, in words."""
    text = f"the choice of {images:,} test images"
    splits = list(dict.fromkeys(unit[0][0].split_seed for unit in units))
    pairs = [pair for unit in units for pair in unit]
    seeds = sorted({s.seed if r.deterministic else r.seed for r, s in pairs})
    fixed = a.done[0].deterministic and b.done[0].deterministic
    if len(splits) > 1:
        sizes = sorted({len(unit) for unit in units})
        number = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
        inner = "" if sizes == [1] else f", the mean over {number} run seeds on each"
        text += f" and of {len(splits)} splits (split seeds {_list(splits)}{inner})"
    elif fixed:
        text += "; both variants are deterministic"
    elif len(units) == 1:
        text += f" alone: there is one run (seed {_list(seeds)})"
    else:
        text += f" and of {len(seeds)} run seeds ({_list(seeds)})"
    return text + "."


def _notes(a: Row, b: Row, units: list[list[Pair]]) -> tuple[str, ...]:
    used = {record.key for unit in units for pair in unit for record in pair}
    notes = []
    for row, other in ((a, b), (b, a)):
        left_out = [record for record in row.done if record.key not in used]
        if left_out:
            seeds = _list(f"{r.seed}/{r.split_seed}" for r in left_out)
            notes.append(
                f"{row.label}: {len(left_out)} of {len(row.done)} runs left out (run/split seed "
                f"{seeds}), because {other.label} has no runs to pair them with."
            )
        if row.done[0].deterministic and not other.done[0].deterministic:
            notes.append(f"{row.label} is deterministic: its one run is paired with every seed.")
        if row.stale:
            notes.append(f"{row.label}: made with another version of the method's source.")
        if row.failed:
            notes.append(f"{row.label}: {len(row.failed)} of {row.cells} runs have no result.")
    return tuple(notes)


def _list(items: Iterable[object]) -> str:
    return ", ".join(map(str, items))
