"""The width that a table is made for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchmarks.errors import UserError

POINTS = 72.27
"""Points of TeX in an inch."""
NARROWEST, WIDEST = 2.0, 12.0
"""Inches that can be asked for: less than the narrowest column, more than the widest page."""
_WIDEST_COLUMN = 4.0
"""Inches; no paper of two columns has wider ones."""


@dataclass(frozen=True)
class Width:
    """A place for a table in a document."""

    environment: str
    """`table`, or `table*` for one that spans all columns."""
    length: str
    """The width as a length of LaTeX."""
    points: float
    """The same in points: of the narrowest place that goes by this name."""

    def part(self, share: float) -> str:
        """A part of the width as a length of LaTeX."""
        if share == 1.0:
            return self.length
        by_name = self.length.startswith("\\")
        return f"{share:g}{self.length}" if by_name else f"{share * self.points / POINTS:.3f}in"


COLUMN = Width("table", r"\columnwidth", 221.0)
"""A column of a two-column paper; that of an article on A4 is among the narrowest."""
PAGE = Width("table*", r"\textwidth", 345.0)
"""The whole width of a page; that of an article with one column is among the narrowest."""


def read_width(value: Any, where: str) -> Width:
    """The width that a user asks for: `column`, `page`, or a number of inches.

    Args:
        value: as typed, or as read from YAML.
        where: flag or file, for messages.

    Raises:
        UserError: it is none of them.
    """
    named = {"column": COLUMN, "page": PAGE}
    if str(value) in named:
        return named[str(value)]
    try:
        inches = 0.0 if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        inches = 0.0
    if not NARROWEST <= inches <= WIDEST:  # not NaN either
        raise UserError(
            f"{where} {value}: give column, page or a width in inches from {NARROWEST:g} to "
            f"{WIDEST:g}."
        )
    environment = "table" if inches <= _WIDEST_COLUMN else "table*"
    return Width(environment, f"{inches:g}in", inches * POINTS)
