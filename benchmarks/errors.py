"""Errors that a user can cause; each message is one line: what is wrong and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class UserError(Exception):
    """An error that only the user can correct: the command line prints it and exits with 2."""


class DataError(UserError):
    """Unusable data, or a disk that takes none: ends the run, not only a cell as a method's."""


class DataMissing(DataError):
    """Missing data or weights: not on this machine, and could not be fetched."""


class NotApplicable(Exception):
    """The method does not apply to this data set or backbone; recorded, not a failure."""


def did_you_mean(kind: str, name: str, known: Iterable[str]) -> UserError:
    """The error for an unknown `name`: lists similar names, or the first known ones if none is."""
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


def first_few(items: Sequence[str], between: str = ", ", limit: int = 3) -> str:
    """The first `limit` items as text, and the number of further ones."""
    more = f"{between}and {len(items) - limit} more" if len(items) > limit else ""
    return between.join(items[:limit]) + more
