"""Registry of the files that a report has for each table and for each sweep over a knob.

A file format is one module in `formats/` and a figure is one module in `figures/`: a function
decorated with the ending of its files. `report` imports these modules and writes what they
registered.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from matplotlib.figure import Figure

from reports.knob_sweeps import KnobSweep
from reports.table import Table

Content = str | Figure | None
"""Text, a figure, or None if there is nothing to show."""
OfTable = TypeVar("OfTable", bound=Callable[[Table], Content])
OfSweep = TypeVar("OfSweep", bound=Callable[[KnobSweep], Content])

TABLE_OUTPUTS: dict[str, Callable[[Table], Content]] = {}
"""Functions by the ending of the file name; a figure is written with .png and .pdf added."""
SWEEP_OUTPUTS: dict[str, Callable[[KnobSweep], Content]] = {}
"""Functions for the files of sweeps over a knob of a data set, likewise."""


def table_output(ending: str) -> Callable[[OfTable], OfTable]:
    """Decorator that registers an output of every table, for example ".md" or "__head_tail"."""

    def register(function: OfTable) -> OfTable:
        TABLE_OUTPUTS[ending] = function
        return function

    return register


def sweep_output(ending: str) -> Callable[[OfSweep], OfSweep]:
    """Decorator that registers an output of every sweep over a knob."""

    def register(function: OfSweep) -> OfSweep:
        SWEEP_OUTPUTS[ending] = function
        return function

    return register
