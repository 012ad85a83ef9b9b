"""A table of results as heads and cells, which every format prints."""

from __future__ import annotations

from dataclasses import dataclass

from reports.layout import Cell, cells, columns, flags
from reports.table import Row, Table


@dataclass(frozen=True)
class Head:
    """The head of a line or a column."""

    text: str
    below: str = ""
    """A second part, such as the size of a group in brackets."""
    flags: str = ""
    """Signs that point to footnotes."""
    group: str = ""
    """Part that it shares with its neighbours, such as the data set of several metrics."""
    is_label: bool = False
    """True for the label of a row of ours, which may be typed in commands."""

    @property
    def on_one_line(self) -> str:
        """All parts, without the group."""
        return " ".join(part for part in (self.text, self.below, self.flags) if part)


@dataclass(frozen=True)
class Grid:
    """Heads and cells."""

    stub: str
    """Head of the first column, which has the heads of the lines."""
    columns: tuple[Head, ...]
    lines: tuple[tuple[Head, tuple[Cell, ...]], ...]
    """Each line with its head and one cell for each column."""

    def transposed(self, stub: str) -> Grid:
        """The grid with its lines as columns.

        Args:
            stub: head of the first column.
        """
        turned = tuple(
            (head, tuple(own[place] for _, own in self.lines))
            for place, head in enumerate(self.columns)
        )
        return Grid(stub, tuple(head for head, _ in self.lines), turned)

    def part(self, start: int, end: int) -> Grid:
        """The grid with some of its columns."""
        lines = tuple((head, own[start:end]) for head, own in self.lines)
        return Grid(self.stub, self.columns[start:end], lines)

    def column(self, place: int) -> list[Cell]:
        """The cells of a column."""
        return [own[place] for _, own in self.lines]


def row_head(row: Row) -> Head:
    """The head of a row of a table."""
    return Head(row.name, flags=flags(row), is_label=row.name == row.label)


def table_grid(table: Table) -> Grid:
    """The printed columns of a table, in the orientation of its view."""
    shown = columns(table)
    found = [cells(table, column.key) for column in shown]
    heads = [Head(column.title, f"({column.size})" if column.size else "") for column in shown]
    lines = [
        (row_head(row), tuple(own[place] for own in found)) for place, row in enumerate(table.rows)
    ]
    grid = Grid("method", tuple(heads), tuple(lines))
    return grid.transposed("metric") if table.view.transpose else grid
