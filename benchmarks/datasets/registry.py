"""Data sets by name. `cifar100_lt_ir50` is `cifar100_lt` with its field `imbalance` at 50."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.catalog import Catalog
from benchmarks.datasets.base import Family, TaskKind
from benchmarks.errors import UserError, did_you_mean

F = TypeVar("F", bound=type)

DATASETS = Catalog(
    "data set", "benchmarks.datasets", Path(__file__).parent, "longtail_vlm.datasets"
)


def register(name: str, *, task: TaskKind) -> Callable[[F], F]:
    """Class decorator: `cls` is the data set family called `name`."""

    def add(cls: F) -> F:
        cls.name, cls.task = name, task  # type: ignore[attr-defined]
        DATASETS.add(cls, name, {"task": task})
        return cls

    return add


def resolve(name: str) -> tuple[type[Family], dict[str, Any]]:
    """The family that `name` means, and the fields that the name itself sets.

    Raises:
        UserError: no such data set, or an imbalance ratio below 1.
    """
    known = DATASETS.entries()
    match = re.fullmatch(r"(.+)_ir(\d+(?:\.\d+)?)", name)
    if name in known or match is None or match[1] not in known:
        return DATASETS.get(name), {}
    family: type[Family] = DATASETS.get(match[1])
    if "imbalance" not in {f.name for f in dataclasses.fields(family)}:  # type: ignore[arg-type]
        raise did_you_mean("data set", name, known)
    if float(match[2]) < 1:
        raise UserError(f"Data set '{name}': the imbalance ratio must be 1 or more.")
    return family, {"imbalance": float(match[2])}
