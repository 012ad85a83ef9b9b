"""Data sets by name. `cifar100_lt_ir50` is `cifar100_lt` with its field `imbalance` at 50."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.datasets.base import Family, TaskKind
from benchmarks.errors import UserError, did_you_mean
from benchmarks.plugins.catalog import Catalog

OWN = (".yaml", ".yml")
"""File suffixes that mark the description of a user's own data."""

F = TypeVar("F", bound=type)

DATASETS = Catalog(
    "data set",
    "benchmarks.datasets.families",
    Path(__file__).parent / "families",
    "longtail_vlm.datasets",
)


def register(name: str, *, task: TaskKind) -> Callable[[F], F]:
    """Class decorator that registers a data set family under `name`."""

    def add(cls: F) -> F:
        cls.name, cls.task = name, task  # type: ignore[attr-defined]
        DATASETS.add(cls, name, {"task": task})
        return cls

    return add


def is_own(name: str) -> bool:
    """True if the name of a data set is the path of a user's own description."""
    return name.lower().endswith(OWN)


def without_ratio(name: str) -> str:
    """A data set's name without the imbalance ratio at its end."""
    return re.sub(r"_ir[\d.]+$", "", name)


def taken(file: str, kind: str, name: str) -> UserError:
    """The error for a user's own data whose name is that of a data set or method of the suite."""
    return UserError(
        f"{file}: a {kind} of the suite is called '{name}'; give the data another name with "
        "`name:`."
    )


def resolve(name: str) -> tuple[type[Family], dict[str, Any]]:
    """The family of a data set's name, and the fields that the name itself sets.

    A path that ends in .yaml or .yml is a user's own data, and the file sets the fields.

    Raises:
        UserError: no such data set, an imbalance ratio below 1, a file that cannot be used, or
            own data under a registered name.
    """
    known = DATASETS.entries()
    if is_own(name):
        from benchmarks.datasets.own.family import family_of  # heavy, needed only for YAML files

        own, fields = family_of(Path(name))
        if without_ratio(own.name) in known:
            raise taken(name, "data set", own.name)
        return own, fields
    match = re.fullmatch(r"(.+)_ir(\d+(?:\.\d+)?)", name)
    if name in known or match is None or match[1] not in known:
        if name not in known and os.path.exists(name):  # False for a name that no file can have
            raise UserError(
                f"'{name}' is a path on disk: to use your own data, describe them in a YAML file "
                "and give its path instead (docs/own_data.md)."
            )
        return DATASETS.get(name), {}
    family: type[Family] = DATASETS.get(match[1])
    if "imbalance" not in {f.name for f in dataclasses.fields(family)}:  # type: ignore[arg-type]
        raise did_you_mean("data set", name, known)
    if float(match[2]) < 1:
        raise UserError(f"Data set '{name}': the imbalance ratio must be 1 or more.")
    return family, {"imbalance": float(match[2])}
