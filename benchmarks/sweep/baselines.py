"""What a sweep is compared with: the cells that its `compare` names, found before anything runs."""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.sweep.cell import Cell
from benchmarks.sweep.rows.labels import Named, choose
from benchmarks.sweep.rows.variants import table_labels

Baselines = dict[str, frozenset[str]]
"""Label -> identities of the cells that it names, on every data set; empty if it names none."""


def resolve(labels: Iterable[str], cells: Iterable[Cell]) -> Baselines:
    """The cells that labels name, one row of each table at most.

    Args:
        labels: as the sweep's file, its plan or its tables write them.
        cells: all of the sweep, the same one under several labels too.

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
    """The rows of one table: what each goes by, and its cells."""
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
