"""Registry of the texts that a report has for each table and for each sweep over a knob.

A file format is one module in `formats/`: a function decorated with the ending of its files.
`report` imports these modules and writes what they registered. Figures are registered likewise, see
`figures/registry.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from reports.knob_sweeps import KnobSweep
from reports.table import Table

Content = str | None
"""Text, or None if there is nothing to show."""
OfTable = TypeVar("OfTable", bound=Callable[[Table], Content])
OfSweep = TypeVar("OfSweep", bound=Callable[[KnobSweep], Content])

TABLE_OUTPUTS: dict[str, Callable[[Table], Content]] = {}
"""Functions by the ending of the file name."""
SWEEP_OUTPUTS: dict[str, Callable[[KnobSweep], Content]] = {}
"""Functions for the files of sweeps over a knob of a data set, likewise."""


def table_output(ending: str) -> Callable[[OfTable], OfTable]:
    """Decorator that registers an output of every table, for example ".md"."""

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
