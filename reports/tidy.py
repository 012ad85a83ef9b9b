"""Tables and records as CSV, unrounded, for a reader's own analysis."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

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
    parts = {
        "metrics": Metrics, "groups": Groups, "selection": Selection, "cost": Cost,
        "provenance": Provenance,
    }  # fmt: skip
    by_class = {"class_names", "metrics.per_class", "groups.train_counts", "groups.membership"}
    names = []
    for field in fields(Record):
        part = parts.get(field.name)
        names += [f"{field.name}.{f.name}" for f in fields(part)] if part else [field.name]
    names = [name for name in names if name not in by_class]
    return _csv([_flat(record) for record in records], names)


def _flat(record: Record) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in vars(record).items():
        if name in ("metrics", "groups", "selection", "cost", "provenance"):
            if value is not None:
                flat |= {f"{name}.{key}": item for key, item in asdict(value).items()}
        else:
            flat[name] = value
    return {
        name: json.dumps(value, sort_keys=True) if isinstance(value, dict | tuple) else value
        for name, value in flat.items()
    }


def _csv(lines: Sequence[Mapping[str, Any]], names: Sequence[str]) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, names, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return stream.getvalue()
