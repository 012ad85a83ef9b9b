"""Markdown table lines, and text escaped for Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence

from benchmarks.visible import visible

_ACTIVE = (
    r"[\\`*<>\[\]|$]"
    r"|(?<!\w)@(?=\w)|@(?=[\w-]+\.)"  # mentions and addresses
    r"|:(?=//)|(?<=www)\."  # links without brackets
    r"|(?<!\w)#(?=\w)|&(?=#?\w+;)|~(?=~)|(?<=~)~"  # issues, entities, strike-through
    # Markdown leaves an underscore within a word alone, and it is easier to read unescaped.
    r"|(?<![^\W_])_|_(?![^\W_])"
)
_AT_THE_BEGINNING = r"^(?:[#+-]|~~~|\d+(?=[.)](?: |$)))"
"""Headings, lists and fences."""


def pipes(cells: Sequence[str]) -> str:
    """One line of a Markdown table."""
    return "| " + " | ".join(cells) + " |"


def code(label: str) -> str:
    """`label` as Markdown code on one line."""
    # A bar ends a table cell even within code, and readers differ about one behind a backslash.
    text = " ".join(visible(label).split()).replace("`", "'")
    text = re.sub(r"(\\*)\|", lambda m: "/" * len(m[1]) + r"\|", text)
    return f"`{text or ' '}`"


def escape_markdown(text: str) -> str:
    """`text` on one line with everything escaped that Markdown could read as markup."""
    line = " ".join(visible(text).split())
    line = re.sub(_ACTIVE, lambda m: rf"\{m[0]}", line)
    return re.sub(_AT_THE_BEGINNING, _escaped_at_the_beginning, line)


def _escaped_at_the_beginning(match: re.Match[str]) -> str:
    sign = match[0]
    return f"{sign}\\" if sign.isdigit() else f"\\{sign}"
