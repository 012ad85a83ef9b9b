"""Lines of values as CSV text."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def csv_text(names: Sequence[str], lines: Iterable[Mapping[str, Any]]) -> str:
    """CSV with a header; a value that is None or absent is empty."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return stream.getvalue()
