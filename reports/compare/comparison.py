"""Paired comparisons of two rows of a table: which runs are paired, and what is measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.errors import UserError, counted
from reports.compare.far_runs import note_on_far_runs
from reports.compare.intervals import Interval, paired_interval
from reports.compare.parts import (
    Array,
    accuracy_parts,
    compared_metrics,
    part_steps,
    precision_parts,
)
from reports.compare.robust import FEWEST_RUNS, robust_interval
from reports.compare.strata import Strata
from reports.compare.units import is_fixed, notes, paired_units, sources, unit_names
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
    one_run: bool
    """True if a variant draws random numbers and has one run: the interval covers no other."""
    units: tuple[str, ...]
    """Names of the runs or splits that vary."""
    robust: bool
    """True for trimmed means over runs."""
    differences: Mapping[str, tuple[float, ...]]
    """A - B of each unit in points by the metric's key; empty for an empty group."""


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
        robust: take trimmed means over runs, unless both variants are deterministic.
    """

    def __init__(self, read: Read, *, robust: bool = False) -> None:
        self._read, self._robust = read, robust
        self._runs: dict[str, _Run] = {}
        self._images: list[Images] = []

    def compare(self, table: Table, a: Row, b: Row) -> Comparison:
        """Compare A with B over the run seeds and splits that both have.

        Raises:
            UserError: the rows share no finished runs or too few for trimmed means, or predictions
                are missing, damaged or of different test images.
        """
        units = paired_units(a, b)
        if not units:
            raise UserError(
                f"'{a.label}' and '{b.label}' have no finished run of the same seeds on "
                f"{table.dataset} / {table.backbone}."
            )
        robust = self._robust and not is_fixed(a, b)
        if robust and len(units) < FEWEST_RUNS:
            raise UserError(
                f"'{a.label}' and '{b.label}' share {counted(len(units), 'run')} on "
                f"{table.dataset} / {table.backbone}; --robust needs {FEWEST_RUNS} or more."
            )
        interval_of = robust_interval if robust else paired_interval
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
        names, far = unit_names(units), list[str]()
        intervals: dict[str, Interval | None] = {}
        differences: dict[str, tuple[float, ...]] = {}
        for name in (metric.key for metric in compared_metrics(table.task)):
            if any(name not in found for found in parts.values()):
                intervals[name], differences[name] = None, ()
                continue
            # With several splits the run seeds of each are averaged, and the splits vary.
            side_a, side_b = (
                np.stack(
                    [np.mean([parts[p[side].key][name] for p in unit], axis=0) for unit in units]
                )
                for side in (0, 1)
            )
            intervals[name] = interval_of(side_a, side_b, strata, steps.get(name))
            sample = Strata(strata)
            differences[name] = tuple(sample.total(side_a - side_b).tolist())
            if name == "overall":
                for row, side in ((a, side_a), (b, side_b)):
                    far += note_on_far_runs(row.label, names, sample.total(side).tolist())
        return Comparison(
            table=table,
            a=a.label,
            b=b.label,
            intervals=intervals,
            covers=sources(a, b, units, len(ids)),
            notes=(*notes(a, b, units), *far),
            one_run=len(units) == 1 and not is_fixed(a, b),
            units=names,
            robust=robust,
            differences=differences,
        )

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
