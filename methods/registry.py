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

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from benchmarks.errors import did_you_mean
from benchmarks.plugins.catalog import Catalog

if TYPE_CHECKING:
    from benchmarks.datasets.base import TaskKind

FOLDER = Path(__file__).parent
METHODS = Catalog("method", "methods", FOLDER, "longtail_vlm.methods")

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
    reconstruction: str = ""
    exempt: Mapping[str, str] = field(default_factory=dict)


def register(
    name: str,
    *,
    paper: str,
    needs: Needs,
    tasks: tuple[TaskKind, ...] = ("single",),
    deterministic: bool = False,
    reconstruction: str = "",
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
            result.
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
    entries = METHODS.entries()
    if name not in entries:
        raise did_you_mean("method", name, entries)
    return MethodInfo(name, **entries[name].options)
