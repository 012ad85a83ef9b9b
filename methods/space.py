"""Distributions that `tune` draws a field from; a method declares them in its `space`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Uniform:
    """A number from `low` to `high`, all equally likely."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}"

    def __contains__(self, value: Any) -> bool:
        return bool(self.low <= value <= self.high)

    def at(self, quantile: float) -> float:
        """The value at a quantile in [0, 1)."""
        return self.low + quantile * (self.high - self.low)


@dataclass(frozen=True)
class LogUniform:
    """A number from `low` to `high`, all magnitudes equally likely."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g} (log)"

    def __contains__(self, value: Any) -> bool:
        return bool(self.low <= value <= self.high)

    def at(self, quantile: float) -> float:
        """The value at a quantile in [0, 1)."""
        return self.low * math.exp(quantile * math.log(self.high / self.low))


@dataclass(frozen=True)
class OneOf:
    """One of some values, all equally likely."""

    options: tuple[Any, ...]

    def __str__(self) -> str:
        return " | ".join(map(str, self.options))

    def __contains__(self, value: Any) -> bool:
        return value in self.options

    def at(self, quantile: float) -> Any:
        """The value at a quantile in [0, 1)."""
        return self.options[int(quantile * len(self.options))]


Distribution = Uniform | LogUniform | OneOf


def drawn(distribution: Distribution, quantile: float, *, whole: bool) -> Any:
    """The value at a quantile in [0, 1) of a distribution, as a field holds it.

    Args:
        distribution: declared for the field.
        quantile: position in it.
        whole: True if the field holds whole numbers; others are rounded to four significant digits.
    """
    value = distribution.at(quantile)
    if isinstance(distribution, OneOf):
        return value
    return round(value) if whole else float(f"{value:.4g}")
