"""Finds the row that a label names.

One row has several labels. A sweep's file names the fields that the file sets, before any table
exists. A table names what distinguishes a row from its neighbours, so its labels depend on the
other rows. A user may copy a label from either, or type some of a row's settings. So `choose` reads
a label in five ways, from the most specific to the least, and stops at the first way that finds a
row: an exact label is never ambiguous because a vaguer reading of it fits another row as well.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.errors import UserError
from benchmarks.plugins.values import apply_fields
from benchmarks.protocol import budget
from benchmarks.sweep.rows.variants import shown
from methods.registry import METHODS
from results.schema import Tuning


@dataclass(frozen=True)
class Named:
    """A row and its labels."""

    method: str
    config: Mapping[str, Any]
    tuning: Tuning | None
    protocol: str
    table: str
    """Label in the table, which omits the settings that most rows of the method have."""
    progress: frozenset[str] = frozenset()
    """Labels in the plan and progress of a sweep; empty if the sweep is not known."""
    entries: frozenset[str] = frozenset()
    """Labels in the sweep's file, which are those of its plan without the recipe."""


def choose(wanted: str, rows: Sequence[Named], where: str) -> int | None:
    """The index of the row that a label names.

    The label is read in these ways until one finds a row: as a label of the sweep's plan, as one
    of the sweep's file, as the label in the table, as the row with the label's settings and the
    protocol's defaults for all others, and as any row with the label's settings.

    Args:
        wanted: the label.
        rows: the rows of one table.
        where: the data set, for the message.

    Returns:
        None if the label names no row.

    Raises:
        UserError: the label names several rows.
    """
    for found in _readings(wanted, rows):
        if len(found) > 1:
            names = "; ".join(f"'{name}'" for name in _names([rows[i] for i in found]))
            raise UserError(f"'{wanted}' has several variants on {where}, name one: {names}.")
        if found:
            return found[0]
    return None


def also_named(wanted: str, rows: Sequence[Named], chosen: int) -> int | None:
    """Another row that one of the first four readings finds alone; None if there is none."""
    *readings, _ = _readings(wanted, rows)
    return next((found[0] for found in readings if len(found) == 1 and found[0] != chosen), None)


def method_of(label: str) -> str:
    """The method that a label starts with."""
    return re.split(r" [(\[]", label, maxsplit=1)[0]


def _readings(wanted: str, rows: Sequence[Named]) -> list[list[int]]:
    """Indices of the rows that each of the five readings of a label finds."""
    readings = (
        lambda row: wanted in row.progress,
        lambda row: wanted in row.entries,
        lambda row: wanted == row.table,
        lambda row: _is_standard(wanted, row),
        lambda row: _settings(wanted, row) is not None,
    )
    return [[i for i, row in enumerate(rows) if reading(row)] for reading in readings]


def _names(rows: Sequence[Named]) -> list[str]:
    """Labels of several rows: those of the sweep if they are distinct, otherwise the table's."""
    own = [min(row.progress, default="") for row in rows]
    distinct = all(own) and len(set(own)) == len(own)
    return sorted(own if distinct else [row.table for row in rows])


def _is_standard(wanted: str, row: Named) -> bool:
    """True if the row has the label's settings and the defaults in all other fields."""
    named = _settings(wanted, row)
    if named is None or _split(wanted, row)[1] != (row.tuning is not None):
        return False
    defaults = _defaults(row.method, row.protocol)
    if defaults is None:
        return False
    free = {*named, *(row.tuning.fields if row.tuning is not None else ())}
    return all(
        shown(value) == shown(defaults[name])
        for name, value in row.config.items()
        if name in defaults and name not in free
    )


def _settings(wanted: str, row: Named) -> set[str] | None:
    """The fields that a label names; None if the method or a value differs from the row's."""
    method, _, settings = _split(wanted, row)[0].removesuffix(")").partition(" (")
    items = [item.partition("=") for item in re.split(r", (?=\w+=)", settings) if item]
    fits = method == row.method and all(
        name in row.config and _writes(text, row.config[name]) for name, _, text in items
    )
    return {name for name, _, _ in items} if fits else None


def _split(wanted: str, row: Named) -> tuple[str, bool]:
    """The label without the row's recipe, and True if it named the recipe."""
    if row.tuning is not None:
        for ending, rest in (
            (f" [{row.tuning}]", ""),
            (f" ({row.tuning})", ""),
            (f", {row.tuning})", ")"),
        ):
            if wanted.endswith(ending):
                return wanted.removesuffix(ending) + rest, True
    return wanted, False


def _writes(text: str, value: Any) -> bool:
    """True if the text is the value: as tables show it, as Python does, or as an equal number."""
    if text in (shown(value), str(value)):
        return True
    if isinstance(value, bool) or value is None:
        return text.lower() in (str(value).lower(), shown(value))
    try:
        return isinstance(value, int | float) and float(text) == value
    except ValueError:
        return False


def _defaults(method: str, protocol: str) -> dict[str, Any] | None:
    """The configuration of a row without settings; None for a method that is not registered."""
    if method not in METHODS.entries():
        return None
    fields = METHODS.fields(method)
    return apply_fields(f"method {method}", fields, budget(protocol, fields))
