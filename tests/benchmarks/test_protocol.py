from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, recall_score

from benchmarks.metrics import expected_calibration_error, single_label_metrics
from benchmarks.protocol import group_of


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


def test_thirds_go_by_rank_and_not_by_size() -> None:
    counts = np.array([1, 9, 5, 7, 3, 2])
    expected = ["few", "many", "medium", "many", "medium", "few"]
    assert group_of(counts, "thirds").tolist() == expected
    assert group_of(counts * 1000, "thirds").tolist() == expected


@pytest.mark.parametrize(
    ("classes", "sizes"), [(1, (1, 0, 0)), (2, (1, 1, 0)), (4, (2, 1, 1)), (100, (34, 33, 33))]
)
def test_thirds_of_numbers_that_three_does_not_divide(classes: int, sizes: tuple[int, ...]) -> None:
    groups = group_of(np.arange(classes, 0, -1), "thirds").tolist()
    assert tuple(groups.count(g) for g in ("many", "medium", "few")) == sizes


def test_thirds_of_classes_of_one_size_keep_the_class_order() -> None:
    assert group_of(np.array([5, 5, 5]), "thirds").tolist() == ["many", "medium", "few"]


@pytest.fixture
def predictions() -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and labels of 300 images of 10 classes of uneven size, one of none."""
    rng = np.random.default_rng(0)
    labels = rng.choice(9, 300, p=np.arange(9, 0, -1) / 45)
    logits = rng.normal(size=(300, 10))
    logits[np.arange(300), labels] += 1.0
    scores = np.exp(logits)
    return scores / scores.sum(1, keepdims=True), labels


def top(probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The likeliest classes and their probabilities."""
    return probabilities.argmax(1), probabilities.max(1)


def test_accuracies_are_those_of_scikit_learn(predictions: tuple[np.ndarray, np.ndarray]) -> None:
    probabilities, labels = predictions
    membership = np.array(["many"] * 3 + ["medium"] * 4 + ["few"] * 3)
    metrics = single_label_metrics(*top(probabilities), labels, membership)
    predicted = probabilities.argmax(1)
    assert metrics.overall == pytest.approx(100 * accuracy_score(labels, predicted))
    recall = 100 * recall_score(labels, predicted, labels=range(9), average=None, zero_division=0)
    assert metrics.per_class[:9] == pytest.approx(recall)
    assert metrics.per_class[9] is None  # a class nobody tests has no accuracy
    assert metrics.balanced == pytest.approx(recall.mean())
    assert metrics.worst_class == pytest.approx(recall.min())
    assert metrics.many == pytest.approx(recall[:3].mean())
    assert metrics.medium == pytest.approx(recall[3:7].mean())
    assert metrics.few == pytest.approx(recall[7:9].mean())
    assert metrics.overall != pytest.approx(metrics.balanced)  # or the data told nothing


def test_balanced_accuracy_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    labels = np.repeat(np.arange(4), [40, 20, 5, 1])
    probabilities = rng.dirichlet(np.ones(4), len(labels))
    metrics = single_label_metrics(*top(probabilities), labels, np.array(["few"] * 4))
    expected = 100 * balanced_accuracy_score(labels, probabilities.argmax(1))
    assert metrics.balanced == pytest.approx(expected)
    assert metrics.few == pytest.approx(expected)


def test_an_empty_group_is_none_and_not_zero() -> None:
    probabilities, labels = np.eye(3)[[0, 1]], np.array([0, 1])
    # `medium` has no class, `few` one without test images.
    metrics = single_label_metrics(*top(probabilities), labels, np.array(["many", "many", "few"]))
    assert (metrics.many, metrics.medium, metrics.few) == (100.0, None, None)
    assert metrics.per_class == (100.0, 100.0, None)
    assert metrics.worst_class == 100.0


def test_a_test_set_without_images() -> None:
    none = np.zeros(0, dtype=np.int64)
    metrics = single_label_metrics(none, none, none, np.array(["many", "few"]))
    assert (metrics.overall, metrics.balanced, metrics.worst_class) == (None, None, None)
    assert metrics.ece is None
    assert metrics.per_class == (None, None)


# ---- calibration ---------------------------------------------------------------------------------


def test_calibration_error_by_hand() -> None:
    # Two bins (0, 0.5] and (0.5, 1]: |0.3 + 0.5 - 1| = 0.2 and |0.6 + 0.8 + 1 - 1| = 1.4, of 5.
    confidence = np.array([0.3, 0.5, 0.6, 0.8, 1.0])
    right = np.array([False, True, False, False, True])
    expected = 100 * (0.2 + 1.4) / 5
    assert expected_calibration_error(confidence, right, bins=2) == pytest.approx(expected)


def test_a_confidence_on_a_boundary_belongs_to_the_bin_below() -> None:
    confidence = np.array([0.5, 0.75])
    right = np.array([True, False])
    # In one bin the two would make up for each other in part: |1.25 - 1| = 0.25 of 2.
    assert expected_calibration_error(confidence, right, bins=2) == pytest.approx(100 * 1.25 / 2)
    assert expected_calibration_error(confidence, right, bins=1) == pytest.approx(100 * 0.25 / 2)


def test_certainty_that_is_right_is_calibrated() -> None:
    assert expected_calibration_error(np.ones(7), np.ones(7, dtype=bool)) == 0.0
    assert expected_calibration_error(np.ones(7), np.zeros(7, dtype=bool)) == 100.0
    assert expected_calibration_error(np.zeros(2), np.zeros(2, dtype=bool)) == 0.0


def test_calibration_error_against_a_plain_loop() -> None:
    rng = np.random.default_rng(2)
    confidence = rng.uniform(0.1, 1, 1000)
    right = rng.uniform(size=1000) < confidence**2
    total = 0.0
    for i in range(15):
        inside = (confidence > i / 15) & (confidence <= (i + 1) / 15)
        if inside.any():
            total += inside.mean() * abs(confidence[inside].mean() - right[inside].mean())
    assert expected_calibration_error(confidence, right) == pytest.approx(100 * total)


def test_thirds_settle_ties_by_rank_where_there_is_one():
    counts, rank = np.array([5, 5, 5, 5, 5, 5]), np.array([5, 4, 3, 2, 1, 0])
    assert list(group_of(counts, "thirds")) == ["many"] * 2 + ["medium"] * 2 + ["few"] * 2
    assert list(group_of(counts, "thirds", rank)) == ["few"] * 2 + ["medium"] * 2 + ["many"] * 2
    counts[0] = 6  # counts go first
    assert group_of(counts, "thirds", rank)[0] == "many"
