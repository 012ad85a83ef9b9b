"""Classes that may be one class in two spellings: `Cat` and `cat`, `cat` and `cat ` with a space.

Copies between systems, spreadsheets and hands change names. A class that is spelled in one way for
training and in another for testing would be two classes, one never trained and one never tested.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

from benchmarks.errors import DataError, first_few

_WHOLE = re.compile(r"0*(\d+)(\.0+)?")


def compare(where: object, keys: Sequence[str], used: Iterable[tuple[str, int]]) -> tuple[str, ...]:
    """Footnotes on classes whose names differ only in spelling.

    Args:
        where: the file that describes the data, for messages.
        keys: (C,) names.
        used: each split that an image of a class is in, and the class's index.

    Raises:
        DataError: two spellings of a name have no split in common, so that they are one class.
    """
    splits: dict[str, set[str]] = {key: set() for key in keys}
    for split, i in used:
        splits[keys[i]].add(split)
    spellings: dict[str, list[str]] = {}
    for key in keys:
        spellings.setdefault(_folded(key), []).append(key)
    several = [keys for keys in spellings.values() if len(keys) > 1]
    for keys in several:
        for i, one in enumerate(keys):
            for other in keys[:i]:
                if splits[one] and splits[other] and not splits[one] & splits[other]:
                    raise DataError(
                        f"{where}: {other!r} has images for {_named(splits[other])} only and "
                        f"{one!r} for {_named(splits[one])} only, and their names differ only in "
                        "spelling: spell them alike, or list both in `classes:` if they are two "
                        "classes."
                    )
    if not several:
        return ()
    pairs = first_few([" and ".join(map(repr, keys)) for keys in several], "; ")
    return (f"classes whose names differ only in spelling count as several: {pairs}",)


def _named(splits: Iterable[str]) -> str:
    return " and ".join(sorted(splits))


def _folded(key: str) -> str:
    """A name without case, outer blanks, unseen characters, and zeros before a number."""
    plain = "".join(c for c in key if unicodedata.category(c) != "Cf")
    words = re.sub(r"[\s_-]+", " ", unicodedata.normalize("NFKC", plain)).strip()
    number = _WHOLE.fullmatch(words)
    return number[1] if number else words.casefold()
