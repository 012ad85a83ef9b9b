"""Paired comparisons of two rows of a table: which runs are paired, and what is measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.errors import UserError, counted
from benchmarks.metrics import Metric
from benchmarks.priors import prior_in
from reports.compare.far_runs import note_on_far_runs
from reports.compare.intervals import Interval, RowInterval, paired_interval, row_interval
from reports.compare.parts import Array, compared_metrics, part_steps
from reports.compare.robust import FEWEST_RUNS, robust_interval
from reports.compare.runs import Parts, Read, Runs
from reports.compare.strata import Strata
from reports.compare.units import (
    Pair,
    is_fixed,
    is_one_run,
    notes,
    paired_units,
    sources,
    unit_names,
)
from reports.table import Row, Table


@dataclass(frozen=True)
class Comparison:
    """Variant A against variant B on one data set and backbone."""

    table: Table
    a: str
    b: str
    """Printed names of the two rows."""
    labels: tuple[str, str]
    """Their labels, by which a user refers to them."""
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
        named: metrics over groups of classes that the user names, for intervals of rows and of
            single metrics.
    """

    def __init__(self, read: Read, *, robust: bool = False, named: Sequence[Metric] = ()) -> None:
        self._runs, self._robust, self._named = Runs(read, named), robust, named

    def compare(self, table: Table, a: Row, b: Row) -> Comparison:
        """Compare A with B over the run seeds and splits that both have.

        Raises:
            UserError: the rows share no finished runs or too few for trimmed means, or predictions
                are missing, damaged or of different test images.
        """
        paired = self._paired(table, a, b)
        units, strata = paired.units, paired.strata
        robust = self._robust and not is_fixed(a, b)
        if robust and len(units) < FEWEST_RUNS:
            raise UserError(
                f"'{a.label}' and '{b.label}' share {counted(len(units), 'run')} on "
                f"{table.dataset} / {table.backbone}; --robust needs {FEWEST_RUNS} or more."
            )
        interval_of = robust_interval if robust else paired_interval
        names, far, sample = unit_names(units), list[str](), Strata(strata)
        intervals: dict[str, Interval | None] = {}
        differences: dict[str, tuple[float, ...]] = {}
        for name in (metric.key for metric in compared_metrics(table.task)):
            sides = paired.sides(name)
            if sides is None:
                intervals[name], differences[name] = None, ()
                continue
            intervals[name] = interval_of(*sides, strata, paired.steps.get(name))
            differences[name] = tuple(sample.total(sides[0] - sides[1]).tolist())
            if name == "overall":
                for row, side in zip((a, b), sides, strict=True):
                    far += note_on_far_runs(row.name, names, sample.total(side).tolist())
        return Comparison(
            table=table,
            a=a.name,
            b=b.name,
            labels=(a.label, b.label),
            intervals=intervals,
            covers=sources(a, b, units, len(strata)),
            notes=(*notes(a, b, units), *far),
            one_run=is_one_run(a, b, units),
            units=names,
            robust=robust,
            differences=differences,
        )

    def interval(self, table: Table, a: Row, b: Row, metric: str) -> Interval | None:
        """The interval of one metric over all runs, as `compare` finds it.

        Returns:
            None for an empty group, and for one run of a variant that draws random numbers.

        Raises:
            UserError: the rows share no finished runs, or predictions are missing, damaged or of
                different test images.
        """
        paired = self._paired(table, a, b)
        if is_one_run(a, b, paired.units):
            return None
        sides = paired.sides(metric)
        if sides is None:
            return None
        return paired_interval(*sides, paired.strata, paired.steps.get(metric))

    def row(self, table: Table, row: Row) -> dict[str, RowInterval]:
        """The interval of each compared metric of one row; without those of empty groups.

        Raises:
            UserError: predictions are missing, damaged or of different test images.
        """
        paired = self._paired(table, row, row)
        found = {}
        for name in (metric.key for metric in [*compared_metrics(table.task), *self._named]):
            sides = paired.sides(name)
            if sides is not None:
                found[name] = row_interval(sides[0], paired.strata, paired.steps.get(name))
        return found

    def _paired(self, table: Table, a: Row, b: Row) -> _Paired:
        units = paired_units(a, b)
        if not units:
            raise UserError(
                f"'{a.label}' and '{b.label}' have no finished run of the same seeds on "
                f"{table.dataset} / {table.backbone}."
            )
        images = {r.key: self._runs.images(r) for unit in units for pair in unit for r in pair}
        first = next(iter(images))
        for key, own in images.items():
            if own is not images[first]:
                raise UserError(
                    f"{table.dataset} / {table.backbone}: the runs of '{a.label}' and "
                    f"'{b.label}' were not tested on the same images (records/{first}.npz, "
                    f"records/{key}.npz), so nothing can be paired."
                )
        ids, labels = images[first]
        one = units[0][0][0]
        groups = one.groups
        assert groups is not None
        prior = prior_in(one.dataset_config, groups.train_counts)
        return _Paired(
            units,
            strata=labels if table.task == "single" else np.zeros(len(ids), dtype=np.int64),
            steps=part_steps(labels, np.array(groups.membership), prior, self._named),
            parts={r.key: self._runs.parts(r) for unit in units for pair in unit for r in pair},
        )


@dataclass(frozen=True)
class _Paired:
    """Pairs of runs that were tested on the same images."""

    units: list[list[Pair]]
    strata: NDArray[np.int64]
    """(N,) stratum of each image."""
    steps: Mapping[str, Array]
    """Metric -> (N,) change of a part when its image turns."""
    parts: Mapping[str, Parts]
    """Contributions of the images in each run, by the record's key."""

    def sides(self, metric: str) -> tuple[Array, Array] | None:
        """(units, N) parts of a metric on both sides; None if it is of an empty group."""
        if any(metric not in found for found in self.parts.values()):
            return None
        # With several splits the run seeds of each are averaged, and the splits vary.
        a, b = (
            np.stack(
                [
                    np.mean([self.parts[pair[side].key][metric] for pair in unit], axis=0)
                    for unit in self.units
                ]
            )
            for side in (0, 1)
        )
        return a, b
