"""Registry of the figures that a report has for each table and for each sweep over a knob."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from matplotlib.figure import Figure

from reports.figures.drawing import Drawing
from reports.knob_sweeps import KnobSweep
from reports.table import Table

OfTable = TypeVar("OfTable", bound=Callable[[Table, Drawing], Figure | None])
OfSweep = TypeVar("OfSweep", bound=Callable[[KnobSweep, Drawing], Figure | None])

TABLE_FIGURES: dict[str, Callable[[Table, Drawing], Figure | None]] = {}
"""Functions by the end of their files' names, to which the endings of the formats are added. They
return None if there is nothing to show."""
SWEEP_FIGURES: dict[str, Callable[[KnobSweep, Drawing], Figure | None]] = {}
"""Functions for the figures of sweeps over a knob of a data set, likewise."""


def table_figure(ending: str) -> Callable[[OfTable], OfTable]:
    """Decorator that registers a figure of every table, for example "__head_tail"."""

    def register(function: OfTable) -> OfTable:
        TABLE_FIGURES[ending] = function
        return function

    return register


def sweep_figure(ending: str) -> Callable[[OfSweep], OfSweep]:
    """Decorator that registers a figure of every sweep over a knob."""

    def register(function: OfSweep) -> OfSweep:
        SWEEP_FIGURES[ending] = function
        return function

    return register
