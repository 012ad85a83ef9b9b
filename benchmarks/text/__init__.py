"""Text packages: class names, prompt templates and descriptions, one YAML file per package.

`NAME.yaml` is the public package of a data set, which published zero-shot values were computed
with; `NAME.own.yaml` is this project's. Fields that a file omits are taken from the package that
its field `like` names. The fields are:

- `version`, `source`: where names, templates and descriptions come from.
- `classes`: {key: description or nothing}, or a list of keys.
- `names`: {key: name}, or a list in the order of the keys.
- `templates`: a list, each with one `{}`. Methods that use a single template use the first one;
  `first` sets it if an external list begins with another.
- `synsets`: {key: wnid}, the meaning of a name in WordNet if it is not the first sense.
- `tree`: {group: [key]}, the publisher's groups of the classes.

A list may be external: `open_clip:NAME` is in `open_clip.zero_shot_metadata`, `timm:FILE` is one of
the class lists in timm (a dependency of open_clip), `package:NAME` are the keys of another package.

Base floor: imported by the data sets. `wordnet` reads descriptions from a WordNet installation.
"""

from __future__ import annotations

import csv
import importlib.util
import re
import runpy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, Self

import yaml

_FOLDER = Path(__file__).parent
_WNID = re.compile(r"n\d{8}")

CORPORA = {
    "cc12m": "CC12M",
    "laion400m": "LAION-400M",
    "laion2b": "LAION-2B",
    "metaclip400m": "MetaCLIP-400M",
}
"""Corpora with counts of the classes, and their names."""
Variant = Literal["public", "own"]
"""public: the texts that published zero-shot values were computed with; own: this project's."""


@dataclass(frozen=True)
class Package:
    """All texts of a data set; the data set then selects one set of descriptions."""

    source: str
    """Origin of names, templates and descriptions, in one line."""
    version: str
    """Increased when the package changes; two versions also differ in their text hash."""
    keys: tuple[str, ...]
    """(C,) class names as the publisher's folders and label files spell them."""
    names: tuple[str, ...]
    """(C,) class names as prompts spell them; by default the key with spaces."""
    templates: tuple[str, ...]
    """Prompt templates, each with one `{}` for the name."""
    descriptions: tuple[str | None, ...]
    """(C,) one sentence per class; None if the package has none."""
    synsets: tuple[str | None, ...]
    """(C,) wnids (`n01440764`) of WordNet 3.0; None if the first sense of the name is meant."""
    tree: Mapping[str, Any] | None = None
    """The publisher's groups of the classes (see `hierarchy.nested`); they are no text."""

    def of_classes(self, keys: Sequence[str], names: Sequence[str] | None = None) -> Self:
        """This package with classes that a data set reads from its files or folders."""
        names = [key.replace("_", " ") for key in keys] if names is None else names
        if len(names) != len(keys):
            raise ValueError("keys and names differ in length")
        return replace(
            self,
            keys=tuple(keys),
            names=tuple(names),
            descriptions=(None,) * len(keys),
            synsets=tuple(_synset(key) for key in keys),
            tree=None,
        )


def read_frequencies(name: str, corpus: str) -> dict[str, int]:
    """Captions of a pre-training corpus that name each class, by the class's key.

    Args:
        name: of a package with such a list, see `frequency/README.md`.
        corpus: one of `CORPORA`.
    """
    text = (_FOLDER / "frequency" / f"{name}.csv").read_text(encoding="utf-8")
    return {line["class"]: int(line[corpus]) for line in csv.DictReader(text.splitlines())}


def read_package(name: str, variant: Variant = "public") -> Package:
    """Read the text package of the data set `name`; without classes if they come with the data."""
    return _package(name if variant == "public" else f"{name}.own")


@cache
def _package(file: str) -> Package:
    data = yaml.safe_load((_FOLDER / f"{file}.yaml").read_text(encoding="utf-8"))
    like = _package(data["like"]) if "like" in data else None
    names = dict(zip(like.keys, like.names, strict=True)) if like else {}
    described = dict(zip(like.keys, like.descriptions, strict=True)) if like else {}
    synsets = dict(zip(like.keys, like.synsets, strict=True)) if like else {}
    classes = _resolved(data["classes"]) if "classes" in data else like.keys if like else ()
    if isinstance(classes, dict):
        described |= classes
    keys = tuple(classes)
    own = _resolved(data.get("names", {}))
    names |= own if isinstance(own, dict) else dict(zip(keys, own, strict=True))
    templates = _resolved(data["templates"]) if "templates" in data or not like else like.templates
    if "first" in data:
        templates = [data["first"], *(t for t in templates if t != data["first"])]
    synsets |= data.get("synsets", {})
    return Package(
        source=data["source"],
        version=str(data["version"]),
        keys=keys,
        names=tuple(names.get(key, key.replace("_", " ")) for key in keys),
        templates=tuple(templates),
        descriptions=tuple(described.get(key) for key in keys),
        synsets=tuple(synsets.get(key) or _synset(key) for key in keys),
        tree=data.get("tree", like.tree if like else None),
    )


def _synset(key: str) -> str | None:
    return key if _WNID.fullmatch(key) else None


def _resolved(value: Any) -> Any:
    """`value`, or the list that it refers to."""
    if not isinstance(value, str):
        return value
    where, _, name = value.partition(":")
    if where == "package":
        return _package(name).keys
    # Find the package without importing it, which would take seconds.
    spec = importlib.util.find_spec(where)
    assert spec is not None and spec.submodule_search_locations is not None, value
    folder = Path(spec.submodule_search_locations[0])
    if where == "timm":
        return (folder / "data" / "_info" / name).read_text(encoding="utf-8").split()
    found = runpy.run_path(str(folder / "zero_shot_metadata.py"))[name]
    return [item("{}") if callable(item) else item for item in found]
