"""References in BibTeX of methods and data sets, from `docs/references.bib`.

An entry belongs to a method or data set whose card declares the entry's `eprint` or `doi`, or whose
name is among the entry's `keywords`. A paper without an entry, such as that of a plug-in, is cited
by what its card says.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from benchmarks.errors import UserError

FILE = Path(__file__).resolve().parents[3] / "docs" / "references.bib"
_ENTRY = re.compile(r"^@(\w+)\{([^,\s]+),\n(.*?)^\}", re.M | re.S)
_FIELD = re.compile(r"^ *(\w+) *= *\{(.*)\},?$", re.M)
_IDENTIFIER = re.compile(r"arXiv (\d{4}\.\d{4,5})|doi (10\.\d{4,}/\S*\w)")


@dataclass(frozen=True)
class Reference:
    """One entry of a file in BibTeX."""

    key: str
    text: str
    """The entry as it is printed: without `keywords`, which only say what it belongs to."""
    fields: dict[str, str]

    @property
    def names(self) -> list[str]:
        """Methods and data sets that the entry names."""
        return re.findall(r"[^,\s]+", self.fields.get("keywords", ""))


@cache
def references(file: Path = FILE) -> tuple[Reference, ...]:
    """All entries of a file, in its order."""
    return tuple(_read(file.read_text("utf-8")))


def _read(text: str) -> Iterator[Reference]:
    for entry in _ENTRY.finditer(text):
        printed = re.sub(r"^ *keywords *=.*\n", "", entry[0], flags=re.M)
        yield Reference(entry[2], printed, dict(_FIELD.findall(entry[3])))


def cite(name: str, declared: str) -> list[str]:
    """The entries to cite for a method or data set.

    Args:
        name: its name.
        declared: what its card says of its paper or source.

    Returns:
        Entries in BibTeX; none if nothing is declared that could be cited.
    """
    identifiers = ["".join(found) for found in _IDENTIFIER.findall(declared)]
    known = {r.fields[f]: r for r in references() for f in ("eprint", "doi") if f in r.fields}
    found = [known[i].text if i in known else _from_card(i, declared) for i in identifiers]
    found += [r.text for r in references() if name in r.names]
    return list(dict.fromkeys(found))


def _from_card(identifier: str, declared: str) -> str:
    """An entry made of a paper's identifier and the words before it, as in "Shi et al. 2024"."""
    before = declared[: declared.index(identifier)]
    words = re.search(r"([^;:,]*?)( et al\.)? (\d{4}), (?:arXiv|doi) $", before)
    author, year = (words[1].strip(), words[3]) if words else (before, "")
    lines = [
        f"  author = {{{author}{' and others' if words and words[2] else ''}}},",
        f"  year   = {{{year}}},",
        f"  {'doi   ' if identifier.startswith('10.') else 'eprint'} = {{{identifier}}},",
    ]
    key = re.sub(r"\W", "", author.split(" and ")[0]).lower() + year
    return "\n".join([f"@misc{{{key},", *lines, "}"])


def print_citations(name: str, declared: str) -> None:
    """Print the entries to cite for a method or data set on standard output.

    Raises:
        UserError: its card declares no paper.
    """
    entries = cite(name, declared)
    if not entries:
        raise UserError(f"'{name}' declares no paper with an arXiv number or a doi.")
    sys.stdout.write("\n\n".join(entries) + "\n")
