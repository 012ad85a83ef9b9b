"""Drawing: the same bytes on every machine, and images that show the requested scene."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from benchmarks.glyphs import draw, shapes, stream, world

RED_CIRCLE, WHITE_SQUARE = world.combination(0, 0, 0), world.combination(1, 9, 0)


def scenes(
    numbers: Sequence[int] | Sequence[Sequence[int]],
    style: float = 0.0,
    difficulty: float = 0.0,
    tag: str = "test",
) -> draw.Scenes:
    glyphs = np.array(numbers, dtype=np.int64)
    glyphs = glyphs if glyphs.ndim == 2 else glyphs[:, None]
    keys = np.array([stream.key_of(tag, i) for i in range(len(glyphs))], dtype=np.uint64)
    return draw.Scenes(keys, glyphs, np.full(len(glyphs), style), np.full(glyphs.shape, difficulty))


def mixed() -> draw.Scenes:
    """Twelve scenes with every shape, colour and texture, one to four glyphs, all styles."""
    glyphs = np.full((12, 4), -1)
    for i in range(12):
        for g in range(1 + i % 4):
            glyphs[i, g] = world.combination((i + 5 * g) % 12, (i + 3 * g) % 10, (i + g) % 5)
    keys = np.array([stream.key_of("golden", i) for i in range(12)], dtype=np.uint64)
    ramp = np.arange(12) / 12.0
    return draw.Scenes(keys, glyphs, ramp, np.broadcast_to(ramp[:, None], (12, 4)))


def test_stream_is_splitmix64() -> None:
    # The first outputs of the reference implementation for seed 1234567.
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert stream.raw(np.array([1234567], dtype=np.uint64), 0, 3)[0].tolist() == expected


def test_a_stream_read_in_pieces_is_the_same_stream() -> None:
    keys = np.array([7, 8], dtype=np.uint64)
    whole = stream.raw(keys, 0, 10)
    assert (stream.raw(keys, 4, 6) == whole[:, 4:]).all()
    source, again = stream.Source("a"), stream.Source("a")
    mixed_reads = [source.below(1000), *source.uniform(3), source.below(1000)]
    assert mixed_reads[0] == again.below(1000)
    assert (again.uniform(3) == mixed_reads[1:4]).all()
    assert again.below(1000) == mixed_reads[4]


def test_uniform_numbers_lie_in_the_unit_interval() -> None:
    words = np.array([0, 2**64 - 1, 2**63], dtype=np.uint64)
    assert stream.uniform(words).tolist() == [0.0, 1 - 2.0**-53, 0.5]


@pytest.mark.parametrize("batch", [1, 7])
def test_an_image_does_not_depend_on_its_batch(batch: int) -> None:
    many = mixed()
    parts = [draw.draw(many.part(i, i + batch)) for i in range(0, len(many), batch)]
    assert (np.concatenate(parts) == draw.draw(many)).all()


def test_golden_bytes() -> None:
    digest = hashlib.sha256(draw.draw(mixed()).tobytes()).hexdigest()
    assert digest == "4d0b6f6bf610aba627496783856196c4d004341c234abef40bad8d6a689933a1"


def test_golden_tables() -> None:
    assert (
        hashlib.sha256(shapes.tables().astype("<i4").tobytes()).hexdigest()
        == "30019f3e6f12fd37a5c715e4c1d1e58514149c52728f4974fe1064c8eda7f8e2"
    )


def test_a_plain_glyph_has_its_colour_at_its_centre() -> None:
    """A lone plain-style circle always covers the image's centre (radius > offset)."""
    for name, check in {
        "red": lambda r, g, b: (r > g + 60) & (r > b + 60),
        "green": lambda r, g, b: (g > r + 40) & (g > b + 40),
        "blue": lambda r, g, b: (b > r + 60) & (b > g + 40),
        "white": lambda r, g, b: np.minimum(np.minimum(r, g), b) > 140,
    }.items():
        circle = world.combination(0, world.COLOURS.index(name), 0)
        images = draw.draw(scenes([circle] * 40)).astype(int)
        middle = np.median(images[:, 15:17, 15:17].reshape(40, 4, 3), axis=1)
        assert check(*middle.T).all(), name


def test_a_hollow_glyph_shows_the_background_inside() -> None:
    plain = draw.draw(scenes([WHITE_SQUARE] * 60)).astype(int)
    hollow = draw.draw(scenes([world.combination(1, 9, 4)] * 60)).astype(int)
    assert plain[:, 16, 16].mean() > hollow[:, 16, 16].mean() + 60
    # Outside the glyph the two images are the same.
    assert (plain[:, 0, 0] == hollow[:, 0, 0]).all()


def test_an_empty_scene_contains_no_glyph() -> None:
    empty = draw.draw(scenes([[-1]] * 20)).astype(int)
    white = draw.draw(scenes([WHITE_SQUARE] * 20)).astype(int)
    assert (white[:, 16, 16].min(1) > empty[:, 16, 16].max(1)).all()


def test_four_glyphs_sit_in_the_four_corners() -> None:
    images = draw.draw(scenes([[WHITE_SQUARE] * 4] * 20)).astype(int)
    for x, y in ((9, 9), (23, 9), (9, 23), (23, 23)):
        assert (images[:, y, x].min(1) > 130).all()


def test_the_first_glyph_does_not_depend_on_the_second() -> None:
    one = draw.draw(scenes([[RED_CIRCLE, WHITE_SQUARE]] * 10)).astype(int)
    two = draw.draw(scenes([[RED_CIRCLE, RED_CIRCLE]] * 10)).astype(int)
    changed = (one != two).any(3).mean((1, 2))
    assert (changed > 0.05).all() and (changed < 0.4).all()


def test_style_and_difficulty_reduce_contrast() -> None:
    def spread(**kw: Any) -> float:
        return draw.draw(scenes([WHITE_SQUARE] * 60, **kw)).astype(float).std()

    assert spread(style=1.0) < 0.8 * spread()
    assert spread(difficulty=1.0) < 0.9 * spread()


def test_every_combination_looks_different() -> None:
    """With the same key only the glyph differs; no two of the 600 images may be equal."""
    keys = np.full(600, stream.key_of("same"), dtype=np.uint64)
    all_glyphs = np.arange(600)[:, None]
    images = draw.draw(draw.Scenes(keys, all_glyphs, np.zeros(600), np.zeros((600, 1))))
    assert len({image.tobytes() for image in images}) == 600


def test_tables_are_shares_with_an_empty_border() -> None:
    first, second = shapes.tables() & 0xFFFF, shapes.tables() >> 16
    assert (first + second).max() == 256 and (first + second).min() == 0
    edge = np.concatenate(
        [(first + second)[:, [0, -1], :].ravel(), (first + second)[:, :, [0, -1]].ravel()]
    )
    assert (edge == 0).all()
    # A circle of radius 0.92 · 56 cells covers pi · r² of them.
    area = (first + second)[0].sum() / 256
    assert abs(area / (np.pi * (0.92 * 56) ** 2) - 1) < 0.01
