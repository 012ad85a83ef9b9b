"""Facts that the forward pass of an image tower needs from the library that it comes from.

B images, T tokens, W width of the tokens, W' width of the pooled output, D joint space.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from benchmarks.towers.attention import attend
from benchmarks.towers.blocks import Layers
from benchmarks.towers.folding import Layer

Rotation = Callable[[Tensor], Tensor]
"""(B, H, T, d) queries or keys -> the same, rotated by the tokens' positions."""


class Embedded(NamedTuple):
    """The tokens of a batch of images before the first block."""

    x: Tensor
    """(B * T, W), contiguous."""
    tokens: int
    """T."""
    rotations: Sequence[Rotation | None]
    """Rotary positions of each block."""


class Reader(Protocol):
    """An image tower of plain blocks, described in the terms of `image`.

    Args:
        visual: the tower.
    """

    blocks: Sequence[Any]
    """Its L blocks."""
    prefix: str
    """Start of the names of the blocks' parameters."""
    after: tuple[str, ...]
    """Starts of the names of the parameters behind the pooled output."""
    width: int
    """W."""
    patch: int
    """Side of a patch in pixels."""
    reads_first: bool
    """True if the pooled output depends on the first token of the last block alone."""

    def embed(self, images: Tensor) -> Embedded:
        """(B, 3, H, W) images -> tokens with their positions."""
        ...

    def layers(self, block: Any, dtype: torch.dtype) -> Layers:
        """The layers of one of the blocks."""
        ...

    def pool(self, x: Tensor) -> Tensor:
        """(B, T, W) output of the last block, or (B, 1, W) if it `reads_first` -> (B, W')."""
        ...

    def projection(self) -> Layer | None:
        """The layer W' -> D after the pooled output; None if that is in the joint space."""
        ...

    def to_joint(self) -> tuple[nn.Module | None, Tensor]:
        """The last norm of the tokens, and (W, D), which takes normed tokens to the joint space.

        If attention pools the tokens, the matrix is that of a token which gets all attention,
        without the MLP that may follow.
        """
        ...


def attended(x: Tensor, images: int, kv: Layer, queries: Tensor, heads: int) -> Tensor:
    """Attention of a few queries, which are the same for all images, to the tokens.

    Args:
        x: (B * T, W).
        images: B.
        kv: W -> 2 A, keys and values.
        queries: (Q, A).
        heads: number of heads.

    Returns:
        (B, Q, A).
    """
    k, v = kv(x).view(images, len(x) // images, 2, heads, -1).permute(2, 0, 3, 1, 4)
    q = queries.to(x.dtype).view(len(queries), heads, -1).transpose(0, 1)
    return attend(q.expand(images, -1, -1, -1), k, v).transpose(1, 2).flatten(2)


def patches(images: Tensor, kernel: Tensor, bias: Tensor | None = None) -> Tensor:
    """Embeddings (B, T, W) of patches that do not overlap.

    Args:
        images: (B, 3, H, W); H and W are multiples of P.
        kernel: (W, 3, P, P).
        bias: (W,).
    """
    grid = [
        (side // size, size) for side, size in zip(images.shape[2:], kernel.shape[2:], strict=True)
    ]
    x = images.unflatten(3, grid[1]).unflatten(2, grid[0])  # (B, 3, rows, P, columns, P)
    x = x.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)  # (B, T, 3 * P * P)
    return nn.functional.linear(x, kernel.flatten(1), bias)
