"""Consistency of classes, names, descriptions and captions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.glyphs import captions, world
from benchmarks.glyphs.stream import Source


def test_combinations_and_attributes_are_inverse() -> None:
    seen = {world.combination(*world.attributes(n)) for n in range(world.COMBINATIONS)}
    assert seen == set(range(600)) and world.COMBINATIONS == 600
    assert world.attributes(world.combination(11, 9, 4)) == (11, 9, 4)


def test_half_of_the_combinations_have_a_name() -> None:
    covered, hardly = set(world.covered().tolist()), set(world.hardly_trained().tolist())
    assert len(covered) == len(hardly) == 150
    assert not covered & hardly
    assert set(world.names()) == covered | hardly


@pytest.mark.parametrize("pool", [world.covered, world.hardly_trained])
def test_attributes_are_spread_evenly_over_both_kinds(
    pool: Callable[[], NDArray[np.int64]],
) -> None:
    for column, (values, share) in enumerate(((12, 12.5), (10, 15), (5, 30))):
        counts = Counter(world.attributes(int(n))[column] for n in pool())
        assert len(counts) == values
        assert max(abs(count - share) for count in counts.values()) <= 0.5


def test_names_are_distinct_meaningless_words() -> None:
    names = list(world.names().values())
    assert len(set(names)) == 300
    plain_words = {*world.SHAPES, *world.COLOURS, *world.TEXTURES}
    assert all(name.isalpha() and name.islower() and name not in plain_words for name in names)


@pytest.mark.parametrize("form", range(world.forms()))
def test_every_sentence_states_shape_colour_and_texture(form: int) -> None:
    sentences = [world.describe(n, form) for n in range(600)]
    assert len(set(sentences)) == 600
    for n in (0, 137, 599):
        shape, colour, _ = world.attributes(n)
        assert world.SHAPES[shape] in sentences[n] and world.COLOURS[colour] in sentences[n]


def test_descriptions_by_hand() -> None:
    arrow = world.combination(8, 1, 2)
    assert world.describe(arrow, 0) == "an orange dotted arrow"
    assert world.describe(arrow, 2) == "an orange arrow with dots"
    assert world.describe(arrow, 3) == "an arrow that is orange and dotted"


def test_descriptions_never_contain_the_name_and_vary_in_form() -> None:
    for n, name in world.names().items():
        assert name not in world.description(n)
    assert len({world.description(n).replace("an ", "a ").split()[1] for n in range(600)}) > 15
    assert sum("with" in world.description(n) for n in range(600)) > 60


def test_captions_contain_the_requested_texts() -> None:
    number = int(world.covered()[0])
    name, (shape, colour, _) = world.names()[number], world.attributes(number)
    for i in range(50):
        source = Source("captions", i)
        assert name in captions.caption(source, [(number, captions.NAME)])
        assert world.SHAPES[shape] not in captions.caption(source, [(number, captions.NAME)])
        both = captions.caption(source, [(number, captions.BOTH)])
        assert name in both and world.SHAPES[shape] in both and world.COLOURS[colour] in both
        described = captions.caption(source, [(number, captions.DESCRIPTION)])
        assert name not in described and world.SHAPES[shape] in described


def test_some_captions_drop_attributes_and_some_add_words() -> None:
    number = world.combination(4, 0, 1)
    vague = [captions.caption(Source("v", i), [(number, captions.VAGUE)]) for i in range(100)]
    assert any("star" in text for text in vague) and not all("star" in text for text in vague)
    full = [captions.caption(Source("f", i), [(number, captions.DESCRIPTION)]) for i in range(200)]
    assert (
        5
        < sum(
            "window" in text
            or "morning" in text
            or "friend" in text
            or "book" in text
            or "box" in text
            or "children" in text
            or "day" in text
            or "story" in text
            for text in full
        )
        < 60
    )
