"""The long-tail draw, compared with the published code."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.datasets import long_tail
from benchmarks.errors import UserError
from benchmarks.protocol import GROUPS, group_of


def published(
    labels: np.ndarray, classes: int, kind: str, factor: float, seed: int
) -> tuple[list[int], list[int]]:
    """Draw as in Cao et al. 2019, with the global generator; return counts and indices."""
    np.random.seed(seed)  # noqa: NPY002
    largest = len(labels) / classes
    if kind == "exp":
        counts = [int(largest * (factor ** (i / (classes - 1.0)))) for i in range(classes)]
    else:
        half = classes // 2
        counts = [int(largest)] * half + [int(largest * factor)] * half
    drawn: list[int] = []
    for label, count in zip(np.unique(labels), counts, strict=True):
        positions = np.where(labels == label)[0]
        np.random.shuffle(positions)  # noqa: NPY002
        drawn.extend(positions[:count])
    return counts, drawn


@pytest.mark.parametrize(
    ("imbalance", "total", "groups"),
    [(100, 10_847, (35, 35, 30)), (50, 12_608, (41, 41, 18)), (10, 19_573, (69, 31, 0))],
)
def test_cifar100_sizes_and_groups(
    imbalance: float, total: int, groups: tuple[int, int, int]
) -> None:
    counts = long_tail.class_counts(500, 100, imbalance)
    assert counts.sum() == total
    membership = group_of(counts, "lift")
    assert tuple((membership == g).sum() for g in GROUPS) == groups


def test_cifar10_has_no_few_shot_class_at_ratio_100() -> None:
    counts = long_tail.class_counts(5000, 10, 100)
    assert (counts[0], counts[-1], counts.sum()) == (5000, 50, 12_406)


@pytest.mark.parametrize("kind", ["exp", "step"])
@pytest.mark.parametrize("imbalance", [100, 50, 10])
@pytest.mark.parametrize("seed", [0, 7])
def test_same_images_as_the_published_code(kind: str, imbalance: float, seed: int) -> None:
    labels = np.random.RandomState(3).permutation(np.repeat(np.arange(100), 500))
    counts, expected = published(labels, 100, kind, 1 / imbalance, seed)
    ours = long_tail.class_counts(500, 100, imbalance, kind)
    drawn, _ = long_tail.draw(labels, ours, seed)
    assert ours.tolist() == counts
    assert drawn.tolist() == expected


def test_the_global_generator_is_not_used() -> None:
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    long_tail.draw(np.repeat(np.arange(4), 10), np.array([10, 5, 2, 1]), seed=1)
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002


def test_spare_images_are_the_ones_not_drawn() -> None:
    labels = np.repeat(np.arange(3), 10)
    drawn, others = long_tail.draw(labels, np.array([10, 9, 2]), seed=0, spare=5)
    assert [len(o) for o in others] == [0, 1, 5]
    assert not set(drawn) & set(np.concatenate(others))
    assert all((labels[o] == i).all() for i, o in enumerate(others))


@given(
    n_max=st.integers(1, 5000),
    classes=st.integers(1, 200),
    imbalance=st.floats(1, 1000),
    profile=st.sampled_from(["exp", "step"]),
    share=st.floats(0.01, 0.99),
)
def test_counts_fall_from_head_to_tail(
    n_max: int, classes: int, imbalance: float, profile: str, share: float
) -> None:
    counts = long_tail.class_counts(n_max, classes, imbalance, profile, share)
    assert len(counts) == classes
    assert (np.diff(counts) <= 0).all()
    assert counts.max() <= n_max
    assert counts.min() >= int(n_max / imbalance) - 1


def test_head_share_sets_the_number_of_large_classes() -> None:
    counts = long_tail.class_counts(500, 100, 100, "step", head_share=0.3)
    assert (counts == 500).sum() == 30
    assert (counts == 5).sum() == 70


@pytest.mark.parametrize(
    "bad",
    [
        {"imbalance": 0.5},
        {"imbalance": float("nan")},
        {"imbalance": float("inf")},
        {"imbalance": 10, "profile": "linear"},
        {"imbalance": 10, "profile": "step", "head_share": 1.0},
    ],
)
def test_invalid_parameters_are_refused(bad: dict[str, float | str]) -> None:
    with pytest.raises(UserError, match=r"imbalance|profile|head_share"):
        long_tail.class_counts(500, 100, **bad)  # type: ignore[arg-type]
