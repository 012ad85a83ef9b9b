"""Which numbers a method's field may hold, by its name: what no method could use ends in one line.

A name means the same in every method, plug-ins included. These are outer limits; a method may ask
for more in its `fit`. Names that are not here take any number.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class FieldRange:
    """From `low` to `high`, with the ends unless it is `open`."""

    low: float
    high: float | None = None
    open: bool = False

    def complaint(self, value: float) -> str | None:
        """What is wrong with a value, for example "less than 2"; None where nothing is."""
        inside = operator.lt if self.open else operator.le
        if not inside(self.low, value):
            return f"{'not above' if self.open else 'less than'} {self.low:g}"
        if self.high is not None and not inside(value, self.high):
            return f"{'not below' if self.open else 'more than'} {self.high:g}"
        return None


COUNT = FieldRange(1)
NONNEGATIVE = FieldRange(0)
POSITIVE = FieldRange(0, open=True)
SHARE = FieldRange(0, 1)
STAGE_SHARE = FieldRange(0, 1, open=True)
"""Of the epochs, where each of two stages gets one at least."""

RANGES: dict[str, FieldRange] = {
    # training; a learning rate of 0 trains nothing, which is a control
    "epochs": COUNT,
    "batch_size": COUNT,
    "lr": NONNEGATIVE,
    "head_lr": NONNEGATIVE,
    "scale_lr": NONNEGATIVE,
    "weight_decay": NONNEGATIVE,
    "head_share": STAGE_SHARE,
    "scale_share": STAGE_SHARE,
    "classifier_share": STAGE_SHARE,
    # sizes
    "attention_width": FieldRange(16, 4096),
    "bottleneck": NONNEGATIVE,  # 0: LIFT's rule
    "contexts": COUNT,
    "max_guides": FieldRange(2),
    "prompts": COUNT,
    "reduction": COUNT,
    "shots": NONNEGATIVE,  # 0: all
    # losses
    "cse_weight": SHARE,
    "db_mu": SHARE,
    "db_neg_scale": POSITIVE,
    "gamma": NONNEGATIVE,
    "margin": NONNEGATIVE,
    "max_nats": NONNEGATIVE,
    "tau": NONNEGATIVE,
    "text_weight": NONNEGATIVE,
    # logits
    "alpha": NONNEGATIVE,
    "beta": NONNEGATIVE,
    "matching_scale": POSITIVE,
    "prototype_share": SHARE,
    "pull": NONNEGATIVE,
    "ratio": SHARE,
    "scale": POSITIVE,
    "shrinkage": SHARE,
}


def complaint(name: str, value: Any) -> str | None:
    """What is wrong with the value of a method's field, or None; only numbers are judged."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return RANGES[name].complaint(value) if number and name in RANGES else None
