"""Class names, templates and descriptions that a data set passes to methods."""

from __future__ import annotations

import hashlib
import os
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from benchmarks.datasets.base import Family, Texts
from benchmarks.datasets.files.characters import TEXT, trouble
from benchmarks.errors import UserError, did_you_mean, first_few
from benchmarks.file_names import expanded
from benchmarks.hierarchy import Hierarchy, nested
from benchmarks.input_files import read_bytes, read_text
from benchmarks.text import Package, Variant, wordnet
from benchmarks.yaml_files import JSON_LIMIT, YAML_LIMIT, Refused, load_json, load_yaml

CHOICES = ("auto", "none", "wordnet")
"""Values of `descriptions` other than a file."""


@dataclass(frozen=True)
class WithTexts(Family):
    """Base class of families whose texts come from a package of `benchmarks/text`."""

    texts: Variant = "public"
    """Names and templates: `public`, those of the published zero-shot values, or `own`, this
    project's, without ambiguous names."""
    descriptions: str = "auto"
    """`auto`: those of the text package, if any; `none`; `wordnet`: glosses from a WordNet on this
    machine; or a JSON or YAML file {class: text}."""

    def pinned(self) -> dict[str, Any]:
        """Return the fields, with a description file or WordNet by name and content hash."""
        values = super().pinned()
        if self.descriptions == "wordnet":
            values["descriptions"] = f"wordnet@{wordnet.find().digest}"
        elif self.descriptions not in CHOICES:
            values["descriptions"] = _file_id(self._file())
        return values

    def class_texts(self) -> Texts | None:
        """Return the texts that methods receive; None if the class names come with the images.

        Raises:
            UserError: see `_texts`.
        """
        package = self._package()
        return self._texts(package)[0] if package.keys else None

    @abstractmethod
    def _package(self) -> Package:
        """Return the text package, as far as it is known without the images."""

    def _texts(self, package: Package) -> tuple[Texts, tuple[str, ...]]:
        """Return the texts that the fields select, and footnotes on missing or shared ones.

        Raises:
            UserError: the description file cannot be read or names unknown classes, or there is
                no WordNet on this machine.
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

    def _hierarchy(self, package: Package) -> Callable[[], Hierarchy] | None:
        """Return the builder of the tree over the classes, if there is one.

        It is that of the text package, or WordNet's where every class is a synset.
        """
        if package.tree is not None:
            where = f"the tree of {self.name}"
            return partial(
                nested, package.tree, package.keys, package.names, where, "the publisher's groups"
            )
        if package.keys and all(package.synsets):
            return partial(wordnet.hierarchy, package)
        return None

    def _texts_card(self, package: Package) -> dict[str, str]:
        """Return what `show` prints about the texts; `package` lacks classes known from data."""
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
        """Return the description file.

        Raises:
            UserError: there is no such file; the value may be a misspelt choice.
        """
        file = expanded(self.descriptions, f"{self.name}.descriptions")
        if not os.path.isfile(file):  # False for a name that is too long
            what = "is a folder" if os.path.isdir(file) else "is not a file"
            raise UserError(
                f"{self.name}.descriptions='{self.descriptions}' {what}: write "
                f"{', '.join(CHOICES)}, or the path of a JSON or YAML file {{class: text}}."
            )
        return file


def words_card(texts: Texts) -> dict[str, str]:
    """Return card entries with the first class names and templates."""
    names, templates = (
        first_few(texts.class_names, limit=6),
        first_few(texts.templates, "; ", limit=2),
    )
    return {**({"class names": names} if names else {}), "templates": templates}


def assemble(
    names: Sequence[str], templates: Sequence[str], descriptions: Sequence[str | None]
) -> tuple[Texts, tuple[str, ...]]:
    """Return the texts that methods receive, and footnotes on missing or shared ones.

    A class without a description is described by its name, so its prompt equals the template's.
    """
    notes = []
    shared = [name for name, times in Counter(names).items() if times > 1]
    if shared:
        notes.append(
            f"{len(shared)} class names are each shared by several classes, which texts alone "
            f"cannot distinguish: {first_few(shared)}"
        )
    texts = None
    missing = [name for name, text in zip(names, descriptions, strict=True) if not text]
    if len(missing) < len(names):
        texts = tuple(text or name for name, text in zip(names, descriptions, strict=True))
        if missing:
            notes.append(
                f"{len(missing)} of {len(names)} classes have no description; their names were "
                f"used instead: {first_few(missing)}"
            )
    return Texts(tuple(names), tuple(templates), texts), tuple(notes)


def _from_file(file: Path, package: Package, owner: str) -> list[str | None]:
    """Read (C,) descriptions; the file may refer to a class by key or by name."""
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
            raise UserError(f"{file}: '{name}' is the name of several classes: write {keys}.")
        text = one_text(value, f"{file}: the description of '{name}'")
        (i,) = known[name]
        if found[i] is not None:
            raise UserError(f"{file}: '{name}' is described twice, by key and by name.")
        found[i] = text
    return found


def one_text(value: Any, what: str) -> str:
    """Return a description from a file: a text, or a list of sentences, which are joined.

    Raises:
        UserError: the value has another type or is empty.
    """
    sentences = value if isinstance(value, list) else [value]
    if not sentences or not all(isinstance(s, str) and s.strip() for s in sentences):
        raise UserError(
            f"{what} must be a text or a list of texts, and not empty; to use the class name, "
            "leave the class out."
        )
    text = " ".join(" ".join(sentences).split())
    if wrong := trouble(text, TEXT):
        raise UserError(f"{what} {wrong}.")
    return text


def read_mapping(file: Path, where: str) -> Mapping[str, Any]:
    """Read a JSON or YAML file that contains a mapping with text keys.

    Raises:
        UserError: the file is missing, or contains something else.
    """
    try:
        load, limit = (load_json, JSON_LIMIT) if file.suffix == ".json" else (load_yaml, YAML_LIMIT)
        data = load(read_text(file, limit, "utf-8-sig"))
    except OSError as error:
        raise UserError(f"{where}={file}: {error.strerror}.") from error
    except Refused as error:
        raise UserError(f"{file}: {error}.") from error
    except (ValueError, yaml.YAMLError) as error:
        raise UserError(f"{file}: not valid {_format(file)}{_line(error)}.") from error
    if not isinstance(data, dict) or not data:
        raise UserError(f"{file}: expected a mapping {{class: text}}, not {_kind(data)}.")
    for key in data:
        if not isinstance(key, str):
            raise UserError(f"{file}: the class {key!r} is not a text; put it in quotes.")
    return data


def _format(file: Path) -> str:
    return "JSON" if file.suffix == ".json" else "YAML"


def _line(error: Exception) -> str:
    """Return the line where a parser stopped, if the error gives it."""
    mark = getattr(error, "problem_mark", None)
    line = mark.line + 1 if mark is not None else getattr(error, "lineno", None)
    return f" (line {line})" if line else ""


def _kind(data: Any) -> str:
    if not data:
        return "nothing"
    return {"list": "a list", "str": "a text"}.get(type(data).__name__, type(data).__name__)


def _file_id(file: Path) -> str:
    try:
        digest = hashlib.sha256(read_bytes(file, JSON_LIMIT)).hexdigest()
    except OSError as error:
        raise UserError(f"descriptions={file}: {error.strerror}.") from error
    return f"{file.name}@{digest[:8]}"
