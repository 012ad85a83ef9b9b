"""Rows of several tables that are the same variant, and data sets that share images.

Two rows of two tables are the same variant if method, protocol and all fields agree except those
that a recipe set, and if both have a recipe or none: a recipe may have tuned its fields for each
data set separately. If a table has several such rows, what the recipe says must agree, too. A row
that does not apply to its data has no recipe and belongs to every variant that it could be of.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.sweep.rows.variants import shown, table_labels
from reports.layout import flags
from reports.table import Row, Table
from results.schema import Record

_OTHER_IMAGES = "world_seed"
"""Field of an embedded data set with which all its images and classes change."""


@dataclass(frozen=True)
class Aligned:
    """A variant and its row in each of several tables."""

    label: str
    """Label among all variants of the tables."""
    name: str
    """Printed name: the label, unless the user has given another name."""
    method: str
    rows: tuple[Row | None, ...]
    """One for each table; None where it was not run."""

    @property
    def flags(self) -> str:
        """Signs of its rows that point to footnotes."""
        return "".join(sorted({sign for row in self.rows if row for sign in flags(row)}))


def aligned(tables: Sequence[Table]) -> list[Aligned]:
    """The variants of tables of one backbone, sorted by label."""
    lines = [_Line(rows) for rows in _by_variant(tables)]
    working = [line for line in lines if not line.idle]
    for line in lines:
        if line.idle:
            line.join(working)
    lines = [line for line in lines if not line.joined]
    labels = _labels([line.first.first for line in lines])
    found = [
        Aligned(label, _name(label, tables, line), line.first.method, tuple(line.rows))
        for label, line in zip(labels, lines, strict=True)
    ]
    return sorted(found, key=lambda one: one.label)


class _Line:
    """The rows of a variant, one for each table.

    Args:
        rows: None where it was not run.
    """

    def __init__(self, rows: Sequence[Row | None]) -> None:
        self.rows = list(rows)
        self.first = next(row for row in rows if row is not None)
        self.idle = all(row is None or row.not_applicable for row in rows)
        self.joined = False

    def join(self, others: Sequence[_Line]) -> None:
        """Give the rows, which do not apply to their data, to the variants that lack them."""
        for other in others:
            if other.could_be(self.first.first):
                for place, row in enumerate(self.rows):
                    if row is not None and other.rows[place] is None:
                        other.rows[place] = row
                        self.joined = True

    def could_be(self, record: Record) -> bool:
        """True if a record agrees in everything except what this variant's recipe set."""
        own = self.first.first
        free = _free(own)
        return (record.method, record.protocol) == (own.method, own.protocol) and free == {
            name: shown(value) for name, value in record.config.items() if name in free
        }


Key = tuple[str, ...]


def _by_variant(tables: Sequence[Table]) -> list[list[Row | None]]:
    keyed = [_by_key(table.rows) for table in tables]
    several = {key for rows in keyed for key, same in rows.items() if len(same) > 1}
    columns: list[dict[Key, Row]] = []
    for rows in keyed:
        columns.append({})
        for key, same in rows.items():
            for row in same:
                longer = (*key, str(row.first.tuning)) if key in several else key
                columns[-1][longer] = row
    keys = sorted({key for column in columns for key in column})
    return [[column.get(key) for column in columns] for key in keys]


def _by_key(rows: Iterable[Row]) -> Mapping[Key, list[Row]]:
    found: dict[Key, list[Row]] = {}
    for row in rows:
        record = row.first
        recipe = "" if record.tuning is None else "tuned" if record.tuning.trials else "recipe"
        key = (row.method, record.protocol, recipe, repr(sorted(_free(record).items())))
        found.setdefault(key, []).append(row)
    return found


def _free(record: Record) -> dict[str, str]:
    """The fields that no recipe set."""
    tuned = record.tuning.fields if record.tuning is not None else ()
    return {name: shown(value) for name, value in record.config.items() if name not in tuned}


def _labels(records: Sequence[Record]) -> list[str]:
    """Labels of variants, with the protocol for those that differ in nothing else."""
    labels = table_labels(records)
    often = Counter(labels)
    return [
        label if often[label] == 1 else f"{label} [{record.protocol}]"
        for label, record in zip(labels, records, strict=True)
    ]


def _name(label: str, tables: Sequence[Table], line: _Line) -> str:
    """The printed name: the one of this label, the one of its rows, or that of the method."""
    names = tables[0].view.names
    usual = names.method(label, line.first.method)
    own = [row for row in line.rows if row is not None]
    given = {row.name for row in own if row.name != names.method(row.label, row.method)}
    return names.given.get(label) or (given.pop() if len(given) == 1 else usual)


def absence(row: Row | None, key: str) -> str:
    """Why a variant has no value of a metric or cost on a data set; "" if it has one."""
    if row is None:
        return "not run"
    if row.values[key].n:
        return ""
    return "not applicable" if row.not_applicable else "no value" if row.done else "failed"


def block_of(table: Table) -> str:
    """A name that data sets with the same images share.

    It is the data set's name without its fields, and the seed of its world if that draws other
    images.
    """
    knobs = table.rows[0].first.dataset_config
    name = table.dataset.partition(" (")[0]
    ratio = knobs.get("imbalance")
    if isinstance(ratio, int | float):
        name = name.removesuffix(f"_ir{ratio:g}")
    seed = knobs.get(_OTHER_IMAGES, 0)
    return f"{name}, {_OTHER_IMAGES} {seed}" if seed else name
