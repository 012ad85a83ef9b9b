"""Text packages: class names, prompt templates and descriptions, one YAML file a package.

`NAME.yaml` is the public package of a data set, the one that published zero-shot values were made
with; `NAME.own.yaml` is this project's own, which says only what it has otherwise (`like: NAME`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

_FOLDER = Path(__file__).parent

Which = Literal["public", "own"]
"""public: what published zero-shot values were made with; own: this project's."""


@dataclass(frozen=True)
class Package:
    """A data set's texts before a choice among the descriptions is made."""

    source: str
    """Where names, templates and descriptions come from, in a line."""
    keys: tuple[str, ...]
    """(C,) class names as the publisher's folders and label files spell them."""
    names: tuple[str, ...]
    """(C,) as prompts spell them: the key with spaces where nothing else is said."""
    templates: tuple[str, ...]
    """With one `{}` for the name each."""
    descriptions: tuple[str | None, ...]
    """(C,) one sentence a class; None where the package has none."""


@cache
def read_package(name: str, which: Which = "public") -> Package:
    """The text package of the data set `name`."""
    data = _read(name if which == "public" else f"{name}.own")
    like = _read(data["like"]) if "like" in data else {}
    classes: dict[str, str | None] = data.get("classes", like.get("classes"))
    names = like.get("names", {}) | data.get("names", {})
    return Package(
        source=data["source"],
        keys=tuple(classes),
        names=tuple(names.get(key, key.replace("_", " ")) for key in classes),
        templates=tuple(data.get("templates", like.get("templates"))),
        descriptions=tuple(classes.values()),
    )


@cache
def _read(name: str) -> Any:
    return yaml.safe_load((_FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
