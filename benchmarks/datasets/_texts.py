"""Which of a data set's texts its methods are given: the knobs, and what they find."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.datasets.base import Family, Texts
from benchmarks.errors import UserError, did_you_mean
from benchmarks.text import Package, Which

CHOICES = ("auto", "none", "wordnet")
"""What `descriptions` may be, apart from a file."""


@dataclass(frozen=True)
class WithTexts(Family):
    """A family whose texts come from a package of `benchmarks/text`."""

    texts: Which = "public"
    """Names and templates: `public`, those that published zero-shot values were made with, or
    `own`, this project's (ambiguous names told apart)."""
    descriptions: str = "auto"
    """`auto`: those of the text package, if any; `none`; `wordnet`: glosses, from a WordNet on this
    machine; or a JSON or YAML file {class: text}."""

    def pinned(self) -> dict[str, Any]:
        """The knobs; a file of descriptions by its name and content."""
        knobs = super().pinned()
        if self.descriptions not in CHOICES:
            knobs["descriptions"] = _file_id(Path(self.descriptions))
        return knobs

    def _texts(self, package: Package) -> tuple[Texts, tuple[str, ...]]:
        """The texts that the knobs choose, and footnotes on what is missing or doubled.

        Raises:
            UserError: a file of descriptions that cannot be read or names unknown classes.
        """
        found: Sequence[str | None] = package.descriptions
        if self.descriptions == "none":
            found = [None] * len(package.keys)
        elif self.descriptions != "auto":
            found = _from_file(Path(self.descriptions), package, self.name)
        return assemble(package.names, package.templates, found)

    def _texts_card(self, package: Package) -> dict[str, str]:
        """What `show` prints of the texts."""
        texts, notes = self._texts(package)
        kept = sum(bool(text) for text in package.descriptions)
        described = (
            f"{kept or 'no'} descriptions"
            if self.descriptions == "auto"
            else (f"descriptions: {self.pinned()['descriptions']}")
        )
        return {
            "texts": f"{package.source}; {len(texts.templates)} templates, {described}; "
            f"text hash {texts.digest}",
            **({"texts, note": "; ".join(notes)} if notes else {}),
        }


def assemble(
    names: Sequence[str], templates: Sequence[str], descriptions: Sequence[str | None]
) -> tuple[Texts, tuple[str, ...]]:
    """A text package as methods see it, and footnotes.

    A class without a description is described by its name, so that its prompt is the template's.
    """
    notes = []
    doubled = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if doubled:
        notes.append(
            f"{len(doubled)} class names stand for several classes each, which texts alone cannot "
            f"tell apart: {_some(doubled)}"
        )
    texts = None
    missing = [name for name, text in zip(names, descriptions, strict=True) if not text]
    if len(missing) < len(names):
        texts = tuple(text or name for name, text in zip(names, descriptions, strict=True))
        if missing:
            notes.append(
                f"{len(missing)} of {len(names)} classes have no description, their names were "
                f"used instead: {_some(missing)}"
            )
    return Texts(tuple(names), tuple(templates), texts), tuple(notes)


def _some(items: Sequence[str], limit: int = 3) -> str:
    more = f" and {len(items) - limit} more" if len(items) > limit else ""
    return ", ".join(items[:limit]) + more


def _from_file(file: Path, package: Package, owner: str) -> list[str | None]:
    """(C,) descriptions by class; the file may call a class by its key or its name."""
    data = read_mapping(file, f"{owner}.descriptions")
    known = {name: i for i, name in enumerate(package.names)}
    known |= {key: i for i, key in enumerate(package.keys)}
    found: list[str | None] = [None] * len(package.keys)
    for name, text in data.items():
        if name not in known:
            raise did_you_mean(f"class in {file}", name, known)
        if not isinstance(text, str) or not text.strip():
            raise UserError(f"{file}: the description of '{name}' is not a text.")
        found[known[name]] = " ".join(text.split())
    return found


def read_mapping(file: Path, where: str) -> Mapping[str, Any]:
    """A JSON or YAML file that maps texts to something.

    Raises:
        UserError: it is not there, or is something else.
    """
    try:
        text = file.read_text(encoding="utf-8")
        data = json.loads(text) if file.suffix == ".json" else yaml.safe_load(text)
    except OSError as error:
        raise UserError(f"{where}={file}: {error.strerror}.") from error
    except (ValueError, yaml.YAMLError) as error:
        raise UserError(f"{file}: not valid {file.suffix[1:].upper() or 'YAML'}.") from error
    if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
        raise UserError(f"{file}: a mapping {{class: text}} is wanted.")
    return data


def _file_id(file: Path) -> str:
    try:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        known = ", ".join(CHOICES)
        raise UserError(
            f"descriptions={file}: {error.strerror}; write {known} or a JSON or YAML file."
        ) from error
    return f"{file.name}@{digest[:8]}"
