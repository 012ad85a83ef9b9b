"""Images of the embedded world: scenes of one to four glyphs, drawn as 32×32 RGB.

Every glyph is looked up in a table that contains its shape and texture at a high resolution,
through an affine map in 16.16 fixed point; a whole batch is painted at once in integers. All
variation between images comes from the image's key (`stream`), so an image's bytes depend neither
on its batch nor on the machine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.glyphs import shapes, stream

SIZE = 32
"""Side of an image in pixels."""
_CHUNK = 64  # images painted at once, so that their int32 planes fit into the second-level cache
_CLUTTER = 3  # slots for marks behind the glyphs
_NOISE_AT = 4096  # first word of the pixel noise, after all words that a layer may read

PALETTE: NDArray[np.float64] = np.array(
    [
        (222, 40, 44),  # red
        (246, 140, 28),  # orange
        (240, 226, 50),  # yellow
        (48, 168, 58),  # green
        (64, 206, 216),  # cyan
        (44, 84, 222),  # blue
        (142, 48, 192),  # purple
        (250, 142, 192),  # pink
        (132, 80, 38),  # brown
        (242, 242, 242),  # white
    ],
    dtype=np.float64,
)
"""The ten colours of the pre-training style, RGB 0–255, in the order of `world.COLOURS`."""


@dataclass(frozen=True)
class Scenes:
    """Scenes to draw, one row per image; empty glyph slots contain −1."""

    keys: NDArray[np.uint64]
    """(N,) key of all randomness in an image."""
    glyphs: NDArray[np.int64]
    """(N, G) combinations (`world.combination`), filled from the left, G from 1 to 4."""
    style: NDArray[np.float64]
    """(N,) style shift, from 0 (plain) to 1."""
    difficulty: NDArray[np.float64]
    """(N, G) visual difficulty of each glyph, 0 to 1: smaller, paler, partly hidden."""

    def __len__(self) -> int:
        return len(self.keys)

    def part(self, start: int, stop: int) -> Scenes:
        """Rows `start` to `stop`."""
        cut = slice(start, stop)
        return Scenes(self.keys[cut], self.glyphs[cut], self.style[cut], self.difficulty[cut])


@dataclass(frozen=True)
class _Layer:
    """One painted object per image."""

    active: NDArray[np.bool_]  # (N,)
    table: NDArray[np.int64]  # (N,)
    x: NDArray[np.float64]  # (N,) centre, pixels
    y: NDArray[np.float64]
    radius: NDArray[np.float64]  # (N,) pixels
    turn: NDArray[np.float64]  # (N,) tangent of half the angle
    squeeze: NDArray[np.float64]  # (N,) width over height
    ink: NDArray[np.float64]  # (N, 3) 0–255
    second: NDArray[np.float64]  # (N, 3) the texture's other ink


def draw(scenes: Scenes) -> NDArray[np.uint8]:
    """The images of `scenes`, (N, 32, 32, 3) uint8 RGB."""
    out = np.empty((len(scenes), SIZE, SIZE, 3), dtype=np.uint8)
    for start in range(0, len(scenes), _CHUNK):
        part = scenes.part(start, start + _CHUNK)
        out[start : start + len(part)] = _draw_chunk(part)
    return out


def _draw_chunk(scenes: Scenes) -> NDArray[np.uint8]:
    slots = scenes.glyphs.shape[1]
    words = stream.raw(scenes.keys, 0, 32 + 16 * (_CLUTTER + 2 * slots))
    u = stream.uniform(words)
    blocks = [u[:, 32 + 16 * i : 48 + 16 * i] for i in range(_CLUTTER + 2 * slots)]
    base, canvas = _background(u, scenes.style)
    for i in range(_CLUTTER):
        _paint(canvas, _clutter(blocks[i], i, scenes.style))
    present = scenes.glyphs >= 0
    count = present.astype(np.int64).sum(1)  # an integer sum: the same in any order
    for g in range(slots):
        block = blocks[_CLUTTER + g]
        layer = _glyph(block, u, g, count, scenes, base)
        _paint(canvas, layer)
        _paint(canvas, _occluder(blocks[_CLUTTER + slots + g], layer, scenes.difficulty[:, g]))
    return _finish(canvas, u, scenes)


def _background(
    u: NDArray[np.float64], style: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Base colour (N, 3) and canvas (3, N, 32, 32): a tinted grey, a gradient, a faint pattern."""
    base = (30.0 + 110.0 * u[:, 0:1]) + 50.0 * (u[:, 1:4] - 0.5)
    xs = np.arange(SIZE, dtype=np.int32)
    gx, gy = _fixed(3.0 * (u[:, 4] - 0.5)), _fixed(3.0 * (u[:, 5] - 0.5))
    ramp = (gx[:, None] * (xs - 16))[:, None, :] + (gy[:, None] * (xs - 16))[:, :, None]
    ramp >>= 16
    # Two-tone stripes (or, for half of the images, checks) whose strength grows with the shift.
    fx, fy = _fixed(0.1 + 0.2 * u[:, 6]) >> 8, _fixed(0.4 * (u[:, 7] - 0.5)) >> 8
    one = ((fx[:, None] * xs)[:, None, :] + (fy[:, None] * xs)[:, :, None]) >> 8
    two = ((fx[:, None] * xs)[:, :, None] - (fy[:, None] * xs)[:, None, :]) >> 8
    two *= (u[:, 8] < 0.5).astype(np.int32)[:, None, None]
    strength = _whole((4.0 + 34.0 * style) * u[:, 9])
    ramp += ((one ^ two) & 1) * strength[:, None, None]
    return base, _whole(base).T[:, :, None, None] + ramp[None]


