"""Conformal prediction sets as a sheet."""

from __future__ import annotations

from reports.conformal_tables import ConformalTable
from reports.latex.sheet import Sheet
from reports.latex.text import breakable


def conformal_sheet(found: ConformalTable, name: str) -> Sheet:
    """The sheet of the sets of a table's rows.

    Args:
        found: coverage and size of the sets.
        name: of the label.
    """
    what, *others = found.notes
    return Sheet.of(
        found.grid,
        name=name,
        title=found.title,
        caption=breakable(f"{found.title}. {what}"),
        notes=tuple(others),
    )
