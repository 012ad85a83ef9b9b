"""The tables of docs/formats.md, for the tests that hold them against what is written."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "docs" / "formats.md"


def lines_of(section: str) -> list[dict[str, str]]:
    """The lines of the table in a section: head of the column -> text, without backticks."""
    text = PAGE.read_text("utf-8")
    (part,) = re.findall(rf"^#+ {re.escape(section)}\n(.*?)(?=^#|\Z)", text, re.M | re.S)
    rows = [
        [cell.strip().replace("`", "") for cell in line.strip("|").split("|")]
        for line in part.splitlines()
        if line.startswith("|")
    ]
    heads, _, *others = rows
    return [dict(zip(heads, row, strict=True)) for row in others]