def _clutter(v: NDArray[np.float64], index: int, style: NDArray[np.float64]) -> _Layer:
    """Bars and specks behind the glyphs: rare in the plain style, common in the shifted one."""
    ink = 40.0 + 170.0 * v[:, 6:9]
    return _Layer(
        active=v[:, 0] < (0.15 + 0.6 * style) / (1.0 + index),
        table=shapes.BAR + (v[:, 1] < 0.5).astype(np.int64),
        x=32.0 * v[:, 2],
        y=32.0 * v[:, 3],
        radius=1.5 + 4.0 * v[:, 4],
        turn=2.0 * v[:, 5] - 1.0,
        squeeze=np.ones(len(v)),
        ink=ink,
        second=ink,
    )


def _glyph(
    v: NDArray[np.float64],
    u: NDArray[np.float64],
    slot: int,
    count: NDArray[np.int64],
    scenes: Scenes,
    base: NDArray[np.float64],
) -> _Layer:
    """Glyph number `slot`; its position depends on the number of glyphs."""
    style, hard = scenes.style, scenes.difficulty[:, slot]
    glyph = scenes.glyphs[:, slot]
    combination = np.maximum(glyph, 0)
    colour = (combination // 5) % 10
    x, y, radius = _place(v, u, slot, count)
    # The shifted palette turns the hue by about 40 degrees (grey stays grey): red becomes orange.
    pure = PALETTE[colour]
    turned = 0.85 * pure + 0.45 * pure[:, (2, 0, 1)] - 0.3 * pure[:, (1, 2, 0)]
    ink = pure + style[:, None] * (turned - pure)
    ink = ink * (0.86 + 0.26 * v[:, 3:4]) + 20.0 * (v[:, 4:7] - 0.5)
    fade = 0.35 * hard[:, None]
    ink = ink + fade * (base - ink)
    dark = 0.3 + 0.25 * style[:, None]
    return _Layer(
        active=glyph >= 0,
        table=(combination // 50) * 5 + combination % 5,
        x=x,
        y=y,
        radius=radius * (1.0 - 0.3 * hard),
        turn=0.2 * style + (0.16 + 0.06 * style) * (2.0 * v[:, 7] - 1.0),
        squeeze=1.0 - 0.08 * v[:, 8] - 0.3 * style,
        ink=ink,
        second=dark * ink,
    )


_SPOTS = np.array([(9.0, 9.0), (23.0, 23.0), (23.0, 9.0), (9.0, 23.0)])


def _place(
    v: NDArray[np.float64], u: NDArray[np.float64], slot: int, count: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Centre and radius: one glyph near the middle, two side by side, three or four in corners."""
    dx, dy = 2.0 * v[:, 0] - 1.0, 2.0 * v[:, 1] - 1.0
    turn = (4.0 * u[:, 10]).astype(np.int64)  # the corner, or side, of the first glyph
    spot = _SPOTS[(slot + turn) % 4]
    side = np.where((slot + turn) % 2 == 0, 9.0, 23.0)
    across = turn < 2
    alone, pair = count == 1, count == 2
    x_pair = np.where(across, side + 1.5 * dx, 16.0 + 6.0 * dx)
    y_pair = np.where(across, 16.0 + 6.0 * dy, side + 1.5 * dy)
    x = np.where(alone, 16.0 + 4.5 * dx, np.where(pair, x_pair, spot[:, 0] + 1.5 * dx))
    y = np.where(alone, 16.0 + 4.5 * dy, np.where(pair, y_pair, spot[:, 1] + 1.5 * dy))
    few = np.where(pair, 6.5 + 2.0 * v[:, 2], 5.8 + 1.4 * v[:, 2])
    radius = np.where(alone, 8.0 + 5.0 * v[:, 2], few)
    return x, y, radius


def _occluder(v: NDArray[np.float64], over: _Layer, hard: NDArray[np.float64]) -> _Layer:
    """A grey bar across an edge of a hard glyph."""
    ink = (60.0 + 120.0 * v[:, 1:2]) + 30.0 * (v[:, 2:5] - 0.5)
    return _Layer(
        active=over.active & (v[:, 0] < 0.6 * hard),
        table=np.full(len(v), shapes.BAR, dtype=np.int64),
        x=over.x + over.radius * 1.4 * (v[:, 5] - 0.5),
        y=over.y + over.radius * 1.4 * (v[:, 6] - 0.5),
        radius=0.75 * over.radius,
        turn=2.0 * v[:, 7] - 1.0,
        squeeze=np.ones(len(v)),
        ink=ink,
        second=ink,
    )


def _paint(canvas: NDArray[np.int32], layer: _Layer) -> None:
    """Blend one layer into the (3, N, 32, 32) canvas, in place."""
    rows = np.flatnonzero(layer.active)
    if not len(rows):
        return
    t, radius = layer.turn[rows], layer.radius[rows]
    cos, sin = (1.0 - t * t) / (1.0 + t * t), 2.0 * t / (1.0 + t * t)
    across = radius * layer.squeeze[rows]
    scale = shapes.CELLS
    half = shapes.SIDE / 2.0
    xs = np.arange(SIZE, dtype=np.int32)
    place = []
    for a, b, reach in ((cos, sin, across), (-sin, cos, radius)):
        a, b = a * scale / reach, b * scale / reach
        start = half + a * (0.5 - layer.x[rows]) + b * (0.5 - layer.y[rows])
        line = _fixed(start)[:, None] + _fixed(a)[:, None] * xs
        plane = line[:, None, :] + (_fixed(b)[:, None] * xs)[:, :, None]
        plane >>= 16
        np.clip(plane, 0, shapes.SIDE - 1, out=plane)  # the border of a table is empty
        place.append(plane)
    index = place[1]
    index *= shapes.SIDE
    index += place[0]
    index += (layer.table[rows] * (shapes.SIDE * shapes.SIDE)).astype(np.int32)[:, None, None]
    weights = shapes.tables().take(index)
    first = weights & 0xFFFF
    second = weights >> 16
    rest = 256 - first
    rest -= second
    ink, other = _whole(layer.ink[rows]), _whole(layer.second[rows])
    everyone = len(rows) == canvas.shape[1]
    for c in range(3):
        plane = canvas[c] if everyone else canvas[c, rows]
        plane *= rest
        plane += first * ink[:, c, None, None]
        plane += second * other[:, c, None, None]
        plane += 128
        plane >>= 8
        if not everyone:
            canvas[c, rows] = plane


def _finish(canvas: NDArray[np.int32], u: NDArray[np.float64], scenes: Scenes) -> NDArray[np.uint8]:
    """Apply contrast about mid-grey, brightness and pixel noise; (N, 32, 32, 3) uint8."""
    style = scenes.style
    contrast = _fixed((1.0 - 0.3 * style) * (0.8 + 0.25 * u[:, 11])) >> 8  # in 256ths
    bright = _whole(118.0 + (24.0 + 30.0 * style) * (u[:, 12] - 0.5))
    strength = _whole(6.0 + (10.0 + 36.0 * style) * u[:, 13])  # half-width in halves of a level
    noise = stream.raw(scenes.keys, _NOISE_AT, SIZE * SIZE * 3 // 8)
    levels = noise.astype("<u8").view(np.int8).reshape(-1, 3, SIZE, SIZE).astype(np.int32)
    levels *= strength[:, None, None, None]
    levels >>= 8
    canvas -= 118
    canvas *= contrast[None, :, None, None]
    canvas >>= 8
    canvas += bright[None, :, None, None]
    canvas += levels.transpose(1, 0, 2, 3)
    np.clip(canvas, 0, 255, out=canvas)
    return np.ascontiguousarray(canvas.transpose(1, 2, 3, 0).astype(np.uint8))


def _fixed(values: NDArray[np.float64]) -> NDArray[np.int32]:
    """16.16 fixed point, rounded down."""
    return np.floor(values * 65536.0).astype(np.int32)


def _whole(values: NDArray[np.float64]) -> NDArray[np.int32]:
    return np.floor(values).astype(np.int32)
