"""Metrics against values computed by hand, scikit-learn and a plain loop."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score, recall_score

from benchmarks.average_precision import average_precisions
from benchmarks.calibration_error import expected_calibration_error
from benchmarks.metrics import (
    METRICS,
    Metrics,
    Outcome,
    lowest_class,
    metrics_of,
    multi_label_metrics,
    single_label_metrics,
    single_label_outcome,
    title_of,
)
from benchmarks.metrics import (
    metric as declare,
)
from tests.benchmarks.oracles import sklearn_precisions

INF = float("inf")


def top(probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The most likely classes and their probabilities."""
    return probabilities.argmax(1), probabilities.max(1)


def sample(n: int, classes: int, seed: int, decimals: int = 9) -> tuple[np.ndarray, np.ndarray]:
    """Scores and labels that have to do with each other."""
    rng = np.random.default_rng(seed)
    labels = (rng.uniform(size=(n, classes)) < rng.uniform(0.02, 0.6, classes)).astype(np.int64)
    return np.round(rng.normal(size=(n, classes)) + labels, decimals), labels


# ---- single-label --------------------------------------------------------------------------------


def test_accuracies_by_hand() -> None:
    # Class 0: 3 of 4 right, class 1: 1 of 2, class 2: 0 of 1; class 3 has no test image.
    labels = np.array([0, 0, 0, 0, 1, 1, 2])
    predicted = np.array([0, 0, 0, 1, 1, 0, 0])
    membership = np.array(["many", "many", "medium", "few"])
    metrics = single_label_metrics(predicted, np.ones(7), labels, membership)
    assert metrics.per_class == (75.0, 50.0, 0.0, None)
    assert metrics.overall == pytest.approx(100 * 4 / 7)
    assert (metrics.many, metrics.medium, metrics.few) == (62.5, 0.0, None)
    assert metrics.balanced == pytest.approx(125 / 3)
    assert metrics.worst_class == 0.0
    assert metrics.ece == pytest.approx(100 * 3 / 7)  # certain of all seven, three of them wrong


def test_accuracies_are_those_of_scikit_learn() -> None:
    """300 images of 10 classes of uneven size, one of which has none."""
    rng = np.random.default_rng(0)
    labels = rng.choice(9, 300, p=np.arange(9, 0, -1) / 45)
    logits = rng.normal(size=(300, 10))
    logits[np.arange(300), labels] += 1.0
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    membership = np.array(["many"] * 3 + ["medium"] * 4 + ["few"] * 3)
    metrics = single_label_metrics(*top(probabilities), labels, membership)
    predicted = probabilities.argmax(1)
    assert metrics.overall == pytest.approx(100 * accuracy_score(labels, predicted))
    recall = 100 * recall_score(labels, predicted, labels=range(9), average=None, zero_division=0)
    assert metrics.per_class[:9] == pytest.approx(recall)
    assert metrics.per_class[9] is None  # a class without test images has no accuracy
    assert metrics.balanced == pytest.approx(recall.mean())
    assert metrics.worst_class == pytest.approx(recall.min())
    assert metrics.many == pytest.approx(recall[:3].mean())
    assert metrics.medium == pytest.approx(recall[3:7].mean())
    assert metrics.few == pytest.approx(recall[7:9].mean())
    assert metrics.overall != pytest.approx(
        metrics.balanced
    )  # otherwise the data could not tell them apart


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
    metrics = single_label_metrics(none, none.astype(float), none, np.array(["many", "few"]))
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


def test_without_confidences_there_is_no_calibration_error() -> None:
    outcome = Outcome(np.array([50.0]), np.array([2]), np.array(["few"]), np.array([True, False]))
    assert METRICS["ece"].function(outcome) is None


