"""Ranges of numeric fields, declared at the field: `lr: Annotated[float, NonNegative] = 0.01`.

A range excludes the numbers that no run could use, before anything is loaded. A field without one
takes any number; `fit` may demand more.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, including the ends unless it is `open`."""

    low: float
    high: float | None = None
    open: bool = False

    def __post_init__(self) -> None:
        if self.high is not None and not self.low < self.high:
            raise ValueError(f"a range from {self.low:.10g} to {self.high:.10g} is empty")

    def complaint(self, value: float) -> str | None:
        """The reason why a value is outside, for example "less than 2"; None if it is inside."""
        inside = operator.lt if self.open else operator.le
        if not inside(self.low, value):
            return f"{'not above' if self.open else 'less than'} {self.low:.10g}"
        if self.high is not None and not inside(value, self.high):
            return f"{'not below' if self.open else 'more than'} {self.high:.10g}"
        return None


Count = Range(1)
NonNegative = Range(0)
Positive = Range(0, open=True)
Share = Range(0, 1)
OpenShare = Range(0, 1, open=True)
"""For two parts that each need some, such as the epochs of two stages."""
