"""The user's choices for all figures of a report: size, style, formats and highlighted rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FORMATS = ("png", "pdf", "svg", "pgf")
_NARROW = 5.0
"""Inches below which there is no room for texts beside axes."""


@dataclass(frozen=True)
class FigureOptions:
    """Choices for all figures; each function of a figure gets them in its `Drawing`."""

    width: float = 7.0
    """Inches, in which texts have `font_size`: 3.3 for one column of a page, 7 for both."""
    font_size: float = 8.0
    """Points of all texts, unless the style sets others."""
    style: Path | None = None
    """A matplotlib style file whose settings replace those of the suite."""
    formats: tuple[str, ...] = ("png", "pdf")
    """Endings of the files, some of FORMATS."""
    highlight: tuple[str, ...] = ()
    """Labels of rows, or methods, that are drawn in colour; all others are grey. Empty: the best
    rows are."""

    @property
    def narrow(self) -> bool:
        """True if there is no room for texts beside the axes."""
        return self.width < _NARROW
