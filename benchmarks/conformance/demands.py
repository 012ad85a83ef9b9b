"""What a check raises, and the comparisons that several of them make."""

from __future__ import annotations

from torch import Tensor

TOLERANCE = 1e-4
"""On logits in fp32: sums in another order give other last digits."""

ROUNDING = 3e-5
"""What another order of summation can change in a product of the tiny world: twice the bound
16 dimensions * 2^-24 * the logit scale of 14.3."""


class Violation(AssertionError):
    """A method does not do what it must; one line says what."""


class DoesNotApply(Exception):
    """The check has nothing to look at in this method; the reason is shown."""


def demand(holds: bool, line: str) -> None:
    """Raise the line unless it holds."""
    if not holds:
        raise Violation(line)


def demand_finite(logits: Tensor, shape: tuple[int, ...]) -> None:
    """Raise unless these are finite floating-point logits of that shape."""
    demand(tuple(logits.shape) == tuple(shape), f"logits are {tuple(logits.shape)}, not {shape}")
    demand(logits.dtype.is_floating_point, f"logits are {logits.dtype}")
    demand(bool(logits.isfinite().all()), "logits hold NaN or infinite values")


def demand_close(logits: Tensor, expected: Tensor, line: str) -> None:
    """Raise the line unless logits agree within what rounding explains."""
    off = float((logits - expected).abs().max())
    demand(off <= TOLERANCE, f"{line}, by {off:.2g}")
