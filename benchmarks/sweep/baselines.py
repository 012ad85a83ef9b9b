"""Baselines of a sweep: the cells that labels such as those of `compare` name."""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.sweep.cell import Cell
from benchmarks.sweep.rows.labels import Named, choose
from benchmarks.sweep.rows.variants import table_labels

Baselines = dict[str, frozenset[str]]
"""Label -> identities of the cells that it names, on every data set; empty if it names none."""


def resolve(labels: Iterable[str], cells: Iterable[Cell]) -> Baselines:
    """Return the cells that labels name: at most one row of each table.

    Args:
        labels: labels in the form of the sweep's file, its plan or its tables.
        cells: all cells of the sweep, once for each of their labels.

    Raises:
        UserError: a label that names several rows of a table.
    """
    tables: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        tables.setdefault((cell.dataset, cell.backbone.name), []).append(cell)
    rows = {where: _rows(members) for where, members in tables.items()}
    found: dict[str, frozenset[str]] = {}
    for label in labels:
        identities: set[str] = set()
        for (dataset, _), (named, members) in rows.items():
            index = choose(label, named, dataset)
            if index is not None:
                identities |= {cell.identity for cell in members[index]}
        found[label] = frozenset(identities)
    return found


def _rows(cells: Iterable[Cell]) -> tuple[list[Named], list[list[Cell]]]:
    """Return the rows of one table: the names of each, and its cells."""
    groups: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.method, repr(cell.config), repr(cell.tuning)), []).append(cell)
    members = list(groups.values())
    named = []
    for own, label in zip(members, table_labels([own[0] for own in members]), strict=True):
        first = own[0]
        progress = frozenset(cell.label for cell in own)
        entries = frozenset(text.removesuffix(f" [{first.tuning}]") for text in progress)
        named.append(
            Named(
                first.method, first.config, first.tuning, first.protocol, label, progress, entries
            )
        )
    return named, members
