"""Kinds of values in tables of records and comparisons, and their types in data frames."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Kind = Literal["text", "integer", "number", "truth", "list", "mapping"]

DTYPES: Mapping[Kind, str] = {
    "text": "string", "integer": "Int64", "number": "float64", "truth": "boolean",
    "list": "object", "mapping": "object",
}  # fmt: skip
"""Types of pandas that hold a kind of values and their absence."""
