"""Records as a table, one line each, unrounded: the columns, and the table as CSV and as JSON."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Iterable
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal

from benchmarks.sweep.rows.comparability import as_json
from reports.csv_text import csv_text
from reports.value_kinds import Kind
from results.schema import Record

BY_CLASS = {
    "class_names", "class_keys", "nearest", "metrics.per_class", "groups.train_counts",
    "groups.membership",
}  # fmt: skip
"""Fields with a value for each class, which these tables leave out."""


@dataclass(frozen=True)
class Column:
    """A field of records, or of a part of them."""

    path: tuple[str, ...]
    kind: Kind

    @property
    def name(self) -> str:
        """`seed`, or `cost.fit_s` for the field of a part."""
        return ".".join(self.path)

    def of(self, record: Record) -> Any:
        """The value of a record; None if there is none."""
        value: Any = record
        for name in self.path:
            if value is None:
                return None
            value = getattr(value, name)
        return value


def _columns(cls: type, before: tuple[str, ...] = ()) -> list[Column]:
    """The columns of a dataclass, with those of its parts in their places."""
    found = []
    hints = typing.get_type_hints(cls)
    for field in fields(cls):
        path, hint = (*before, field.name), _without_none(hints[field.name])
        if is_dataclass(hint):
            found += _columns(typing.cast(type, hint), path)
        else:
            found.append(Column(path, _kind(hint)))
    return found


def _without_none(hint: Any) -> Any:
    """The type of a field that may be None."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        (hint,) = (part for part in typing.get_args(hint) if part is not types.NoneType)
    return hint


def _kind(hint: Any) -> Kind:
    kinds: dict[Any, Kind] = {
        str: "text", Literal: "text", int: "integer", float: "number", bool: "truth",
        tuple: "list", dict: "mapping",
    }  # fmt: skip
    return kinds[typing.get_origin(hint) or hint]


FIELDS = tuple(_columns(Record))
"""Every field of records, in the order of `results.schema`."""
COLUMNS = tuple(column for column in FIELDS if column.name not in BY_CLASS)
"""The columns of the table: all fields but those by class."""


def records_csv(records: Iterable[Record]) -> str:
    """One line for each record; lists and mappings are JSON."""
    lines = [
        {
            column.name: as_json(value) if column.kind in ("list", "mapping") else value
            for column in COLUMNS
            if (value := column.of(record)) is not None
        }
        for record in records
    ]
    return csv_text([column.name for column in COLUMNS], lines)


def records_json(records: Iterable[Record]) -> str:
    """A list with an object for each record; its keys are the columns, a missing value is null."""
    lines = [
        json.dumps({column.name: column.of(record) for column in COLUMNS}, allow_nan=False)
        for record in records
    ]
    return "[\n" + ",\n".join(lines) + "\n]\n"
