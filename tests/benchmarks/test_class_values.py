"""Summaries of class values and F1 against SciPy, scikit-learn and a plain loop."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import f1_score

from benchmarks.class_values import f1_of_predictions, geometric_mean, harmonic_mean, worst_mean
from benchmarks.metrics import completed, multi_label_metrics, single_label_metrics

VALUES = np.array([80.0, 12.5, 100.0, 40.0, 3.0])


def test_means_are_those_of_scipy() -> None:
    assert harmonic_mean(VALUES) == pytest.approx(stats.hmean(VALUES))
    assert geometric_mean(VALUES) == pytest.approx(stats.gmean(VALUES))


def test_a_class_without_a_hit_makes_the_geometric_mean_zero() -> None:
    values = np.append(VALUES, 0.0)
    assert geometric_mean(values) == 0.0
    # LIFT's evaluator counts it as 0.001 %.
    expected = 100.0 / np.mean([1.0 / (max(value, 0.001) / 100.0) for value in values])
    assert harmonic_mean(values) == pytest.approx(expected)
    assert 0.0 < harmonic_mean(values) < 0.0061


def test_a_geometric_mean_of_many_classes_does_not_underflow() -> None:
    values = np.full(8142, 50.0)
    assert np.prod(values / 100) == 0.0  # as a product does
    assert geometric_mean(values) == pytest.approx(50.0)


@pytest.mark.parametrize(("classes", "number"), [(1, 1), (9, 1), (10, 1), (11, 2), (100, 10)])
def test_the_worst_tenth_is_rounded_up(classes: int, number: int) -> None:
    values = np.random.default_rng(classes).permutation(np.arange(classes) ** 2.0)
    assert worst_mean(values) == pytest.approx(np.mean(np.arange(number) ** 2.0))


def test_f1_is_that_of_scikit_learn() -> None:
    """Uneven classes; class 7 has no images and is predicted, class 8 is neither."""
    rng = np.random.default_rng(0)
    labels = rng.choice(7, 400, p=np.arange(7, 0, -1) / 28)
    predicted = np.where(rng.uniform(size=400) < 0.5, labels, rng.integers(0, 8, 400))
    weights = rng.uniform(0.1, 3.0, 400)
    for given in (None, weights):
        expected = f1_score(
            labels, predicted, labels=range(9), average=None, zero_division=0, sample_weight=given
        )
        found = f1_of_predictions(predicted, labels, 9, given)
        assert found == pytest.approx(100 * expected)
    metrics = single_label_metrics(predicted, np.ones(400), labels, np.array(["few"] * 9))
    # LIFT's evaluator takes the classes that occur among the labels.
    expected = f1_score(labels, predicted, average="macro", labels=np.unique(labels))
    assert metrics.macro_f1 == pytest.approx(100 * expected)
    values = np.array([value for value in metrics.per_class if value is not None])
    assert metrics.harmonic == pytest.approx(stats.hmean(values))
    assert metrics.geometric == pytest.approx(stats.gmean(values))
    assert metrics.worst_tenth == metrics.worst_class == values.min()
    assert metrics.auroc is None


def test_records_without_the_new_metrics_are_completed_from_values_by_class() -> None:
    rng = np.random.default_rng(1)
    labels = np.repeat(np.arange(12), 10)
    predicted = np.where(rng.uniform(size=120) < 0.6, labels, 0)
    membership = np.array(["many"] * 12 + ["few"])  # the last class has no test images
    new = single_label_metrics(predicted, np.ones(120), labels, membership)
    old = type(new)(**{**vars(new), "harmonic": None, "geometric": None, "worst_tenth": None,
                       "macro_f1": None})  # fmt: skip
    found = completed(old, "single")
    assert found.harmonic == new.harmonic and found.geometric == new.geometric
    assert found.worst_tenth == new.worst_tenth
    assert found.macro_f1 is None  # needs predictions
    assert (found.overall, found.few) == (new.overall, None)
    assert completed(new, "single") is new
    multi = multi_label_metrics(rng.normal(size=(20, 2)), np.eye(2, dtype=int)[[0, 1] * 10],
                                np.array(["many", "few"]))  # fmt: skip
    assert completed(multi, "multi") is multi
    assert (multi.harmonic, multi.geometric, multi.macro_f1) == (None, None, None)
