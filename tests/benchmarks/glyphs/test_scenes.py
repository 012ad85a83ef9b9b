"""Scenes from the urn have the requested counts; their captions describe them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.glyphs import captions, load_tokenizer, scenes, world
from benchmarks.glyphs.counts import tail_counts
from benchmarks.glyphs.stream import Source

TAIL = tail_counts(60, 500, 100.0, "exp", 0.5, "free")
NOBODY = np.full(60, -1)


def compose(
    counts: NDArray[np.int64] = TAIL,
    partners: NDArray[np.int64] = NOBODY,
    cooccurrence: float = 0.0,
    seed: int = 0,
) -> NDArray[np.int64]:
    return scenes.compose(Source("test", seed), np.asarray(counts), partners, cooccurrence)


def labels(there: NDArray[np.int64], classes: int = 60) -> NDArray[np.int64]:
    found = np.zeros((len(there), classes + 1), dtype=int)
    np.put_along_axis(found, there, 1, axis=1)
    return found[:, :-1]


@pytest.mark.parametrize("counts", [TAIL, np.full(60, 40), np.array([5, 0, 1]), np.array([3])])
def test_counts_are_exact_and_no_scene_repeats_a_class(counts: NDArray[np.int64]) -> None:
    there = compose(counts, np.full(len(counts), -1))
    assert np.bincount(there[there >= 0], minlength=len(counts)).tolist() == list(counts)
    assert labels(there, len(counts)).sum() == counts.sum()
    sizes = (there >= 0).sum(1)
    assert sizes.min() >= 1
    assert all((row[:size] >= 0).all() for row, size in zip(there, sizes, strict=True))


def test_sizes_follow_the_declared_shares() -> None:
    sizes = np.bincount((compose() >= 0).sum(1), minlength=5)[1:]
    expected = np.array(scenes.SIZES) / sum(scenes.SIZES)
    assert sizes / sizes.sum() == pytest.approx(expected, abs=0.03)
    assert TAIL.sum() / sizes.sum() == pytest.approx(scenes.MEAN_SIZE, rel=0.03)


def test_companions_are_as_frequent_as_their_counts() -> None:
    many = 8 * TAIL
    present = labels(compose(many))
    together = present.T @ present
    for c in (0, 20, 40):  # each other class's share of the companions
        others = np.arange(60) != c
        seen = together[c][others] / together[c][others].sum()
        expected = many[others] / many[others].sum()
        assert np.abs(seen - expected).max() < 4 * np.sqrt(0.08 / together[c][others].sum())


def test_cooccurrence_adds_the_partner() -> None:
    partners = np.where(np.arange(60) < 20, -1, np.arange(60) % 20)
    shares = []
    for often in (0.0, 0.5, 1.0):
        there = compose(partners=partners, cooccurrence=often)
        assert np.bincount(there[there >= 0]).tolist() == TAIL.tolist()
        present = labels(there)
        rows = [present[present[:, c] == 1][:, partners[c]].mean() for c in range(20, 60)]
        shares.append(np.mean(rows))
    assert shares[0] < 0.15
    assert shares[0] + 0.1 < shares[1] < shares[2] - 0.1


def test_a_scene_depends_on_its_source_alone() -> None:
    assert (compose(seed=1) == compose(seed=1)).all()
    assert compose(seed=1).tolist() != compose(seed=2).tolist()


# ---- captions ------------------------------------------------------------------------------------

NUMBERS = [int(n) for n in (*world.covered()[:6], *world.hardly_trained()[:6])]


def caption(numbers: Sequence[int], noise: float, seed: int | str) -> str:
    return captions.of_scene(Source("caption", seed), numbers, noise)


def says(text: str, number: int) -> bool:
    """True if a caption contains the name or a description of a combination."""
    sentences = (world.describe(number, form) for form in range(world.forms()))
    return world.names()[number] in text or any(sentence in text for sentence in sentences)


def scenes_of(size: int, count: int = 60) -> Iterator[tuple[int, list[int]]]:
    for seed in range(count):
        start = seed % (len(NUMBERS) - size + 1)
        yield seed, NUMBERS[start : start + size]


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_a_caption_without_noise_names_every_glyph(size: int) -> None:
    for seed, numbers in scenes_of(size):
        text = caption(numbers, 0.0, seed)
        assert all(says(text, number) for number in numbers)
        assert not any(chatter in text for chatter in captions._CHATTER)


@pytest.mark.parametrize("noise", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("size", [1, 4])
def test_every_caption_is_in_vocabulary_and_fits_the_text_tower(size: int, noise: float) -> None:
    tokenizer = load_tokenizer()
    texts = [caption(numbers, noise, seed) for seed, numbers in scenes_of(size)]
    assert all(tokenizer.knows(text) for text in texts)
    assert max(len(tokenizer.encode(text)) + 2 for text in texts) <= tokenizer.context_length


def test_noise_omits_glyphs_drops_attributes_and_adds_words() -> None:
    noisy = [(numbers, caption(numbers, 1.0, seed)) for seed, numbers in scenes_of(3)]
    assert all(any(chatter in text for chatter in captions._CHATTER) for _, text in noisy)
    # Two of the three remain, both vague: no description and no full name.
    assert all(not says(text, n) for numbers, text in noisy for n in numbers)
    assert all(text.count(" and ") >= 1 and ", " not in text for _, text in noisy)


def test_noise_has_the_set_frequency() -> None:
    told = [
        sum(says(caption([number], 0.25, f"{number}/{seed}"), number) for number in NUMBERS)
        for seed in range(60)
    ]
    assert np.mean(told) / len(NUMBERS) == pytest.approx(0.75, abs=0.06)


def test_less_noise_changes_nothing_else() -> None:
    pairs = [
        (caption(numbers, 0.0, seed), caption(numbers, 0.05, seed))
        for seed, numbers in scenes_of(1)
    ]
    same = np.mean([a == b for a, b in pairs])
    assert 0.7 < same < 1


def test_captions_use_names_descriptions_and_both() -> None:
    number = NUMBERS[0]
    name = world.names()[number]
    texts = [caption([number], 0.0, seed) for seed in range(60)]
    named = [name in text for text in texts]
    described = [
        any(world.describe(number, form) in text for form in range(world.forms())) for text in texts
    ]
    for share in (named, described, np.logical_and(named, described)):
        assert 0.15 < np.mean(share) < 0.85