def test_a_confidence_on_a_boundary_belongs_to_the_bin_below() -> None:
    confidence = np.array([0.5, 0.75])
    right = np.array([True, False])
    # In one bin the two would cancel in part: |1.25 - 1| = 0.25 of 2.
    assert expected_calibration_error(confidence, right, bins=2) == pytest.approx(100 * 1.25 / 2)
    assert expected_calibration_error(confidence, right, bins=1) == pytest.approx(100 * 0.25 / 2)


def test_a_confidence_rounded_above_one_belongs_to_the_last_bin() -> None:
    # In one bin the gaps 1 and -0.05 cancel in part.
    error = expected_calibration_error(np.array([1 + 1e-7, 0.95]), np.array([False, True]))
    assert error == pytest.approx(100 * (1 - 0.05) / 2, rel=1e-6)


def test_certainty_that_is_right_is_calibrated() -> None:
    assert expected_calibration_error(np.ones(7), np.ones(7, dtype=bool)) == 0.0
    assert expected_calibration_error(np.ones(7), np.zeros(7, dtype=bool)) == 100.0
    assert expected_calibration_error(np.zeros(2), np.zeros(2, dtype=bool)) == 0.0


def test_calibration_error_against_a_plain_loop() -> None:
    rng = np.random.default_rng(2)
    confidence = rng.uniform(0.1, 1, 1000)
    # Over- and underconfident in turn, so that the error depends on the bins.
    right = rng.uniform(size=1000) < 0.5 + 0.5 * np.sin(20 * confidence)
    total = 0.0
    for i in range(15):
        inside = (confidence > i / 15) & (confidence <= (i + 1) / 15)
        if inside.any():
            total += inside.mean() * abs(confidence[inside].mean() - right[inside].mean())
    assert expected_calibration_error(confidence, right) == pytest.approx(100 * total)


# ---- average precision ---------------------------------------------------------------------------


def test_average_precision_by_hand() -> None:
    scores = np.array([[0.9], [0.8], [0.8], [0.1]])
    # Precision 1 at recall 1/2; the tie adds nothing (2/3, but only one of its two is a positive).
    labels = np.array([[1], [1], [0], [0]])
    assert average_precisions(scores, labels).tolist() == pytest.approx([0.5 * 1 + 0.5 * 2 / 3])
    # The last of four: precision 1/4 at recall 1.
    assert average_precisions(scores, labels[::-1] * [[0], [0], [0], [1]]).tolist() == [0.25]


# Without ties, with some, with hardly anything else.
@pytest.mark.parametrize("decimals", [9, 1, 0])
@pytest.mark.parametrize("seed", range(5))
def test_average_precision_is_that_of_scikit_learn(seed: int, decimals: int) -> None:
    scores, labels = sample(200, 7, seed, decimals)
    assert (labels.sum(1) == 0).any()  # images without any label count as negatives
    expected = sklearn_precisions(scores, labels)
    assert average_precisions(scores, labels) == pytest.approx(expected, abs=1e-12)
    single = scores.astype(np.float32)
    expected = sklearn_precisions(single, labels)
    assert average_precisions(single, labels) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("value", [0.0, INF, -INF])
@pytest.mark.parametrize("n", [1, 2, 30])
def test_equal_scores_give_the_share_of_positives(n: int, value: float) -> None:
    labels = (np.arange(n)[:, None] % 3 == 0).astype(np.int64)
    assert average_precisions(np.full((n, 1), value), labels) == pytest.approx([labels.mean()])


@given(
    st.lists(
        st.tuples(st.sampled_from([-INF, -1.0, 0.0, 2.0, INF]), st.integers(0, 1)), min_size=1
    ).filter(lambda pairs: any(label for _, label in pairs))
)
def test_an_infinite_score_is_the_highest_or_lowest_of_all(pairs: list[tuple[float, int]]) -> None:
    scores, labels = (np.array(column)[:, None] for column in zip(*pairs, strict=True))
    finite = np.clip(scores, -9.0, 9.0)  # scikit-learn refuses infinities
    expected = sklearn_precisions(finite, labels)
    assert average_precisions(scores, labels) == pytest.approx(expected, abs=1e-12)


