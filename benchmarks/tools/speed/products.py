"""Lower bound on the time of a tower's pass: its matrix products alone.

Every product has the shape, number type and layout that it has in the pass, on random numbers that
are drawn once. T: tokens of a sequence; W: width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Products:
    """The products of a stack of equal transformer blocks."""

    sequences: int
    """B."""
    tokens: int
    """T."""
    width: int
    """W."""
    heads: int
    """H."""
    blocks: int
    """L."""
    backward: bool = True
    """Include the gradient of the activations; frozen weights have no gradient."""

    @property
    def flops(self) -> float:
        """Floating-point operations of one pass, two for each multiplication."""
        rows = self.sequences * self.tokens
        linear = 2 * rows * 12 * self.width**2
        attention = 2 * 2 * rows * self.tokens * self.width
        # The gradient of a linear layer's input is one product, that of attention four.
        return self.blocks * (linear * (1 + self.backward) + attention * (1 + 2 * self.backward))

    def runner(self, dtype: torch.dtype, device: torch.device) -> Callable[[], None]:
        """Return a function that computes the products of one block, of which a pass has L."""
        rows, width = self.sequences * self.tokens, self.width

        def draw(*shape: int) -> Tensor:
            return torch.randn(shape, device=device).to(dtype)

        shapes = ((width, 3 * width), (width, width), (width, 4 * width), (4 * width, width))
        linear = [
            (draw(rows, inner), draw(outer, inner), draw(rows, outer)) for inner, outer in shapes
        ]
        matrices, depth = self.sequences * self.heads, width // self.heads
        q, k, v = (draw(matrices, self.tokens, depth) for _ in range(3))
        weights = draw(matrices, self.tokens, self.tokens)

        def run() -> None:
            for x, weight, _ in linear:
                torch.mm(x, weight.T)
            torch.bmm(q, k.transpose(1, 2))
            torch.bmm(weights, v)
            if not self.backward:
                return
            for _, weight, gradient in linear:
                torch.mm(gradient, weight)
            torch.bmm(q, v.transpose(1, 2))
            torch.bmm(weights.transpose(1, 2), v)
            torch.bmm(weights, k)
            torch.bmm(weights.transpose(1, 2), q)

        return run
