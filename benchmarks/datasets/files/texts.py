"""Texts that a data set passes to its methods: the fields that choose them, and the result."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.datasets.base import Family, Texts
from benchmarks.errors import UserError, did_you_mean, first_few
from benchmarks.text import Package, Variant, wordnet
from benchmarks.yaml_files import DuplicateKey, load_json, load_yaml

CHOICES = ("auto", "none", "wordnet")
"""What `descriptions` may be, apart from a file."""


@dataclass(frozen=True)
class WithTexts(Family):
    """A family whose texts come from a package of `benchmarks/text`."""

    texts: Variant = "public"
    """Names and templates: `public`, those that published zero-shot values were made with, or
    `own`, this project's (ambiguous names told apart)."""
    descriptions: str = "auto"
    """`auto`: those of the text package, if any; `none`; `wordnet`: glosses, from a WordNet on this
    machine; or a JSON or YAML file {class: text}."""

    def pinned(self) -> dict[str, Any]:
        """The knobs; a file of descriptions, or a WordNet, by its name and content."""
        knobs = super().pinned()
        if self.descriptions == "wordnet":
            knobs["descriptions"] = f"wordnet@{wordnet.find().digest}"
        elif self.descriptions not in CHOICES:
            knobs["descriptions"] = _file_id(self._file())
        return knobs

    def _texts(self, package: Package) -> tuple[Texts, tuple[str, ...]]:
        """The texts that the knobs choose, and footnotes on what is missing or doubled.

        Raises:
            UserError: a file of descriptions that cannot be read or names unknown classes; no
                WordNet on this machine.
        """
        found: Sequence[str | None] = package.descriptions
        origin: tuple[str, ...] = ()
        if self.descriptions == "none" or not package.keys:
            found = [None] * len(package.keys)
        elif self.descriptions == "wordnet":
            found, origin = wordnet.glosses(package)
        elif self.descriptions != "auto":
            found = _from_file(self._file(), package, self.name)
        texts, notes = assemble(package.names, package.templates, found)
        return texts, (*origin, *notes)

    def _texts_card(self, package: Package) -> dict[str, str]:
        """What `show` prints of the texts; `package` is without classes that come with the data."""
        texts, notes = self._texts(package)
        if self.descriptions == "auto":
            described = f"{sum(bool(text) for text in package.descriptions) or 'no'} descriptions"
        else:
            described = f"descriptions: {self.pinned()['descriptions']}"
        known = texts.digest if package.keys else "unverified (the class names come with the data)"
        number = len(texts.templates)
        return {
            "texts": f"{self.texts}, version {package.version}: {package.source}; "
            f"{number} template{'s' * (number > 1)}, {described}; text hash {known}",
            **words_card(texts),
            **({"texts, note": "; ".join(notes)} if notes else {}),
        }

    def _file(self) -> Path:
        """The file of descriptions.

        Raises:
            UserError: there is none of that name; it may be a choice misspelt.
        """
        file = Path(self.descriptions).expanduser()
        if not file.is_file():
            what = "is a folder" if file.is_dir() else "is no file"
            raise UserError(
                f"{self.name}.descriptions='{self.descriptions}' {what}: write "
                f"{', '.join(CHOICES)}, or the path of a JSON or YAML file {{class: text}}."
            )
        return file


def words_card(texts: Texts) -> dict[str, str]:
    """The first class names and templates, as cards show them."""
    names, templates = (
        first_few(texts.class_names, limit=6),
        first_few(texts.templates, "; ", limit=2),
    )
    return {**({"class names": names} if names else {}), "templates": templates}


def assemble(
    names: Sequence[str], templates: Sequence[str], descriptions: Sequence[str | None]
) -> tuple[Texts, tuple[str, ...]]:
    """A text package as methods see it, and footnotes.

    A class without a description is described by its name, so that its prompt is the template's.
    """
    notes = []
    doubled = [name for name, times in Counter(names).items() if times > 1]
    if doubled:
        notes.append(
            f"{len(doubled)} class names stand for several classes each, which texts alone cannot "
            f"tell apart: {first_few(doubled)}"
        )
    texts = None
    missing = [name for name, text in zip(names, descriptions, strict=True) if not text]
    if len(missing) < len(names):
        texts = tuple(text or name for name, text in zip(names, descriptions, strict=True))
        if missing:
            notes.append(
                f"{len(missing)} of {len(names)} classes have no description, their names were "
                f"used instead: {first_few(missing)}"
            )
    return Texts(tuple(names), tuple(templates), texts), tuple(notes)


def _from_file(file: Path, package: Package, owner: str) -> list[str | None]:
    """(C,) descriptions by class; the file may call a class by its key or its name."""
    data = read_mapping(file, f"{owner}.descriptions")
    known: dict[str, list[int]] = {}
    for i, name in enumerate(package.names):
        known.setdefault(name, []).append(i)
    known |= {key: [i] for i, key in enumerate(package.keys)}
    found: list[str | None] = [None] * len(package.keys)
    for name, value in data.items():
        if name not in known:
            raise did_you_mean(f"class in {file}", name, known)
        if len(known[name]) > 1:
            keys = ", ".join(package.keys[i] for i in known[name])
            raise UserError(f"{file}: '{name}' stands for several classes: write {keys}.")
        text = one_text(value, f"{file}: the description of '{name}'")
        (i,) = known[name]
        if found[i] is not None:
            raise UserError(f"{file}: '{name}' is described twice, by its key and by its name.")
        found[i] = text
    return found


def one_text(value: Any, what: str) -> str:
    """A description as a file gives it: a text, or a list of sentences, which are joined.

    Raises:
        UserError: it is something else, or empty.
    """
    sentences = value if isinstance(value, list) else [value]
    if not sentences or not all(isinstance(s, str) and s.strip() for s in sentences):
        raise UserError(
            f"{what} must be a text, or a list of texts, and not empty; leave the class out to use "
            "its name."
        )
    return " ".join(" ".join(sentences).split())


def read_mapping(file: Path, where: str) -> Mapping[str, Any]:
    """A JSON or YAML file that maps texts to something.

    Raises:
        UserError: it is not there, or is something else.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
        data = load_json(text) if file.suffix == ".json" else load_yaml(text)
    except OSError as error:
        raise UserError(f"{where}={file}: {error.strerror}.") from error
    except DuplicateKey as error:
        raise UserError(f"{file}: {error}.") from error
    except (ValueError, yaml.YAMLError) as error:
        raise UserError(f"{file}: not valid {_format(file)}{_line(error)}.") from error
    if not isinstance(data, dict) or not data:
        raise UserError(f"{file}: a mapping {{class: text}} is wanted, not {_kind(data)}.")
    for key in data:
        if not isinstance(key, str):
            raise UserError(f"{file}: the class {key!r} is not a text; put it in quotes.")
    return data


def _format(file: Path) -> str:
    return "JSON" if file.suffix == ".json" else "YAML"


def _line(error: Exception) -> str:
    """Where a parser stopped, as far as it says."""
    mark = getattr(error, "problem_mark", None)
    line = mark.line + 1 if mark is not None else getattr(error, "lineno", None)
    return f" (line {line})" if line else ""


def _kind(data: Any) -> str:
    if not data:
        return "nothing"
    return {"list": "a list", "str": "a text"}.get(type(data).__name__, type(data).__name__)


def _file_id(file: Path) -> str:
    try:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(f"descriptions={file}: {error.strerror}.") from error
    return f"{file.name}@{digest[:8]}"
