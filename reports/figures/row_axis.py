"""An axis with the name of every row, for figures with a line of dots or bars for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from reports.figures.options import FigureOptions
from reports.figures.style import GRID
from reports.figures.texts import characters, line_height, wrap
from reports.table import Row

_GAP = 0.2
"""Lines of text between two names."""


@dataclass(frozen=True)
class RowAxis:
    """Names of rows from top to bottom, with room for each."""

    names: tuple[str, ...]
    places: tuple[float, ...]
    """Middle of each name, in lines of text from the top."""
    lines: float
    """All lines."""

    @classmethod
    def of(cls, rows: Sequence[Row], options: FigureOptions) -> RowAxis:
        """The axis of some rows; long names are broken into lines."""
        room = characters(0.36 * options.width if options.narrow else 2.2, options)
        names = [wrap(row.name, room) for row in rows]
        places, top = [], 0.0
        for name in names:
            size = name.count("\n") + 1 + _GAP
            places.append(top + size / 2)
            top += size
        return cls(tuple(names), tuple(places), max(top, 2.0))

    def inches(self, options: FigureOptions) -> float:
        """The height of the axis."""
        return line_height(options) * self.lines

    def label(self, panels: Sequence[Axes]) -> None:
        """Name the rows at the first of some panels that share this axis."""
        panels[0].set_yticks(self.places, self.names, linespacing=0.95)
        panels[0].set_ylim(self.lines, 0)
        for axes in panels:
            axes.grid(True, **GRID)
            axes.set_axisbelow(True)
            axes.tick_params(axis="y", length=0)
