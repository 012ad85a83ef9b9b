"""Which row a label names: as a sweep writes it, as a table does, or by some of its settings."""

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
    """A row, and what it goes by."""

    method: str
    config: Mapping[str, Any]
    tuning: Tuning | None
    protocol: str
    table: str
    """Its label in the table, which leaves out what most rows of the method have."""
    progress: frozenset[str] = frozenset()
    """Its labels in the plan and progress of a sweep; none where the sweep is not known."""
    entries: frozenset[str] = frozenset()
    """The same without the recipe, as the sweep's file has them."""


def choose(wanted: str, rows: Sequence[Named], where: str) -> int | None:
    """The index of the row that a label names.

    The first of these that finds one: a sweep's own labels, the table's, the row that has the
    label's settings and else the defaults under its protocol, the row that has the settings.

    Args:
        wanted: the label.
        rows: of one table.
        where: the data set, for the message.

    Returns:
        None if it names none.

    Raises:
        UserError: it names several.
    """
    for found in _readings(wanted, rows):
        if len(found) > 1:
            names = "; ".join(f"'{name}'" for name in _names([rows[i] for i in found]))
            raise UserError(f"'{wanted}' has several variants on {where}, name one: {names}.")
        if found:
            return found[0]
    return None


def also_named(wanted: str, rows: Sequence[Named], chosen: int) -> int | None:
    """Another row that the label names by itself, read in another of the ways; None if none."""
    *readings, _ = _readings(wanted, rows)
    return next((found[0] for found in readings if len(found) == 1 and found[0] != chosen), None)


def method_of(label: str) -> str:
    """The method that a label begins with."""
    return re.split(r" [(\[]", label, maxsplit=1)[0]


def _readings(wanted: str, rows: Sequence[Named]) -> list[list[int]]:
    readings = (
        lambda row: wanted in row.progress,
        lambda row: wanted in row.entries,
        lambda row: wanted == row.table,
        lambda row: _is_standard(wanted, row),
        lambda row: _settings(wanted, row) is not None,
    )
    return [[i for i, row in enumerate(rows) if reading(row)] for reading in readings]


def _names(rows: Sequence[Named]) -> list[str]:
    """What to call several rows: as a sweep does where that tells them apart, else the table."""
    own = [min(row.progress, default="") for row in rows]
    apart = all(own) and len(set(own)) == len(own)
    return sorted(own if apart else [row.table for row in rows])


def _is_standard(wanted: str, row: Named) -> bool:
    """Whether the row has what the label says, and in all else what a row has by itself."""
    said = _settings(wanted, row)
    if said is None or _split(wanted, row)[1] != (row.tuning is not None):
        return False
    usual = _defaults(row.method, row.protocol)
    if usual is None:
        return False
    free = {*said, *(row.tuning.fields if row.tuning is not None else ())}
    return all(
        shown(value) == shown(usual[name])
        for name, value in row.config.items()
        if name in usual and name not in free
    )


def _settings(wanted: str, row: Named) -> set[str] | None:
    """The fields that a label names; None if it is of another method or the row has others."""
    method, _, settings = _split(wanted, row)[0].removesuffix(")").partition(" (")
    items = [item.partition("=") for item in re.split(r", (?=\w+=)", settings) if item]
    fits = method == row.method and all(
        name in row.config and _writes(text, row.config[name]) for name, _, text in items
    )
    return {name for name, _, _ in items} if fits else None


def _split(wanted: str, row: Named) -> tuple[str, bool]:
    """The label without the row's recipe, and whether it named that."""
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
    """Whether a label may write the value so: as tables do, as Python does, another 0.10."""
    if text in (shown(value), str(value)):
        return True
    if isinstance(value, bool) or value is None:
        return text.lower() in (str(value).lower(), shown(value))
    try:
        return isinstance(value, int | float) and float(text) == value
    except ValueError:
        return False


def _defaults(method: str, protocol: str) -> dict[str, Any] | None:
    """The configuration of a row for which nothing is set, None for a method not known here."""
    if method not in METHODS.entries():
        return None
    fields = METHODS.fields(method)
    return apply_fields(f"method {method}", fields, budget(protocol, fields))
