"""Tables and records as CSV, unrounded, for a reader's own analysis."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from benchmarks.sweep.rows.comparability import as_json
from reports.aggregate import Table
from results.schema import Cost, Groups, Metrics, Provenance, Record, Selection


def table_csv(table: Table) -> str:
    """One line for each variant and metric: mean, std (ddof=1), n; empty where there is none."""
    lines: list[dict[str, Any]] = [
        {
            "dataset": table.dataset,
            "backbone": table.backbone,
            "method": row.method,
            "variant": row.label,
            "metric": name,
            "mean": summary.mean,
            "std": summary.std,
            "n": summary.n,
            "varies": row.spread,
            "cells": row.cells,
            "cells_without_result": len(row.failed),
            "stale": row.stale,
        }
        for row in table.rows
        for name, summary in row.values.items()
    ]
    return _csv(lines, list(lines[0]))


def records_csv(records: Iterable[Record]) -> str:
    """One line a record with all its fields but the class-wise ones; mappings are JSON."""
    by_class = {"class_names", "metrics.per_class", "groups.train_counts", "groups.membership"}
    names = []
    for field in fields(Record):
        part = _PARTS.get(field.name)
        names += [f"{field.name}.{f.name}" for f in fields(part)] if part else [field.name]
    names = [name for name in names if name not in by_class]
    return _csv([_flat(record, names) for record in records], names)


_PARTS = {
    "metrics": Metrics, "groups": Groups, "selection": Selection, "cost": Cost,
    "provenance": Provenance,
}  # fmt: skip


def _flat(record: Record, names: Sequence[str]) -> dict[str, Any]:
    """A record's fields of these names, those of its parts after a dot."""
    flat: dict[str, Any] = {}
    for name, value in vars(record).items():
        if name in _PARTS:
            if value is not None:
                flat |= {f"{name}.{key}": item for key, item in vars(value).items()}
        else:
            flat[name] = value
    return {
        name: as_json(value) if isinstance(value, dict | tuple) else value
        for name in names
        if (value := flat.get(name)) is not None
    }


def _csv(lines: Sequence[Mapping[str, Any]], names: Sequence[str]) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, names, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return stream.getvalue()
