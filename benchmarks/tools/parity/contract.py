"""A comparison of our code with that of a method's authors, and what it finds."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.errors import did_you_mean
from benchmarks.tools.checkouts import Checkout

FOLDER = Path(__file__).parent / "comparisons"

ROUNDING = 1e-5
"""Relative difference that single precision and another order of operations explain."""
GRADIENTS = 1e-4
"""The same for gradients, which are small differences of large numbers."""
EXACT = 0.0


@dataclass(frozen=True)
class Pair:
    """The same numbers from both codes."""

    what: str
    ours: Any
    """Array, tensor, sequence or number."""
    theirs: Any
    tolerance: float = ROUNDING
    """Largest relative difference that passes."""

    def __post_init__(self) -> None:
        for side in ("ours", "theirs"):  # copies: training may change the originals afterwards
            object.__setattr__(self, side, _array(getattr(self, side)))

    @property
    def differences(self) -> tuple[float, float]:
        """Largest absolute difference, and the same relative to the largest of their numbers.

        Both are infinite where shapes differ or where one code alone has a NaN or an infinity.
        """
        ours, theirs = self.ours, self.theirs
        if ours.shape != theirs.shape or not ours.size:
            return np.inf, np.inf
        same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
        if not np.isfinite(ours[~same]).all() or not np.isfinite(theirs[~same]).all():
            return np.inf, np.inf
        absolute = float(np.abs(ours[~same] - theirs[~same]).max(initial=0.0))
        largest = float(np.abs(theirs[np.isfinite(theirs)]).max(initial=0.0))
        return absolute, absolute / largest if absolute and largest else absolute

    @property
    def agrees(self) -> bool:
        """True if the relative difference is within the tolerance."""
        return self.differences[1] <= self.tolerance


@dataclass(frozen=True)
class Comparison:
    """A function that compares, with what it compares against."""

    name: str
    repository: str
    """OWNER/NAME on github.com."""
    commit: str
    """Full hash of the commit that the numbers of docs/parity.md belong to."""
    files: Sequence[str]
    """Files of the checkout that are read."""
    differs: str
    """Differences on purpose, one line."""
    stand_ins: str
    """Replacements for parts of their code, one line; "" if it runs as it is."""
    pairs: Callable[[Checkout], Iterable[Pair]]

    @property
    def what(self) -> str:
        """First line of the function's docstring: what is compared."""
        return (self.pairs.__doc__ or "").partition("\n")[0]


def against(
    repository: str, commit: str, files: Sequence[str], *, differs: str = "", stand_ins: str = ""
) -> Callable[[Callable[[Checkout], Iterable[Pair]]], Comparison]:
    """Declare a comparison; its name is that of its file. See `Comparison` for the arguments."""

    def declared(function: Callable[[Checkout], Iterable[Pair]]) -> Comparison:
        name = function.__module__.rpartition(".")[2]
        return Comparison(name, repository, commit, tuple(files), differs, stand_ins, function)

    return declared


def names() -> list[str]:
    """Names of all comparisons, sorted: the files of the folder."""
    return sorted(path.stem for path in FOLDER.glob("[a-z]*.py"))


def named(name: str) -> Comparison:
    """The comparison called `name`.

    Raises:
        UserError: there is none.
    """
    if name not in names():
        raise did_you_mean("comparison", name, names())
    found: Comparison = importlib.import_module(f"{__package__}.comparisons.{name}").compare
    return found


def _array(value: Any) -> NDArray[np.float64]:
    """A copy of any numbers as a float64 array."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    return np.array(value, dtype=np.float64)
