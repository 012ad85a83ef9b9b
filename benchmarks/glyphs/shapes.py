"""Look-up tables of the glyphs' outlines and textures, made with + − × ÷ and comparisons only."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

SIDE = 128
"""Side of a table in cells."""
CELLS = 56.0
"""Cells per glyph radius; the rest is an empty margin."""
BAR = 60
"""Index of the table of the clutter bar; the next is a speck. Tables 0–59: shape · 5 + texture."""
_FINE = 3  # each cell is the mean of 3×3 points
_RIM = 11  # width of a hollow glyph's outline in cells

Mask = NDArray[np.bool_]
_Polygon = tuple[tuple[float, float], ...]

# Corners in units of the radius, y downwards, ordered as `world.SHAPES`; `_outline` draws None.
_POLYGONS: tuple[_Polygon | None, ...] = (
    None,  # circle
    ((-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)),  # square
    ((0.0, -0.95), (0.98, 0.8), (-0.98, 0.8)),  # triangle
    ((0.0, -1.0), (0.72, 0.0), (0.0, 1.0), (-0.72, 0.0)),  # diamond
    (
        (0.0, -1.0),
        (0.247, -0.34),
        (0.951, -0.309),
        (0.399, 0.13),
        (0.588, 0.809),
        (0.0, 0.42),
        (-0.588, 0.809),
        (-0.399, 0.13),
        (-0.951, -0.309),
        (-0.247, -0.34),
    ),  # star
    (
        (-0.33, -0.95),
        (0.33, -0.95),
        (0.33, -0.33),
        (0.95, -0.33),
        (0.95, 0.33),
        (0.33, 0.33),
        (0.33, 0.95),
        (-0.33, 0.95),
        (-0.33, 0.33),
        (-0.95, 0.33),
        (-0.95, -0.33),
        (-0.33, -0.33),
    ),  # cross
    None,  # heart
    None,  # crescent
    (
        (0.0, -1.0),
        (0.85, -0.05),
        (0.36, -0.05),
        (0.36, 0.95),
        (-0.36, 0.95),
        (-0.36, -0.05),
        (-0.85, -0.05),
    ),  # arrow
    (
        (-0.85, -0.95),
        (0.85, -0.95),
        (0.16, 0.0),
        (0.85, 0.95),
        (-0.85, 0.95),
        (-0.16, 0.0),
    ),  # hourglass
    (
        (0.0, -0.85),
        (0.97, 0.1),
        (0.97, 0.85),
        (0.0, -0.1),
        (-0.97, 0.85),
        (-0.97, 0.1),
    ),  # chevron
    (
        (0.45, -1.0),
        (-0.75, 0.12),
        (-0.12, 0.12),
        (-0.45, 1.0),
        (0.75, -0.16),
        (0.12, -0.16),
    ),  # bolt
)


@cache
def tables() -> NDArray[np.int32]:
    """(62, 128, 128) int32: the first ink's weight (0–256) plus 65,536 times the second ink's."""
    x, y = _grid()
    out = []
    for shape in range(12):
        inside = _outline(shape, x, y)
        for texture in range(5):
            out.append(_pack(*_inks(inside, texture, x, y)))
    nothing = np.zeros_like(x, dtype=bool)
    bar = (x > -1.0) & (x < 1.0) & (y > -0.3) & (y < 0.3)
    out += [_pack(bar, nothing), _pack(_disc(x, y, 0.0, 0.0, 0.6), nothing)]
    return np.stack(out)


def _grid() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    points = SIDE * _FINE
    line = (np.arange(points) + 0.5 - points / 2.0) / (CELLS * _FINE)
    return np.broadcast_to(line, (points, points)), np.broadcast_to(line[:, None], (points, points))


def _outline(shape: int, x: NDArray[np.float64], y: NDArray[np.float64]) -> Mask:
    polygon = _POLYGONS[shape]
    if polygon is not None:
        return _inside(polygon, x, y)
    if shape == 0:
        return _disc(x, y, 0.0, 0.0, 0.92)
    if shape == 6:
        lobes = _disc(x, y, -0.46, -0.35, 0.5) | _disc(x, y, 0.46, -0.35, 0.5)
        return lobes | _inside(((-0.9, -0.14), (0.0, -0.4), (0.9, -0.14), (0.0, 0.95)), x, y)
    return _disc(x, y, -0.1, 0.0, 0.95) & ~_disc(x, y, 0.42, 0.0, 0.72)


def _inks(
    inside: Mask, texture: int, x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[Mask, Mask]:
    """Masks of the first and of the second ink."""
    if texture == 4:  # hollow: nothing inside the rim
        return inside & ~_shrink(inside, _RIM * _FINE), np.zeros_like(inside)
    if texture == 1:  # striped
        second = _odd(y / 0.3 + 0.5)
    elif texture == 2:  # dotted
        dx, dy = _to_nearest(x / 0.56 + 0.5), _to_nearest(y / 0.56 + 0.5)
        second = dx * dx + dy * dy < 0.31 * 0.31
    elif texture == 3:  # checkered
        second = _odd(x / 0.46) ^ _odd(y / 0.46)
    else:  # plain
        second = np.zeros_like(inside)
    return inside & ~second, inside & second


def _pack(first: Mask, second: Mask) -> NDArray[np.int32]:
    return _weights(first) + (_weights(second) << 16)


def _weights(mask: Mask) -> NDArray[np.int32]:
    """(128, 128) covered share of each cell and its neighbours in 256ths; the blur smooths edges.

    At a radius of 10 pixels a pixel is 5.6 cells wide, about the width of the blur.
    """
    cells = mask.reshape(SIDE, _FINE, SIDE, _FINE).astype(np.int32).sum((1, 3))
    padded = np.pad(cells, 2)
    total = np.zeros_like(cells)
    for i in range(5):
        for j in range(5):
            total += padded[i : i + SIDE, j : j + SIDE]
    shares: NDArray[np.int32] = total * 256 // (25 * _FINE * _FINE)
    return shares


def _inside(polygon: _Polygon, x: NDArray[np.float64], y: NDArray[np.float64]) -> Mask:
    """Mask of the points inside a polygon, by the even–odd rule."""
    inside = np.zeros(x.shape, dtype=bool)
    for (x1, y1), (x2, y2) in zip(polygon, polygon[1:] + polygon[:1], strict=True):
        if y1 != y2:
            crosses = (y1 > y) != (y2 > y)
            inside ^= crosses & (x < (x2 - x1) * (y - y1) / (y2 - y1) + x1)
    return inside


def _disc(
    x: NDArray[np.float64], y: NDArray[np.float64], cx: float, cy: float, radius: float
) -> Mask:
    return (x - cx) * (x - cx) + (y - cy) * (y - cy) < radius * radius


def _shrink(mask: Mask, steps: int) -> Mask:
    """`mask` eroded by `steps` points; square and diamond steps alternate."""
    for step in range(steps):
        kept = mask.copy()
        kept[1:] &= mask[:-1]
        kept[:-1] &= mask[1:]
        across = kept if step % 2 else mask
        new = kept.copy()
        new[:, 1:] &= across[:, :-1]
        new[:, :-1] &= across[:, 1:]
        mask = new
    return mask


def _odd(values: NDArray[np.float64]) -> Mask:
    odd: Mask = np.floor(values).astype(np.int64) % 2 == 1
    return odd


def _to_nearest(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance of each value to the centre of its unit interval."""
    return values - np.floor(values) - 0.5
