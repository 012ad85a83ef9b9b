from __future__ import annotations

import numpy as np
import pytest

from benchmarks.protocol import budget, group_of


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        #        19     20        21        99        100       101
        ("lift", "few medium medium medium medium many"),
        ("oltr", "few few medium medium many many"),
        ("lmpt", "few medium medium medium many many"),
    ],
)
def test_groups_at_their_boundaries(rule: str, expected: str) -> None:
    counts = np.array([19, 20, 21, 99, 100, 101])
    assert " ".join(group_of(counts, rule)) == expected


@pytest.mark.parametrize("rule", ["lift", "oltr", "lmpt"])
def test_a_class_without_images_is_few_shot(rule: str) -> None:
    assert group_of(np.array([0]), rule).tolist() == ["few"]


def test_thirds_depend_on_rank_and_not_on_size() -> None:
    counts = np.array([1, 9, 5, 7, 3, 2])
    expected = ["few", "many", "medium", "many", "medium", "few"]
    assert group_of(counts, "thirds").tolist() == expected
    assert group_of(counts * 1000, "thirds").tolist() == expected


@pytest.mark.parametrize(
    ("classes", "sizes"), [(1, (1, 0, 0)), (2, (1, 1, 0)), (4, (2, 1, 1)), (100, (34, 33, 33))]
)
def test_thirds_of_numbers_that_are_not_multiples_of_three(
    classes: int, sizes: tuple[int, ...]
) -> None:
    groups = group_of(np.arange(classes, 0, -1), "thirds").tolist()
    assert tuple(groups.count(g) for g in ("many", "medium", "few")) == sizes


def test_thirds_of_equal_counts_follow_the_class_order() -> None:
    assert group_of(np.array([5, 5, 5]), "thirds").tolist() == ["many", "medium", "few"]


def test_thirds_break_ties_by_rank_if_there_is_one() -> None:
    counts, rank = np.array([5, 5, 5, 5, 5, 5]), np.array([5, 4, 3, 2, 1, 0])
    assert list(group_of(counts, "thirds")) == ["many"] * 2 + ["medium"] * 2 + ["few"] * 2
    assert list(group_of(counts, "thirds", rank)) == ["few"] * 2 + ["medium"] * 2 + ["many"] * 2
    counts[0] = 6  # counts take precedence
    assert group_of(counts, "thirds", rank)[0] == "many"


def test_the_equal_protocol_sets_the_fields_that_a_method_has() -> None:
    assert budget("equal", {"epochs", "lr"}) == {"epochs": 5}
    everything = {"epochs", "batch_size", "augment"}
    assert budget("equal", everything) == {"epochs": 5, "batch_size": 32, "augment": "none"}
    assert budget("paper", everything) == {}
