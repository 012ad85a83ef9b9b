"""Markdown table lines, and text escaped for Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence


def pipes(cells: Sequence[str]) -> str:
    """One line of a Markdown table."""
    return "| " + " | ".join(cells) + " |"


def code(label: str) -> str:
    """`label` as Markdown code."""
    # A bar ends a table cell even within code.
    return "`" + label.replace("`", "'").replace("|", r"\|") + "`"


def escape_markdown(text: str) -> str:
    """`text` with everything escaped that Markdown could read as markup."""
    text = re.sub(r"([\\`*<>\[\]|])", r"\\\1", " ".join(text.split()))
    # Markdown leaves an underscore within a word alone, and it is easier to read unescaped.
    return re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", text)