def test_only_the_order_within_a_class_counts() -> None:
    scores, labels = sample(100, 5, 0)
    expected = average_precisions(scores, labels)
    assert average_precisions(np.exp(3 * scores + np.arange(5)), labels) == pytest.approx(expected)
    order = np.random.default_rng(1).permutation(100)
    assert average_precisions(scores[order], labels[order]) == pytest.approx(expected)
    classes = np.random.default_rng(2).permutation(5)
    moved = average_precisions(scores[:, classes], labels[:, classes])
    assert moved.tolist() == expected[classes].tolist()
    assert average_precisions(labels - 0.5, labels).tolist() == [1.0] * 5


def test_means_are_over_the_classes_that_are_tested() -> None:
    scores, labels = sample(120, 6, 3)
    labels[:, 1] = 0
    membership = np.array(["many", "many", "many", "medium", "medium", "few"])
    labels[:, 5] = 0
    metrics = multi_label_metrics(scores, labels, membership)
    tested = [0, 2, 3, 4]
    expected = 100 * sklearn_precisions(scores[:, tested], labels[:, tested])
    assert metrics.overall == pytest.approx(expected.mean())
    assert metrics.many == pytest.approx(expected[:2].mean())
    assert metrics.medium == pytest.approx(expected[2:].mean())
    assert metrics.few is None
    assert metrics.worst_class == pytest.approx(expected.min())
    assert (metrics.balanced, metrics.ece) == (None, None)
    missing = [value is None for value in metrics.per_class]
    assert missing == [False, True, False, False, False, True]


def test_a_multi_label_test_set_without_any_label() -> None:
    metrics = multi_label_metrics(
        np.zeros((3, 2)), np.zeros((3, 2), dtype=np.int64), np.array(["many", "few"])
    )
    assert (metrics.overall, metrics.many, metrics.few, metrics.worst_class) == (None,) * 4
    assert metrics.per_class == (None, None)


# ---- declarations --------------------------------------------------------------------------------


def test_every_value_of_a_record_is_declared() -> None:
    fields = {field.name for field in dataclasses.fields(Metrics)}
    assert fields == {*METRICS, "per_class"}
    tree = ["mistakes", "mistakes_many", "mistakes_medium", "mistakes_few"]
    lower = [key for key, metric in METRICS.items() if not metric.higher_is_better]
    assert lower == ["ece", *tree]


def test_a_metric_is_printed_compared_and_drawn_only_if_it_says_so() -> None:
    printed = ["overall", "many", "medium", "few", "balanced"]
    assert [metric.key for metric in METRICS.values() if metric.printed] == printed
    assert [metric.key for metric in METRICS.values() if metric.compared] == printed
    assert [metric.key for metric in METRICS.values() if metric.drawn] == printed[:4]


def test_a_record_must_have_the_metrics_that_all_records_have() -> None:
    required = {f.name for f in dataclasses.fields(Metrics) if f.default is dataclasses.MISSING}
    groups = {"many", "medium", "few"}
    assert required >= {"overall", *groups, "balanced", "worst_class", "ece", "per_class"}


def test_each_kind_of_data_has_its_metrics_and_titles() -> None:
    multi = [metric.key for metric in metrics_of("multi")]
    both = ["worst_class", "worst_tenth"]
    assert multi == ["overall", "many", "medium", "few", *both, "macro_f1", "auroc"]
    tree = ["mistakes", *(f"mistakes_{name}" for name in multi[1:4])]
    single = [*multi[:4], "balanced", *both, "harmonic", "geometric", "macro_f1", "ece", *tree]
    assert [metric.key for metric in metrics_of("single")] == single
    assert title_of("overall", "multi") == "mAP"
    assert title_of("overall", "single") == "overall"
    assert title_of("worst_class", "single") == "worst class"


def test_a_title_names_any_unit_but_percent() -> None:
    seconds = dataclasses.replace(METRICS["overall"], title="delay", unit="s")
    assert seconds.title_for("single") == "delay [s]"
    assert METRICS["overall"].title_for("single") == "overall"


