from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from benchmarks import randomness

IDS = tuple(f"image {i}.png" for i in range(20_000))
LEVEL = 1e-4
"""Significance level; the draws are fixed, so the result never varies between runs."""


@pytest.fixture(scope="module")
def keys() -> randomness.UInt64:
    return randomness.sample_keys(IDS)


def test_keys_distinguish_types_and_boundaries_of_parts() -> None:
    parts = [
        (0,), (1,), ("0",), ("a",), ("b",), ("a", "b"), ("b", "a"), ("ab",), ("a", 0), ("a", 1),
        (0, "a"), ("", "a"), ("a", ""), (12, 3), (1, 23),
    ]  # fmt: skip
    assert len({randomness.key(*p) for p in parts}) == len(parts)
    assert all(0 <= randomness.key(*p) < 2**63 for p in parts)


def test_a_key_is_the_beginning_of_a_hash() -> None:
    # printf 'str:order\037int:1' | sha256sum
    assert randomness.key("order", 1) == 0x872D2E97CE577306 >> 1


def test_draws_are_those_of_splitmix64() -> None:
    """Records and stored features depend on the bits, so a draw never changes."""

    def splitmix64(state: int) -> int:  # as in Java's SplittableRandom
        z = (state + 0x9E3779B97F4A7C15) % 2**64
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
        return z ^ z >> 31

    assert splitmix64(0) == 0xE220A8397B1DCDAF  # the published first number of seed 0
    for number in (0, 1, 2**63 + 5):
        mixed = splitmix64(splitmix64(number ^ randomness.key("x", 1)))
        drawn = randomness.uniform(np.array([number], dtype=np.uint64), "x", 1)
        assert drawn.tolist() == [(mixed >> 11) / 2**53]


def test_sample_keys_depend_on_the_ids_alone(keys: randomness.UInt64) -> None:
    assert len(np.unique(keys)) == len(IDS)
    some = [7, 3, 11]
    np.testing.assert_array_equal(randomness.sample_keys(tuple(IDS[i] for i in some)), keys[some])


@pytest.mark.parametrize("stream", [("order", 0), (0, "order", 1), ("augment", "flip", 3, 2)])
def test_draws_are_uniform(keys: randomness.UInt64, stream: tuple[str | int, ...]) -> None:
    draws = randomness.uniform(keys, *stream)
    assert draws.min() >= 0
    assert draws.max() < 1
    assert stats.kstest(draws, "uniform").pvalue > LEVEL


def test_draws_are_uniform_even_for_similar_keys() -> None:
    draws = randomness.uniform(np.arange(20_000, dtype=np.uint64), "x")
    assert stats.kstest(draws, "uniform").pvalue > LEVEL
    # Neighbours are independent too.
    assert stats.pearsonr(draws[:-1], draws[1:]).pvalue > LEVEL


def test_a_draw_depends_on_its_own_key_alone(keys: randomness.UInt64) -> None:
    draws = randomness.uniform(keys, "x", 1)
    some = np.random.default_rng(0).permutation(len(keys))[:500]
    np.testing.assert_array_equal(randomness.uniform(keys[some], "x", 1), draws[some])


def test_streams_are_independent(keys: randomness.UInt64) -> None:
    streams = [("x", 0), ("x", 1), ("y", 0), (0, "x"), ("x",), ("x", 0, 0)]
    draws = [randomness.uniform(keys, *s) for s in streams]
    for i in range(len(draws)):
        for j in range(i):
            assert stats.pearsonr(draws[i], draws[j]).pvalue > LEVEL, (streams[i], streams[j])


def test_an_order_is_a_permutation(keys: randomness.UInt64) -> None:
    order = randomness.shuffled(keys, 0, "order", 0)
    np.testing.assert_array_equal(np.sort(order), np.arange(len(keys)))
    assert not np.array_equal(order, randomness.shuffled(keys, 0, "order", 1))
    # No sample prefers a position.
    assert stats.spearmanr(order, np.arange(len(keys))).pvalue > LEVEL


def test_the_order_of_two_samples_does_not_depend_on_the_others(keys: randomness.UInt64) -> None:
    order = randomness.shuffled(keys, "order")
    some = np.array([5, 900, 17, 4, 10_000])
    part = some[randomness.shuffled(keys[some], "order")]
    np.testing.assert_array_equal(part, [i for i in order if i in some])


def test_numbers_of_a_class_depend_on_its_name_alone() -> None:
    names = ("cat", "dog", "a cat")
    draws = randomness.normal_per_class(names, (2, 3), 0, "head")
    assert draws.shape == (3, 2, 3)
    assert len({tuple(d.flatten().tolist()) for d in draws}) == 3
    for order in ([2, 0, 1], [1]):
        permuted = randomness.normal_per_class(tuple(names[i] for i in order), (2, 3), 0, "head")
        assert torch.equal(permuted, draws[order])
    assert not torch.equal(draws, randomness.normal_per_class(names, (2, 3), 1, "head"))


def test_numbers_of_classes_are_standard_normal() -> None:
    names = tuple(f"class {i}" for i in range(200))
    draws = randomness.normal_per_class(names, (50,), 0, "head").numpy()
    assert stats.kstest(draws.ravel(), "norm").pvalue > LEVEL
    # Also across classes: generators seeded by similar names are independent.
    assert stats.kstest(draws[:, 0], "norm").pvalue > LEVEL


def test_drawing_leaves_the_global_generators_alone(keys: randomness.UInt64) -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    randomness.normal_per_class(("a", "b"), (4,), 0)
    randomness.generator("x").seed()
    randomness.shuffled(keys, "order")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("device", [None, torch.device("cpu")], ids=str)
def test_a_seeded_block_draws_the_same_and_restores_the_state(device: torch.device | None) -> None:
    torch.manual_seed(0)
    following = torch.rand(3)
    draws = []
    for before in (0, 1):
        torch.manual_seed(before)
        with randomness.seeded("init", 2, device=device):
            draws.append(torch.rand(3))
    torch.manual_seed(0)
    with randomness.seeded("init", 3, device=device):
        draws.append(torch.rand(3))
    assert torch.equal(torch.rand(3), following)
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[1], draws[2])
