"""Lines of values as CSV text that a spreadsheet program runs no part of."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.visible import visible

_FORMULA = "=+-@\t\r\n＝＋－＠"
"""First characters of a cell that a spreadsheet program computes."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def csv_text(names: Sequence[str], lines: Iterable[Mapping[str, Any]]) -> str:
    """CSV with a header; a value that is None or absent is empty."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(map(cell, names))
    writer.writerows([cell(line.get(name)) for name in names] for line in lines)
    return stream.getvalue()


def cell(value: Any) -> Any:
    """The value of a cell: a text that would be a formula gets an apostrophe before it.

    Numbers stay numbers, also those that are texts. Control characters are written as escapes.
    """
    if not isinstance(value, str):
        return value
    formula = value.lstrip(" ")[:1] in (*_FORMULA,) and not _NUMBER.fullmatch(value)
    return f"'{visible(value)}" if formula else visible(value)
