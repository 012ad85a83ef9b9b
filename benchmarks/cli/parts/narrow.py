"""Tables that fit narrow terminals: columns are left out, and names stay whole."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.console import Console, ConsoleOptions, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

_BETWEEN = 2
"""Spaces between two columns."""


@dataclass(frozen=True)
class Head:
    """A column of a table."""

    title: str
    drop: int = 0
    """Place in the order in which columns are left out, from 1; 0 for a column that stays."""
    whole: bool = False
    """Never broken into lines."""
    justify: Literal["left", "right"] = "left"

    def least(self, cells: Sequence[Text]) -> int:
        """Return the width below which words would be cut."""
        texts = [self.title, *(cell.plain for cell in cells)]
        parts = texts if self.whole else [word for text in texts for word in text.split()]
        return max((Text(part).cell_len for part in parts), default=0)


class NarrowTable:
    """A table without lines, as wide as the console allows.

    Where it is too wide, the words of the first column are broken after their commas, as in
    `gla (base_fields=loss=ce,lr=0.1)`, unless it is `whole`. If that is not enough, columns are
    left out in the order of `Head.drop`, and at last each row is a paragraph: its first cell, and
    the others indented below it.

    Args:
        heads: the columns; the first one has the names.
        title: printed above.
    """

    def __init__(self, heads: Sequence[Head], title: str | Text = "") -> None:
        self._heads = heads
        self._title = title if isinstance(title, Text) else Text(title)
        self._rows: list[tuple[list[Text], str]] = []

    def add(self, *cells: str | Text, style: str = "") -> None:
        """Add a row; cells that lack at its end are empty."""
        texts = [cell if isinstance(cell, Text) else Text(cell) for cell in cells]
        texts += [Text()] * (len(self._heads) - len(texts))
        self._rows.append((texts, style))

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        """Yield what fits."""
        cells = [[row[place] for row, _ in self._rows] for place in range(len(self._heads))]
        least = [head.least(column) for head, column in zip(self._heads, cells, strict=True)]
        shown = list(range(len(self._heads)))
        optional = sorted((head.drop, place) for place, head in enumerate(self._heads) if head.drop)

        def width() -> int:
            return sum(least[place] + _BETWEEN for place in shown)  # rich pads the last one, too

        if width() > options.max_width and not self._heads[0].whole:
            cells[0] = [_broken(cell) for cell in cells[0]]
            least[0] = self._heads[0].least(cells[0])
        for _, place in optional:
            if width() > options.max_width:
                shown.remove(place)
        if width() > options.max_width:
            yield from self._paragraphs(shown)
        else:
            yield self._table(shown, cells, least)

    def _table(
        self, shown: Sequence[int], cells: Sequence[Sequence[Text]], least: Sequence[int]
    ) -> Table:
        heads = [self._heads[place] for place in shown]
        table = Table(
            title=self._title or None,
            title_justify="left",
            box=None,
            padding=(0, _BETWEEN, 0, 0),
            pad_edge=False,
            show_header=any(head.title for head in heads),
        )
        for head, place in zip(heads, shown, strict=True):
            table.add_column(
                Text(head.title, justify=head.justify),
                justify=head.justify,
                no_wrap=head.whole,
                min_width=least[place],
            )
        for row, (_, style) in enumerate(self._rows):
            table.add_row(*(cells[place][row] for place in shown), style=style or None)
        return table

    def _paragraphs(self, shown: Sequence[int]) -> Iterator[RenderableType]:
        if self._title:
            yield Text.assemble(self._title, style="italic")
        for row, style in self._rows:
            first, *rest = (row[place] for place in shown)
            yield Text.assemble(first, style=style)
            for cell in rest:
                if cell.plain:
                    yield Padding(Text.assemble(cell, style=style), (0, 0, 0, _BETWEEN))


def _broken(cell: Text) -> Text:
    """The text with a line break after each comma that is inside a word."""
    return Text("\n").join(cell.divide([at.end() for at in re.finditer(r",(?=\S)", cell.plain)]))
