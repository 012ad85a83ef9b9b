"""A table of texts and numbers, before anything is known of its place on a page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reports.grid import Grid
from reports.layout import NONE, Cell
from reports.table import Mark

_LONGEST_BESIDE = 8
"""Characters that are printed behind a value; more are printed below it."""
_NUMBER = re.compile(r"([+−-]?)(\d+)(?:\.(\d+))?")


@dataclass(frozen=True)
class Entry:
    """A cell of a column; all texts are plain, `floats` escapes them."""

    text: str
    """A number, or any text that stays on one line."""
    after: str = ""
    """Printed behind it in small type, such as `± 0.2`."""
    below: str = ""
    """Printed below it in small type, such as an interval."""
    mark: Mark | None = None

    @property
    def number(self) -> tuple[str, str, str] | None:
        """Sign, digits before and digits behind the decimal point; None for another text."""
        found = _NUMBER.fullmatch(self.text)
        return None if found is None else (found[1], found[2], found[3] or "")


@dataclass(frozen=True)
class Column:
    """A column behind the first one, which has the labels of the rows."""

    head: str
    size: str = ""
    """Printed below the head, such as the number of classes in brackets."""
    group: str = ""
    """Printed above it and those of its neighbours that share it."""

    def is_numeric(self, cells: Sequence[Entry]) -> bool:
        """True if every cell of the column is a number or empty, and one is a number."""
        numbers = [cell.number for cell in cells if cell.text not in ("", NONE)]
        return bool(numbers) and None not in numbers


@dataclass(frozen=True)
class Line:
    """A row."""

    label: str
    """Text of any length; one that is very long is shortened."""
    cells: tuple[Entry, ...]
    """One for each column."""


@dataclass(frozen=True)
class Sheet:
    """A table with everything that is printed with it."""

    name: str
    """Part of `\\label`, different for each table of a report."""
    title: str
    """A few words for the list of tables."""
    caption: str
    """LaTeX, already escaped."""
    stub: str
    """Head of the first column."""
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    """May be empty: then the notes alone are printed below the caption."""
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    """Printed as comments of LaTeX: for the author."""

    @classmethod
    def of(cls, grid: Grid, **others: Any) -> Sheet:
        """The sheet of a grid.

        Args:
            grid: the table.
            others: everything that is printed with it, by the name of the field.
        """
        columns = [
            Column(" ".join(filter(None, (head.text, head.flags))), head.below, head.group)
            for head in grid.columns
        ]
        lines = [
            Line(" ".join(filter(None, (head.group, head.on_one_line))), tuple(map(_entry, cells)))
            for head, cells in grid.lines
        ]
        return cls(stub=grid.stub, columns=tuple(columns), lines=tuple(lines), **others)

    def cells(self, column: int) -> list[Entry]:
        """The cells of a column."""
        return [line.cells[column] for line in self.lines]


def _entry(cell: Cell) -> Entry:
    if len(cell.after) > _LONGEST_BESIDE:
        return Entry(cell.value, below=cell.after, mark=cell.mark)
    return Entry(cell.value, cell.after, mark=cell.mark)
