"""Records as CSV, unrounded, for a reader's own analysis."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any

from benchmarks.metrics import Metrics
from benchmarks.sweep.rows.comparability import as_json
from reports.csv_text import csv_text
from results.schema import Cost, Groups, Provenance, Record, Selection


def records_csv(records: Iterable[Record]) -> str:
    """One line for each record with all fields except those by class; mappings are JSON."""
    by_class = {"class_names", "metrics.per_class", "groups.train_counts", "groups.membership"}
    names = []
    for field in fields(Record):
        part = _PARTS.get(field.name)
        names += [f"{field.name}.{f.name}" for f in fields(part)] if part else [field.name]
    names = [name for name in names if name not in by_class]
    return csv_text(names, [_flat(record, names) for record in records])


_PARTS = {
    "metrics": Metrics, "groups": Groups, "selection": Selection, "cost": Cost,
    "provenance": Provenance,
}  # fmt: skip


def _flat(record: Record, names: Sequence[str]) -> dict[str, Any]:
    """Fields of a record by name; a field of a part is named `part.field`."""
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
