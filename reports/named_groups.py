"""Metrics of a table over groups of classes that the user names."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from benchmarks.datasets.partitions import Partition, partition_of
from benchmarks.errors import UserError
from benchmarks.metrics import Array, Metric, Outcome
from results.schema import Record


def key_of(group: str) -> str:
    """Key of a group's values among those of a row."""
    return f"group:{group}"


def partition_for(records: Sequence[Record], typed: str) -> Partition | None:
    """The partition of the classes of a table's records; None without finished ones.

    Args:
        records: those of a table.
        typed: a name or file of `benchmarks.datasets.partitions`; empty for the partition that the
            runs were given, if they all had the same.

    Raises:
        UserError: the data do not have the partition, or the records have different classes.
    """
    done = [record for record in records if record.metrics is not None]
    if not typed:
        return _of_runs(done)
    if not done:
        return None
    first = done[0]
    if any(record.class_names != first.class_names for record in done):
        raise UserError(f"--groups: the records of {first.dataset} have different classes.")
    assert first.metrics is not None
    if len(first.class_names) != len(first.metrics.per_class):
        raise UserError(f"--groups: the records of {first.dataset} do not name their classes.")
    found = partition_of(typed, "--groups", first.dataset, first.dataset_config, first.class_names)
    if len(found.membership) != len(first.metrics.per_class):
        raise UserError(f"--groups: {typed} does not have the classes of {first.dataset}.")
    return found


def _of_runs(done: Sequence[Record]) -> Partition | None:
    """The partition that all runs were given; None if any had none or another."""
    given = {
        (record.partition, record.groups.order, record.groups.named)
        for record in done
        if record.groups is not None
    }
    if len(given) != 1:
        return None
    ((title, order, named),) = given
    return Partition(title.partition("@")[0], order, named) if named else None


def metrics_over(partition: Partition | None) -> tuple[Metric, ...]:
    """A metric for each group: the unweighted mean over its tested classes."""
    if partition is None:
        return ()
    membership = np.array(partition.membership)
    return tuple(
        Metric(
            function=partial(_mean, members=membership == group),
            title=group,
            multi_title=group,
            tasks=("single", "multi"),
            higher_is_better=True,
            unit="%",
            printed=True,
            compared=True,
            drawn=False,
            group=key_of(group),
            weights=partial(_weights, members=membership == group),
            key=key_of(group),
        )
        for group in partition.groups
    )


def value_of(metric: Metric, record: Record) -> float | None:
    """The value of such a metric in a record, from its values by class."""
    if record.metrics is None:
        return None
    values = np.array(record.metrics.per_class, dtype=float)  # None becomes NaN
    tested = (~np.isnan(values)).astype(np.int64)
    return metric.function(Outcome(values, tested, np.full(len(values), "")))


def _weights(outcome: Outcome, members: NDArray[np.bool_]) -> Array:
    tested = outcome.tested() & members
    return np.asarray(tested / max(tested.sum(), 1))


def _mean(outcome: Outcome, members: NDArray[np.bool_]) -> float | None:
    values = outcome.values[outcome.tested() & members]
    return float(values.mean()) if values.size else None
