"""Records and comparisons as pandas data frames, with a type for each column."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Any

import pandas as pd

from benchmarks.sweep.rows.comparability import as_json
from reports.compare.families import Family
from reports.compare.lines import KINDS, comparison_lines
from reports.records_table import COLUMNS
from reports.value_kinds import DTYPES, Kind
from results.schema import Record

OF_A_RECORD: dict[str, Kind] = {
    "key": "text", "method": "text", "dataset": "text", "backbone": "text", "seed": "integer",
    "split_seed": "integer",
}  # fmt: skip
OF_A_CLASS: dict[str, Kind] = {
    "class": "integer", "class_name": "text", "group": "text", "train_images": "integer",
    "value": "number",
}  # fmt: skip


def records_frame(records: Sequence[Record]) -> pd.DataFrame:
    """One line for each record with the columns of `records_table`.

    Lists are tuples and mappings dicts. An absent number is NaN, any other absent value <NA>.
    """
    return pd.DataFrame(
        {
            column.name: _typed([column.of(record) for record in records], column.kind)
            for column in COLUMNS
        }
    )


def classes_frame(records: Sequence[Record]) -> pd.DataFrame:
    """One line for each class of each finished record; `value` is NaN without test images."""
    lists: dict[str, list[Any]] = {name: [] for name in (*OF_A_RECORD, *OF_A_CLASS)}
    for record in records:
        if record.status != "done":
            continue
        assert record.groups is not None and record.metrics is not None
        classes = len(record.groups.membership)
        for name in OF_A_RECORD:
            lists[name] += [getattr(record, name)] * classes
        lists["class"] += range(classes)
        lists["class_name"] += record.class_names or [None] * classes
        lists["group"] += record.groups.membership
        lists["train_images"] += record.groups.train_counts
        lists["value"] += record.metrics.per_class
    kinds = OF_A_RECORD | OF_A_CLASS
    return pd.DataFrame({name: _typed(values, kinds[name]) for name, values in lists.items()})


def comparisons_frame(families: Sequence[Family]) -> pd.DataFrame:
    """One line for each comparison and metric with the columns of `compare.lines`."""
    lines = comparison_lines(families)
    return pd.DataFrame(
        {name: _typed([line[name] for line in lines], kind) for name, kind in KINDS.items()}
    )


def records_parquet(records: Sequence[Record]) -> bytes:
    """The frame of records as the content of a Parquet file; lists and mappings are JSON texts."""
    frame = records_frame(records)
    for column in COLUMNS:
        if column.kind in ("list", "mapping"):
            texts = [None if (v := column.of(r)) is None else as_json(v) for r in records]
            frame[column.name] = _typed(texts, "text")
    content = BytesIO()
    frame.to_parquet(content, index=False)
    return content.getvalue()


def _typed(values: Sequence[Any], kind: Kind) -> pd.Series[Any]:
    return pd.Series(list(values), dtype=DTYPES[kind])
