"""Errors that checks raise, and comparisons that several checks make."""

from __future__ import annotations

from torch import Tensor

TOLERANCE = 1e-4
"""For fp32 logits: another order of summation changes the last digits."""

ROUNDING = 3e-5
"""Largest change of a product of the tiny world by another order of summation: twice the bound
16 dimensions * 2^-24 * the logit scale of 14.3."""


class Violation(AssertionError):
    """A method violates a demand; the message is one line."""


class DoesNotApply(Exception):
    """The check does not apply to this method; the reason is shown."""


def demand(holds: bool, line: str) -> None:
    """Raise `Violation(line)` unless `holds`."""
    if not holds:
        raise Violation(line)


def demand_finite(logits: Tensor, shape: tuple[int, ...]) -> None:
    """Raise unless logits are finite floating-point numbers of this shape."""
    demand(tuple(logits.shape) == tuple(shape), f"logits are {tuple(logits.shape)}, not {shape}")
    demand(logits.dtype.is_floating_point, f"logits are {logits.dtype}")
    demand(bool(logits.isfinite().all()), "logits hold NaN or infinite values")


def demand_close(logits: Tensor, expected: Tensor, line: str) -> None:
    """Raise `line` unless logits agree up to rounding."""
    off = float((logits - expected).abs().max())
    demand(off <= TOLERANCE, f"{line}, by {off:.2g}")