@pytest.fixture(params=["single", "multi"])
def outcome(request: pytest.FixtureRequest) -> Outcome:
    """Seven classes, one without test images."""
    rng = np.random.default_rng(4)
    images = np.array([40, 30, 20, 10, 5, 2, 0])
    labels = np.repeat(np.arange(7), images)
    right = rng.uniform(size=len(labels)) < np.linspace(0.9, 0.3, 7)[labels]
    values = np.full(7, np.nan)
    for c in range(6):
        values[c] = 100 * right[labels == c].mean()
    membership = np.array(["many", "many", "many", "medium", "few", "few", "few"])
    return Outcome(values, images, membership, right if request.param == "single" else None)


def test_weights_are_those_of_the_means(outcome: Outcome) -> None:
    weighted = [metric for metric in METRICS.values() if metric.weights is not None]
    assert [metric.key for metric in weighted] == ["overall", "many", "medium", "few", "balanced"]
    for metric in weighted:
        slopes = metric.slopes(outcome)
        assert slopes.sum() == pytest.approx(1.0)
        assert slopes @ np.nan_to_num(outcome.values) == pytest.approx(metric.function(outcome))


def test_without_weights_slopes_are_derivatives(outcome: Outcome) -> None:
    def geometric_mean(outcome: Outcome) -> float:
        return float(np.exp(np.log(outcome.values[outcome.tested()]).mean()))

    metric = dataclasses.replace(METRICS["balanced"], function=geometric_mean, weights=None)
    expected = geometric_mean(outcome) / 6 / outcome.values
    assert metric.slopes(outcome)[:6] == pytest.approx(expected[:6], rel=1e-6)
    assert metric.slopes(outcome)[6] == 0.0  # not tested
    plain = dataclasses.replace(METRICS["balanced"], weights=None)
    assert plain.slopes(outcome) == pytest.approx(METRICS["balanced"].slopes(outcome), rel=1e-9)


def test_slopes_at_the_ends_of_the_scale_are_one_sided() -> None:
    ends = Outcome(np.array([0.0, 100.0, 50.0]), np.array([3, 3, 4]), np.array(["few"] * 3))
    metric = dataclasses.replace(METRICS["balanced"], weights=None)
    assert metric.slopes(ends) == pytest.approx([1 / 3] * 3)

    def undefined_outside(outcome: Outcome) -> float:
        values = outcome.values
        return float(np.sqrt(values).sum() + np.sqrt(100.0 - values).sum())

    metric = dataclasses.replace(metric, function=undefined_outside)
    assert np.isfinite(metric.slopes(ends)).all()


def test_the_weights_of_a_single_image() -> None:
    outcome = Outcome(np.array([100.0]), np.array([1]), np.array(["few"]), np.array([True]))
    assert METRICS["overall"].slopes(outcome).tolist() == [1.0]
    assert METRICS["few"].slopes(outcome).tolist() == [1.0]
    assert METRICS["many"].slopes(outcome).tolist() == [0.0]


def test_slopes_of_a_metric_that_falls_are_negative(outcome: Outcome) -> None:
    error = dataclasses.replace(
        METRICS["balanced"], function=lambda o: 100 - np.nanmean(o.values), weights=None
    )
    assert error.slopes(outcome) == pytest.approx([-1 / 6] * 6 + [0.0])


def test_without_test_images_no_class_has_weight() -> None:
    none = np.zeros(0, dtype=np.int64)
    outcome = single_label_outcome(none.astype(bool), none, np.array(["many", "few"]))
    assert METRICS["overall"].slopes(outcome).tolist() == [0.0, 0.0]


def test_a_metric_is_optional_and_in_no_output_unless_declared_so() -> None:
    field = declare(lowest_class)
    assert field.default is None  # older records do not have it
    declared = field.metadata["metric"]
    assert not (declared.printed or declared.compared or declared.drawn)
