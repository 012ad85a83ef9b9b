"""Pages of the Python interface: their text comes from docstrings, through mkdocstrings."""

from __future__ import annotations

MODULES = {
    "methods.base": "The contract of a method",
    "methods.registry": "Registration",
    "methods.space": "Ranges that tune draws from",
    "benchmarks.plugins.ranges": "Ranges of fields",
    "methods.parts.training.loop": "The training loop",
    "methods.parts.training.learning": "Trainings in turns",
    "methods.parts.losses.base": "Losses",
    "benchmarks.backbones": "Backbones",
    "benchmarks.metrics": "Metrics",
    "benchmarks.errors": "Errors",
    "results.schema": "Records",
    "results.store": "The store of records",
    "reports.api": "Tables and figures from Python",
}
"""Modules that users import, with the titles of their pages."""


def interface_pages() -> dict[str, str]:
    """The page of each module, by its name."""
    return {module: f"# `{module}`\n\n::: {module}\n" for module in MODULES}
