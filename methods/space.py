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


_RANGES: dict[str, type[Uniform | LogUniform]] = {"Uniform": Uniform, "LogUniform": LogUniform}


def as_json(distribution: Distribution) -> list[Any]:
    """A distribution in types of JSON, as `from_json` reads it.

    Raises:
        TypeError: it is of another class than those here.
    """
    if type(distribution) is OneOf:
        return ["OneOf", *distribution.options]
    for name, form in _RANGES.items():
        if type(distribution) is form:
            return [name, distribution.low, distribution.high]
    raise TypeError(f"{distribution!r:.80} is not Uniform, LogUniform or OneOf")


def from_json(data: list[Any]) -> Distribution:
    """A distribution from what `as_json` returns.

    Raises:
        ValueError: it is something else, or an empty range.
    """
    name, *values = data
    if name == "OneOf":
        if values and all(isinstance(value, str | int | float | None) for value in values):
            return OneOf(tuple(values))
        raise ValueError("OneOf takes some numbers, texts, true, false or None")
    if any(isinstance(v, bool) or not isinstance(v, int | float) for v in values):
        raise ValueError(f"{name} takes two numbers")
    low, high = values
    if not (math.isfinite(low) and math.isfinite(high) and low < high) or (
        name == "LogUniform" and low <= 0
    ):
        raise ValueError(f"{name} from {low} to {high} is no range")
    return _RANGES[name](low, high)
