"""A figure's surroundings: the user's choices, the looks of rows and the test predictions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, Protocol, TypeVar

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from benchmarks.errors import did_you_mean
from benchmarks.metrics import METRICS
from reports.figures.looks import GREY, Look, Name, assign
from reports.figures.options import FigureOptions
from reports.figures.outcomes import Outcomes
from reports.figures.texts import drawn_text
from reports.table import Row, Table

COLOURED = 10
"""Most rows in colour, unless more are highlighted."""
MOST = 40
"""Most rows in a figure."""


class Named(Protocol):
    """A row of a table, or a line of a sweep."""

    @property
    def label(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def method(self) -> str: ...


T = TypeVar("T", bound=Named)


@dataclass(frozen=True)
class Shown(Generic[T]):
    """The rows of a figure, in the order of the table."""

    rows: tuple[T, ...]
    looks: tuple[Look, ...]
    """GREY for rows in the background."""
    note: str
    """A remark on rows that are grey or left out; empty if there are none."""

    def __iter__(self) -> Iterator[tuple[T, Look]]:
        return iter(zip(self.rows, self.looks, strict=True))

    @property
    def coloured(self) -> list[tuple[T, Look]]:
        """The rows that are not in the background."""
        return [(row, look) for row, look in self if look is not GREY]

    def handles(self, **changes: Any) -> list[Line2D]:
        """A sample of each row in colour, for a legend."""
        return [
            Line2D([], [], label=drawn_text(row.name), **{**line_of(look), **changes})
            for row, look in self.coloured
        ]


@dataclass(frozen=True)
class Drawing:
    """The surroundings of the figures of a report."""

    options: FigureOptions = field(default_factory=FigureOptions)
    names: frozenset[Name] = frozenset()
    """Method and label of every row of the report, so that each looks the same in all figures."""
    outcomes: Outcomes | None = None
    """Test predictions; None if they are not to be read."""

    @classmethod
    def of(
        cls, tables: Iterable[Table], options: FigureOptions, outcomes: Outcomes | None = None
    ) -> Drawing:
        """The surroundings of the figures of some tables.

        Raises:
            UserError: a name that is to be highlighted is that of no row.
        """
        names = {(row.method, row.label) for table in tables for row in table.rows}
        known = {part for name in names for part in name}
        for asked in options.highlight:
            if asked not in known:
                raise did_you_mean("row to highlight", asked, known)
        return cls(options, frozenset(names), outcomes)

    @cached_property
    def _looks(self) -> Mapping[Name, Look]:
        return assign(self.names)

    def looks(self, rows: Iterable[Named]) -> list[Look]:
        """The look of each row; of rows that the report does not name, it depends on the others."""
        names = [(row.method, row.label) for row in rows]
        known = self._looks if self.names.issuperset(names) else assign({*self.names, *names})
        return [known[name] for name in names]

    def shown(
        self, rows: Sequence[T], score: Callable[[T], float], *, named: bool = False
    ) -> Shown[T]:
        """The rows to draw and their looks.

        Args:
            rows: in the order of the table.
            score: of two rows, the one of the higher score is rather drawn, and rather in colour.
            named: True if the figure names every row, so that none need be grey to tell the
                others apart.
        """
        asked = set(self.options.highlight)
        chosen = [i for i, row in enumerate(rows) if asked & {row.label, row.method}]
        best = sorted(range(len(rows)), key=lambda i: score(rows[i]), reverse=True)
        drawn = sorted([*chosen, *(i for i in best if i not in chosen)][: max(MOST, len(chosen))])
        coloured = chosen or (drawn if named else [i for i in best[:COLOURED] if i in drawn])
        looks = self.looks(rows)
        notes = []
        if len(drawn) < len(rows):
            notes.append(f"the {len(drawn)} highest of {len(rows)} rows")
        if grey := len(drawn) - len(coloured):
            notes.append(f"grey: the other {grey}" if not named else "")
        return Shown(
            tuple(rows[i] for i in drawn),
            tuple(looks[i] if i in coloured else GREY for i in drawn),
            "; ".join(filter(None, notes)),
        )


PLAIN = Drawing()
"""Default choices, no predictions."""


def score_of(table: Table) -> Callable[[Row], float]:
    """A function that is the higher the better a row is by the main metric of a table."""
    sign = 1 if METRICS[table.main].higher_is_better else -1

    def score(row: Row) -> float:
        mean = row.values[table.main].mean
        return -math.inf if mean is None else sign * mean

    return score


def line_of(look: Look) -> dict[str, Any]:
    """Arguments of a line with the markers of a row."""
    return {"linestyle": look.dashes, **marks_of(look)}


_SIZES = {"o": 1.0, "s": 0.95, "D": 0.9, "P": 1.5, "X": 1.4, "*": 1.8}
"""Sizes with which markers look equally large; all others have 1.15."""


def marks_of(look: Look) -> dict[str, Any]:
    """Arguments of the markers of a row."""
    grey = look is GREY
    size = mpl.rcParams["lines.markersize"] * _SIZES.get(look.marker, 1.15)
    return {
        "color": look.colour, "marker": look.marker, "markerfacecolor": look.face,
        "markeredgecolor": "white" if look.filled and not grey else look.colour,
        "markeredgewidth": 0.4 if look.filled else 0.9,
        **(
            {"markersize": 0.7 * size, "linewidth": 0.6, "zorder": 2.5}
            if grey
            else {"markersize": size, "zorder": 4}
        ),
    }  # fmt: skip


def error_bars(
    axes: Axes, look: Look, x: float, y: float, *, dx: float | None = None, dy: float | None = None
) -> None:
    """Draw a point with its deviations, thin and behind it."""
    if dx or dy:
        axes.errorbar(
            [x], [y], xerr=dx or None, yerr=dy or None, linestyle="none", ecolor=look.colour,
            elinewidth=0.9, capsize=0, zorder=2.5 if look is GREY else 3,
        )  # fmt: skip
    axes.plot([x], [y], **{**marks_of(look), "linestyle": "none"})
