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

import ast
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal, TypeVar

from benchmarks.errors import did_you_mean
from benchmarks.plugins.catalog import Catalog
from benchmarks.plugins.declared import parsed
from benchmarks.protocol import FEATURES_VERSION, PIXELS_VERSION, PROTOCOL_VERSION

FOLDER = Path(__file__).parent
METHODS = Catalog("method", "methods", FOLDER, "longtail_vlm.methods")

Needs = Literal["features", "images"]
M = TypeVar("M", bound=type)


@dataclass(frozen=True)
class MethodInfo:
    """What a method's decorator declares; see `register`."""

    name: str
    paper: str
    needs: Needs
    tasks: tuple[str, ...] = ("single",)
    deterministic: bool = False
    reconstruction: str = ""
    exempt: Mapping[str, str] = field(default_factory=dict)


_CONTRACT = {"base", "registry", "space", "__init__"}
"""Shared by every method; a change there that changes numbers raises PROTOCOL_VERSION."""


def register(
    name: str,
    *,
    paper: str,
    needs: Needs,
    tasks: tuple[str, ...] = ("single",),
    deterministic: bool = False,
    reconstruction: str = "",
    exempt: Mapping[str, str] | None = None,
) -> Callable[[M], M]:
    """Class decorator: `cls` is the method called `name`.

    Args:
        name: as typed on the command line.
        paper: whose method it is.
        needs: "features" (frozen, N x D) or "images" (the method runs the backbone itself).
        tasks: which of "single" and "multi" (label) it serves.
        deterministic: it draws no random numbers; one run stands for every seed.
        reconstruction: what of the paper is this project's own reading; printed with every result.
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
    """What the decorator of the method `name` declares, without importing its module.

    Raises:
        UserError: no such method; the line names the nearest ones.
    """
    entries = METHODS.entries()
    if name not in entries:
        raise did_you_mean("method", name, entries)
    return MethodInfo(name, **entries[name].options)


@cache
def fingerprint(name: str) -> str:
    """The source fingerprint of a method.

    A hash over its file, the modules of methods/ and benchmarks/towers/ that it imports (and that
    those import), and the versions of protocol, frozen features and, for methods on images, of
    their pixels: a record with another fingerprint was made by other code and is stale.
    """
    start = METHODS.entries()[name].file
    seen: dict[Path, str] = {}
    queue = [start]
    while queue:
        file = queue.pop()
        if file not in seen:
            source = file.read_bytes()
            seen[file] = hashlib.sha256(source).hexdigest()
            queue += _imported_files(file, source)
    lines = [f"protocol {PROTOCOL_VERSION}", f"features {FEATURES_VERSION}"]
    lines += sorted(seen.values())
    if info_of(name).needs == "images":
        lines.append(f"pixels {PIXELS_VERSION}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _imported_files(file: Path, source: bytes) -> list[Path]:
    """Files under methods/ and benchmarks/towers/ that the import statements of a module name.

    Args:
        file: where the module is.
        source: what is in it.
    """
    inside = file.is_relative_to(FOLDER)
    package = ("methods", *file.relative_to(FOLDER).parts[:-1]) if inside else ()
    files = []
    for module in _imported_modules(source, package):
        head, *rest = module.split(".")
        found = FOLDER.parent.joinpath(head, *rest).with_suffix(".py")
        contract = len(rest) == 1 and rest[0] in _CONTRACT
        hashed = (head == "methods" and not contract) or module.startswith("benchmarks.towers.")
        if hashed and rest and found.is_file():
            files.append(found)
    return files


@cache
def _imported_modules(source: bytes, package: tuple[str, ...]) -> tuple[str, ...]:
    """The modules, and what may be modules, that a source text of a package imports."""
    modules: set[str] = set()
    for node in ast.walk(parsed(source)):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            # `from methods.parts import losses` names a module, `… import cross_entropy` does not.
            modules |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return tuple(sorted(modules))
