"""Records as a page shows them: everything they say, with what they share once."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np

from reports.page.packing import Pool, packed
from reports.page.predicted import Predicted
from results.schema import Record

_SHARED = (
    "dataset", "backbone", "task", "protocol", "precision", "transform", "recipe",
    "dataset_version", "deterministic", "remark",
)  # fmt: skip
_TIMES = ("started", "finished")


def records_data(
    records: Iterable[Record], pool: Pool, predicted: Predicted
) -> list[dict[str, Any]]:
    """One mapping for each record, in their order.

    Args:
        records: records of any status.
        pool: gets what records share.
        predicted: gets the predictions of those that have any.
    """
    return [_record(record, pool) | predicted.of(record) for record in records]


def _record(record: Record, pool: Pool) -> dict[str, Any]:
    found: dict[str, Any] = {
        "key": record.key,
        "method": record.method,
        "status": record.status,
        "seed": record.seed,
        "split": record.split_seed,
        "facts": pool.add({name: getattr(record, name) for name in _SHARED}),
        "config": pool.add(record.config),
        "knobs": pool.add(record.dataset_config),
        "notes": [pool.add(note) for note in (*record.notes, *record.details)],
    }
    if record.curves:
        found["curves"] = {
            name: [[epoch, float(f"{value:.5g}")] for epoch, value in points]
            for name, points in record.curves.items()
        }
    if record.error:
        found["error"] = record.error
    if record.selection is not None:
        found["selection"] = pool.add(dataclasses.asdict(record.selection))
    if record.tuning is not None:
        found["tuning"] = pool.add(dataclasses.asdict(record.tuning))
    if record.cost is not None:
        found["cost"] = dataclasses.asdict(record.cost)
    if record.provenance is not None:
        of_run = dataclasses.asdict(record.provenance)
        found["times"] = [of_run.pop(name) for name in _TIMES]
        found["provenance"] = pool.add(of_run)
    if record.metrics is not None and record.groups is not None:
        values = {n: v for n, v in vars(record.metrics).items() if n != "per_class"}
        found["metrics"] = values
        by_class = [np.nan if value is None else value for value in record.metrics.per_class]
        found["byClass"] = packed(np.array(by_class, dtype=np.float32))
        found["classes"] = pool.add(
            {
                "names": record.class_names
                or [f"class {i}" for i in range(len(record.groups.membership))],
                "counts": record.groups.train_counts,
                "groups": record.groups.membership,
                "rule": record.groups.rule,
            }
        )
    return found
