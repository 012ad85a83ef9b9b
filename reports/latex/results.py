"""A table of results as a sheet."""

from __future__ import annotations

from dataclasses import replace

from reports.columns import USUAL_COSTS, shown_keys
from reports.footnotes import unequal
from reports.grid import table_grid
from reports.latex.sheet import Sheet
from reports.latex.text import breakable
from reports.latex.width import Width
from reports.layout import legend
from reports.notes import caption_parts
from reports.table import Table

ROOM_FOR_COSTS = 300.0
"""Points from which a table has columns of costs that were not asked for."""
_EQUAL = (
    "The test set has equally many images of each class: balanced and overall accuracy are equal."
)


def results_sheet(table: Table, name: str, width: Width) -> Sheet:
    """The sheet of a table, with as few of the usual columns as say everything.

    Args:
        table: what to print.
        name: of the label.
        width: the place; a narrow one has no columns of costs.
    """
    table = _shortened(table, width)
    marking = legend(table, r"\textbf{bold}", r"\underline{underlined}")
    what, *rules = caption_parts(table)
    return Sheet.of(
        table_grid(table),
        name=name,
        title=f"{table.name} with {table.backbone_name}",
        caption=f"{breakable(what)} {marking}".rstrip(),
        notes=(*filter(None, [table.remark]), *rules, *table.footnotes),
        warnings=table.warnings,
    )


def _shortened(table: Table, width: Width) -> Table:
    """A table without columns that are no news or have no room."""
    if table.view.columns:
        return table
    usual = shown_keys((), table.task)
    keys = [key for key in usual if width.points >= ROOM_FOR_COSTS or key not in USUAL_COSTS]
    notes = list(table.footnotes)
    if table.balanced and "balanced" in keys:
        keys.remove("balanced")
        notes.insert(0, _EQUAL)
    # Some notes on budgets depend on the columns.
    before, now = unequal(table.rows, usual), unequal(table.rows, keys)
    notes = [note for note in notes if note not in before or note in now]
    notes += [note for note in now if note not in before]
    view = replace(table.view, columns=tuple(keys))
    return replace(table, view=view, footnotes=tuple(notes))
