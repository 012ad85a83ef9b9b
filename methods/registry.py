"""Methods by name. A method is registered by decorating its class; nothing else is edited.

    @register("my_method", paper="A. Author 2026, arXiv 2601.00000", needs="features")
    @dataclass(frozen=True)
    class MyMethod(Method):
        '''One line that `list` prints.'''
        lr: float = 0.01

        def fit(self, task: Task) -> Predictor: ...

Files in methods/, files given with `--plugin FILE` and installed packages with an entry point in
the group `longtail_vlm.methods` are all found the same way.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from benchmarks.errors import UserError
from benchmarks.plugins.catalog import Catalog, Extras
from benchmarks.plugins.description import items_in, mapping_in, text_in
from benchmarks.plugins.entries import Entry
from methods.space import as_json, from_json

if TYPE_CHECKING:
    from benchmarks.datasets.base import TaskKind

FOLDER = Path(__file__).parent

Needs = Literal["features", "images"]
M = TypeVar("M", bound=type)


@dataclass(frozen=True)
class MethodInfo:
    """Declaration of a method, as its decorator holds it; see `register`."""

    name: str
    paper: str
    needs: Needs
    tasks: tuple[TaskKind, ...] = ("single",)
    deterministic: bool = False
    reconstruction: str | Mapping[TaskKind, str] = ""
    exempt: Mapping[str, str] = field(default_factory=dict)

    def reconstruction_on(self, task: TaskKind) -> str:
        """Parts that are our own reading of the paper on a kind of data; "" if none are."""
        own = self.reconstruction
        return own if isinstance(own, str) else own.get(task, "")


def _attributes(cls: type) -> dict[str, Any]:
    """Facts on a method's class that the planning process needs, in types of JSON."""
    space = getattr(cls, "space", {})
    owners = [base for base in cls.__mro__ if "fit_many" in vars(base)]
    return {
        "space": {name: as_json(distribution) for name, distribution in space.items()},
        "bases": [dotted(base) for base in cls.__mro__[1:]],
        "fit_many": dotted(owners[0]) if owners else "",
    }


def _checked(entry: Entry) -> Entry:
    """The entry of a method that another process described, once its parts are what they must be.

    Raises:
        KeyError: a part is missing.
        TypeError: an option is missing, or is not one of a method.
        ValueError: a part is something else than it must be.
        UserError: the same, in words for the user.
    """
    info = MethodInfo(entry.name, **entry.options)
    tasks, exempt, attributes = tuple(info.tasks), mapping_in(info.exempt), entry.attributes
    own = info.reconstruction
    read = (
        [own]
        if isinstance(own, str)
        else [text for pair in mapping_in(own).items() for text in pair]
    )
    texts = [info.paper, info.needs, *read, *tasks, *exempt.values()]
    if not all(isinstance(text, str) for text in texts):
        raise UserError(
            f"'{entry.name}' is registered with something else than text as its paper, needs, "
            "reconstruction, tasks or exempt."
        )
    space = {}
    for name, distribution in mapping_in(attributes["space"]).items():
        if entry.fields is None or name not in entry.fields:
            raise UserError(f"the space of '{entry.name}' names '{name}', which is not a field.")
        space[name] = from_json(items_in(distribution))
    found = {
        "space": space,
        "bases": tuple(text_in(base) for base in items_in(attributes["bases"])),
        "fit_many": text_in(attributes["fit_many"]),
    }
    declared = dataclasses.replace(info, tasks=tasks, deterministic=info.deterministic is True)
    options = {name: value for name, value in vars(declared).items() if name != "name"}
    return dataclasses.replace(entry, options=options, attributes=found)


METHODS = Catalog(
    "method", "methods", FOLDER, "longtail_vlm.methods", Extras(_attributes, _checked)
)


def dotted(cls: type) -> str:
    """The module and the name of a class."""
    return f"{cls.__module__}.{cls.__qualname__}"


def register(
    name: str,
    *,
    paper: str,
    needs: Needs,
    tasks: tuple[TaskKind, ...] = ("single",),
    deterministic: bool = False,
    reconstruction: str | Mapping[TaskKind, str] = "",
    exempt: Mapping[str, str] | None = None,
) -> Callable[[M], M]:
    """Class decorator that registers a method.

    Args:
        name: as typed on the command line.
        paper: authors, year and arXiv number.
        needs: "features" (frozen, N x D) or "images" (the method runs the backbone itself).
        tasks: kinds of data that it supports, "single" and "multi" (label).
        deterministic: True if it draws no random numbers, so that one run is enough.
        reconstruction: parts that are this project's own reading of the paper; printed with every
            result. If they differ between kinds of data, a text for each kind.
        exempt: checks of `check` that it cannot meet, each with the reason.
    """
    options = {
        "paper": paper,
        "needs": needs,
        "tasks": tasks,
        "deterministic": deterministic,
        "reconstruction": reconstruction,
        "exempt": exempt or {},
    }

    def add(cls: M) -> M:
        cls.info = MethodInfo(  # type: ignore[attr-defined]
            name, paper, needs, tasks, deterministic, reconstruction, exempt or {}
        )
        METHODS.add(cls, name, options)
        return cls

    return add


def info_of(name: str) -> MethodInfo:
    """Declaration of the method `name`, read without importing its module.

    Raises:
        UserError: no such method; the line names the nearest ones.
    """
    return MethodInfo(name, **METHODS.entry(name).options)
