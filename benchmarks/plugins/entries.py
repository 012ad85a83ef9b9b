"""An entry of a registry: what is known of a plug-in before its class is imported."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.errors import UserError
from benchmarks.plugins.fields import Fields
from benchmarks.plugins.origins import Origin

LONGEST_NAME = 100
"""Characters of a plug-in's name; it is part of file names."""
LONGEST_SUMMARY = 300
"""Characters of the first line of a docstring; a longer one is cut."""


@dataclass(frozen=True)
class Entry:
    """One plug-in: its name, where it is defined and what its decorator declares."""

    name: str
    """Registry name, as typed on the command line."""
    file: Path
    """Source file that defines it."""
    summary: str
    """First line of the class's docstring."""
    options: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments of the decorator."""
    module: str | None = None
    """Module to import; None if the class comes from outside the suite."""
    class_name: str = ""
    """Name of its class."""
    origin: Origin | None = None
    """Plug-in file or installed package that registered it; None for a part of the suite."""
    fields: Fields | None = None
    """Fields of a class that another process has described; None for one of this process."""
    attributes: dict[str, Any] = field(default_factory=dict)
    """Attributes of a class that another process has described."""


def first_line(doc: str | None) -> str:
    """The first line of a docstring, cut to a printable length, or an empty string."""
    line = (doc or "").strip().partition("\n")[0].strip()
    return line if len(line) <= LONGEST_SUMMARY else f"{line[: LONGEST_SUMMARY - 1]}…"


def check_name(kind: str, name: Any) -> None:
    """Refuse a name that cannot be typed or shown.

    Args:
        kind: what to call a plug-in in the message.
        name: the first argument of its decorator.

    Raises:
        UserError: it is not a text, or has commas, control characters or too many characters.
    """
    if not isinstance(name, str) or not name:
        raise UserError(f"@register needs the name of the {kind} first, as text.")
    if len(name) > LONGEST_NAME:
        raise UserError(
            f"The name of the {kind} '{name[:20]}…' has {len(name):,} characters; "
            f"{LONGEST_NAME} are allowed."
        )
    if not name.isprintable() or name != name.strip() or "," in name:
        raise UserError(
            f"The name of a {kind} must have no comma, no control character and no space at "
            f"either end: {name!a}."
        )
