"""Class priors of test distributions against SADE's class sizes and plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from benchmarks.errors import UserError
from benchmarks.metrics import single_label_metrics, under_prior
from benchmarks.priors import class_prior, prior_in, read_prior


@pytest.mark.parametrize("ratio", [2, 10, 50])
def test_priors_are_proportional_to_sizes_of_sade(ratio: int) -> None:
    """Class i of C has n · (1/r)^(i / (C - 1)) test images, backward in reverse (their loader)."""
    counts = np.arange(40, 0, -1)
    sizes = np.array([(1 / ratio) ** (i / 39) for i in range(40)])
    assert class_prior(f"forward{ratio}", counts) == pytest.approx(sizes / sizes.sum())
    assert class_prior(f"backward{ratio}", counts) == pytest.approx(sizes[::-1] / sizes.sum())
    assert class_prior("uniform", counts) == pytest.approx(np.full(40, 1 / 40))


def test_the_order_of_the_classes_does_not_count() -> None:
    counts = np.array([500, 20, 20, 20, 5, 5])
    order = np.array([3, 0, 5, 1, 4, 2])
    for name in ("forward50", "backward10"):
        prior = class_prior(name, counts)
        assert class_prior(name, counts[order]) == pytest.approx(prior[order])
        assert prior[1] == prior[2] == prior[3] and prior[4] == prior[5]
    forward = class_prior("forward32", counts)
    assert forward[0] / forward[4] == pytest.approx(1 / np.mean([32**-0.8, 32**-1.0]))


def test_without_a_ratio_all_classes_are_alike() -> None:
    assert class_prior("forward1", np.array([9, 4, 1])) == pytest.approx(np.full(3, 1 / 3))
    assert class_prior("forward50", np.array([7])).tolist() == [1.0]
    assert prior_in({"imbalance": 100}, (3, 2)) is None
    assert prior_in({"test_prior": "uniform"}, (3, 2)) == pytest.approx([0.5, 0.5])


def test_names() -> None:
    assert read_prior(" Forward-50 ", "x") == "forward50"
    assert read_prior("backward2.50", "x") == "backward2.5"
    assert read_prior("UNIFORM", "x") == "uniform"
    for wrong in ("forward", "forward0.5", "sideways50", "50", "backward1e3", ""):
        with pytest.raises(UserError, match=r"--test-prior: .* is no test distribution"):
            read_prior(wrong, "--test-prior")


def test_metrics_under_a_prior_are_those_of_weighted_images() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(5), [40, 30, 20, 10, 5])
    logits = rng.normal(size=(105, 6))
    logits[np.arange(105), labels] += 1.0
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    predicted, confidence = chances.argmax(1), chances.max(1)
    prior = class_prior("backward20", np.array([300, 200, 100, 30, 10, 3]))
    membership = np.array(["many"] * 2 + ["medium"] * 2 + ["few"] * 2)
    plain = single_label_metrics(predicted, confidence, labels, membership)
    found = single_label_metrics(predicted, confidence, labels, membership, prior)
    # The last class has no test images, so it has no part.
    weights = prior[labels] / np.array([40, 30, 20, 10, 5])[labels]
    expected = accuracy_score(labels, predicted, sample_weight=weights)
    assert found.overall == pytest.approx(100 * expected)
    assert abs(found.overall - plain.overall) > 1  # otherwise the weights could be lost unseen
    expected = f1_score(
        labels, predicted, labels=range(5), average="macro", sample_weight=weights, zero_division=0
    )
    assert found.macro_f1 == pytest.approx(100 * expected)
    gap = 0.0
    for low in np.arange(15) / 15:
        inside = (confidence > low) & (confidence <= low + 1 / 15)
        own = weights[inside] * (confidence[inside] - (predicted == labels)[inside])
        gap += abs(own.sum()) / weights.sum()
    assert found.ece == pytest.approx(100 * gap)
    for name in ("many", "medium", "few", "balanced", "worst_class", "harmonic", "per_class"):
        assert getattr(found, name) == getattr(plain, name)
    # The values by class tell the same overall accuracy.
    told = under_prior(plain, prior)
    assert told.overall == pytest.approx(found.overall)
    assert (told.macro_f1, told.ece, told.few) == (None, None, plain.few)


def test_the_prior_of_the_test_images_changes_nothing() -> None:
    rng = np.random.default_rng(1)
    labels = np.repeat(np.arange(4), [10, 20, 30, 40])
    predicted = np.where(rng.uniform(size=100) < 0.6, labels, 0)
    membership = np.array(["few"] * 4)
    confidence = rng.uniform(0.3, 1.0, 100)
    plain = single_label_metrics(predicted, confidence, labels, membership)
    same = single_label_metrics(
        predicted, confidence, labels, membership, np.array([0.1, 0.2, 0.3, 0.4])
    )
    for name in ("overall", "macro_f1", "ece", "balanced"):
        assert getattr(same, name) == pytest.approx(getattr(plain, name))
