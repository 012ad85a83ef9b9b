"""What `tune` may try: the range of a field, declared by the method it belongs to."""

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

    def at(self, share: float) -> float:
        """The value a share in [0, 1) of the way through the range."""
        return self.low + share * (self.high - self.low)


@dataclass(frozen=True)
class LogUniform:
    """A number from `low` to `high`, all magnitudes equally likely."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g} (log)"

    def __contains__(self, value: Any) -> bool:
        return bool(self.low <= value <= self.high)

    def at(self, share: float) -> float:
        """The value a share in [0, 1) of the way through the range, on a logarithmic scale."""
        return self.low * math.exp(share * math.log(self.high / self.low))


@dataclass(frozen=True)
class OneOf:
    """One of some values."""

    options: tuple[Any, ...]

    def __str__(self) -> str:
        return " | ".join(map(str, self.options))

    def __contains__(self, value: Any) -> bool:
        return value in self.options

    def at(self, share: float) -> Any:
        """The value a share in [0, 1) of the way through the options."""
        return self.options[int(share * len(self.options))]


Range = Uniform | LogUniform | OneOf


def drawn(reach: Range, share: float, whole: bool) -> Any:
    """The value a share in [0, 1) of the way through a range, as a field holds it.

    Args:
        reach: the range.
        share: where in it.
        whole: the field holds whole numbers; others get four significant digits.
    """
    value = reach.at(share)
    if isinstance(reach, OneOf):
        return value
    return round(value) if whole else float(f"{value:.4g}")
