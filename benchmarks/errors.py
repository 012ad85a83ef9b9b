"""The errors a user can cause. Each carries one line that says what is wrong and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class UserError(Exception):
    """Something only the user can put right: the command line prints the line and exits with 2."""


class DataError(UserError):
    """Data that cannot be used: it ends a run, where a method's own error ends its cell only."""


class DataMissing(DataError):
    """Data or weights that are not on this machine and could not be fetched."""


class NotApplicable(Exception):
    """A method, data set and backbone that do not go together; recorded, never a failure."""


def did_you_mean(kind: str, name: str, known: Iterable[str]) -> UserError:
    """The error for an unknown `name`, with the nearest known ones (or all, if few)."""
    names = sorted(known)
    lower = {n.lower(): n for n in names}
    near = [lower[n] for n in difflib.get_close_matches(name.lower(), lower, n=3, cutoff=0.5)]
    if near:
        hint = f"Did you mean: {', '.join(near)}?"
    else:
        hint = f"Known: {', '.join(names[:12])}{', …' if len(names) > 12 else ''}."
    return UserError(f"Unknown {kind} '{name}'. {hint}")


def counted(number: int, noun: str) -> str:
    """`1 cell`, `2 cells`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def some(items: Sequence[str], between: str = ", ", limit: int = 3) -> str:
    """The first few of them, and how many more there are."""
    more = f"{between}and {len(items) - limit} more" if len(items) > limit else ""
    return between.join(items[:limit]) + more
