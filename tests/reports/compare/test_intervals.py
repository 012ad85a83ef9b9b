"""Intervals of paired differences, against closed forms, SciPy, scikit-learn and simulation."""

from __future__ import annotations

import dataclasses
from typing import cast

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import average_precision_score

from benchmarks.metrics import METRICS, Metric, Outcome, single_label_metrics
from benchmarks.tools.statistics import coverage as simulation
from benchmarks.tools.statistics.worlds import World
from reports.compare.intervals import Interval, paired_interval, t_quantile
from reports.compare.parts import accuracy_parts, precision_parts


def at_large(number: int) -> np.ndarray:
    """One stratum."""
    return np.zeros(number, dtype=np.int64)


# ---- Student's t -------------------------------------------------------------------------------


@pytest.mark.parametrize("freedom", [1, 1.5, 2, 2.7, 4, 11.3, 60, 999, 1001, 1e5])
@pytest.mark.parametrize("level", [0.5, 0.05, 0.01, 1e-30])
def test_the_quantile_of_t(freedom: float, level: float) -> None:
    assert stats.t.sf(t_quantile(freedom, level), freedom) == pytest.approx(level / 2)


# ---- reductions to what is known -----------------------------------------------------------------


def test_one_run_at_large_is_the_paired_t_test_over_images() -> None:
    rng = np.random.default_rng(0)
    a = rng.integers(0, 2, 40).astype(float)
    b = 1 - a  # differences of ±1: as light-tailed as can be, so all 39 degrees of freedom count
    interval = paired_interval(a[None], b[None], at_large(40))
    expected = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))
    assert interval.difference == pytest.approx(a.mean() - b.mean())
    assert (interval.a, interval.b) == pytest.approx((a.mean(), b.mean()))
    assert interval.se_images == pytest.approx(stats.sem(a - b))
    assert interval.se_runs is None


@pytest.mark.parametrize("runs", [2, 3, 5])
def test_without_variance_between_images_it_is_the_paired_t_test_over_runs(runs: int) -> None:
    rng = np.random.default_rng(runs)
    a, b = rng.normal(60, 2, runs), rng.normal(58, 2, runs)
    interval = paired_interval(*(np.repeat(x[:, None], 30, axis=1) for x in (a, b)), at_large(30))
    expected = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))
    assert interval.se_images == pytest.approx(0, abs=1e-9)
    assert interval.se_runs == pytest.approx(stats.sem(a - b))


def test_strata_have_the_variance_of_a_stratified_sample() -> None:
    rng = np.random.default_rng(1)
    strata = np.repeat(np.arange(4), [50, 20, 9, 2])
    right = rng.random(81) < 0.2 + 0.2 * strata
    parts = accuracy_parts(right, strata, np.array(["many", "many", "few", "few"]))
    weights = {"overall": np.array([50, 20, 9, 2]) / 81, "few": np.array([0, 0, 0.5, 0.5])}
    for name, weight in weights.items():
        interval = paired_interval(parts[name][None], np.zeros((1, 81)), strata)
        own = [np.var(100 * right[strata == c], ddof=1) / (strata == c).sum() for c in range(4)]
        assert interval.se_images == pytest.approx(np.sqrt((weight**2 * own).sum()))


def test_few_images_that_differ_leave_few_degrees_of_freedom() -> None:
    """Four images in a thousand: the fourth moment allows 2 · 4 degrees, and not 999."""
    difference = np.zeros(1000)
    difference[:4] = 100.0
    interval = paired_interval(difference[None], np.zeros((1, 1000)), at_large(1000))
    half = (interval.high - interval.low) / 2
    freedom = 2 * (difference - 0.4).var() ** 2 / ((difference - 0.4) ** 4).mean() * 1000
    assert freedom == pytest.approx(8, abs=0.1)
    assert half == pytest.approx(stats.t.ppf(0.975, freedom) * interval.se_images)


def test_classes_of_one_image_share_a_stratum() -> None:
    rng = np.random.default_rng(2)
    right = rng.random(60) < 0.6
    labels = np.arange(60)
    parts = accuracy_parts(right, labels, np.array(["few"] * 60))["few"]
    alone = paired_interval(parts[None], np.zeros((1, 60)), labels)
    assert alone.se_images == pytest.approx(stats.sem(100.0 * right))
    # A single one has a variance too, though nothing to estimate it by.
    labels = np.array([0] * 10 + [1])
    parts = accuracy_parts(np.array([True] * 11), labels, np.array(["few", "few"]))["few"]
    assert paired_interval(parts[None], np.zeros((1, 11)), labels).se_images >= 50


def half_width(interval: Interval) -> float:
    return (interval.high - interval.low) / 2


@pytest.mark.parametrize("runs", [2, 3, 5])
def test_runs_add_their_variance_without_the_share_that_images_explain(runs: int) -> None:
    """Half-widths add in quadrature: the interval of the mean run, and that of the runs."""
    number = 60
    rng = np.random.default_rng(runs)
    difference = rng.normal(size=(runs, number)) + rng.normal(0, 0.3, (runs, 1))
    zero = np.zeros_like(difference)
    interval = paired_interval(difference, zero, at_large(number))
    images = paired_interval(difference.mean(0)[None], zero[:1], at_large(number))
    between = stats.sem(difference.mean(1)) ** 2
    own = difference - difference.mean(0)
    explained = own.var(axis=1, ddof=1).sum() / number / (runs * (runs - 1))
    left = between - explained * (runs - 2) / (runs - 1)
    assert left > 0 and (left < between or runs == 2)
    expected = half_width(images) ** 2 + stats.t.ppf(0.975, runs - 1) ** 2 * left
    assert half_width(interval) ** 2 == pytest.approx(expected, rel=1e-4)
    assert interval.se_runs == pytest.approx(np.sqrt(between))


def test_far_out_chance_likeness_of_runs_is_not_believed() -> None:
    """With three runs, what images explain is subtracted in the ratio of the quantiles."""
    rng = np.random.default_rng(12)
    difference = rng.normal(size=(3, 60)) + np.array([[0.0], [0.4], [0.8]])
    interval = paired_interval(difference, np.zeros_like(difference), at_large(60))
    own = difference - difference.mean(0)
    explained = own.var(axis=1, ddof=1).sum() / 60 / 6 / 2
    between = stats.sem(difference.mean(1)) ** 2
    for level in (0.2, 0.05, 0.01, 0.001):
        t_images, t = (stats.t.isf(level / 2, f) for f in (interval.images.freedom, 2))
        left = between - explained * min(1.0, stats.t.isf(0.025, 2) / t)
        expected = t_images**2 * interval.images.variance + t**2 * left
        assert interval.half_width(level) ** 2 == pytest.approx(expected)


def test_runs_explain_no_more_than_they_vary() -> None:
    """Totals differ by little, images by much: half of the variance is left with three runs."""
    rng = np.random.default_rng(13)
    difference = rng.normal(0, 5, (3, 60))
    difference += np.array([[0.0], [0.1], [0.2]]) - difference.mean(1, keepdims=True)
    interval = paired_interval(difference, np.zeros_like(difference), at_large(60))
    assert interval.own_variance() == pytest.approx(0.1**2 / 3 / 2)


def test_runs_that_differ_less_than_their_images_explain_add_nothing() -> None:
    """Three runs whose totals are equal by construction, though each image differs."""
    rng = np.random.default_rng(9)
    difference = rng.normal(size=(3, 60))
    difference -= difference.mean(1, keepdims=True)
    zero = np.zeros_like(difference)
    interval = paired_interval(difference, zero, at_large(60))
    images = paired_interval(difference.mean(0)[None], zero[:1], at_large(60))
    assert (interval.low, interval.high) == pytest.approx((images.low, images.high))
    assert interval.se_runs == pytest.approx(0, abs=1e-12)


# ---- p-values -----------------------------------------------------------------------------------


def test_with_one_source_of_variation_p_is_that_of_the_paired_t_test() -> None:
    rng = np.random.default_rng(10)
    a = rng.integers(0, 2, 40).astype(float)
    images = paired_interval(a[None], 1 - a[None], at_large(40))
    runs = rng.normal([[60], [59]], 2, (2, 5))
    between = paired_interval(*(np.repeat(x[:, None], 30, axis=1) for x in runs), at_large(30))
    for interval, x in ((images, 2 * a - 1), (between, runs[0] - runs[1])):
        for at in (0.0, 0.4, -1.0):
            for own, side in (
                (interval.p_value, "two-sided"), (interval.p_greater, "greater"),
                (interval.p_less, "less"),
            ):  # fmt: skip
                assert own(at) == pytest.approx(stats.ttest_1samp(x, at, alternative=side).pvalue)


@pytest.mark.parametrize("seed", range(20))
def test_p_is_the_level_at_which_the_interval_touches_the_value(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shifts = rng.normal(0, 5, (4, 1))
    a, b = (100.0 * (rng.random((4, 60)) < 0.6) + shift for shift in (shifts, 0))
    interval = paired_interval(a, b, rng.integers(0, 5, 60))
    for level in (1e-12, 0.001, 0.05, 0.5, 0.99):
        for end in interval.ends(level):
            assert interval.p_value(end) == pytest.approx(level, rel=1e-9)
    low, high = interval.low, interval.high
    for end, out in ((low, -np.inf), (high, np.inf)):
        beyond = float(np.nextafter(end, out))
        assert interval.p_value(end) >= 0.05 > interval.p_value(beyond)  # to the last bit
    assert interval.p_greater(low) == pytest.approx(0.025)
    assert interval.p_less(high) == pytest.approx(0.025)
    assert interval.p_greater(high) == pytest.approx(0.975)


def test_p_of_what_does_not_vary_and_of_what_is_far_away() -> None:
    same = paired_interval(np.ones((3, 8)), np.ones((3, 8)), at_large(8))
    assert (same.p_value(), same.p_greater(), same.p_less()) == (1.0, 0.5, 0.5)
    assert (same.p_value(1.0), same.p_greater(-1.0), same.p_less(-1.0)) == (0.0, 0.0, 1.0)
    rng = np.random.default_rng(11)
    varied = paired_interval(rng.normal(size=(3, 500)), np.zeros((3, 500)), at_large(500))
    assert 0 < varied.p_value(1e9) < 1e-12
    assert 0 < varied.p_value(1e300) < 1e-80


# ---- pairing -------------------------------------------------------------------------------------


def test_what_both_have_in_common_cancels() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(2, 3, 80))
    strata = rng.integers(0, 5, 80)
    common = rng.normal(scale=50, size=(3, 80))
    plain, noisy = paired_interval(a, b, strata), paired_interval(a + common, b + common, strata)
    assert (noisy.low, noisy.high) == pytest.approx((plain.low, plain.high))
    same = paired_interval(a, a, strata)
    assert (same.low, same.high) == (0.0, 0.0)


def test_runs_are_paired_as_rows() -> None:
    """Seeds that move both alike tell nothing about the difference."""
    rng = np.random.default_rng(4)
    a, b = (np.repeat(rng.normal(size=(1, 80)), 3, axis=0) for _ in range(2))
    seed = np.array([[0.0], [5.0], [11.0]])
    together = paired_interval(a + seed, b + seed, at_large(80))
    crossed = paired_interval(a + seed, b + seed[::-1], at_large(80))
    assert together.se_runs == pytest.approx(0, abs=1e-9)
    assert crossed.se_runs == pytest.approx(stats.sem([-11, 0, 11]))


def test_order_of_images_and_names_of_strata_do_not_matter() -> None:
    rng = np.random.default_rng(5)
    a, b = rng.normal(size=(2, 3, 80))
    strata = rng.integers(0, 5, 80)
    plain = paired_interval(a, b, strata)
    order = rng.permutation(80)
    moved = paired_interval(a[:, order], b[:, order], 7 - strata[order])
    assert (moved.low, moved.high) == pytest.approx((plain.low, plain.high))
    mirrored = paired_interval(b, a, strata)
    assert (mirrored.low, mirrored.high) == pytest.approx((-plain.high, -plain.low))


# ---- parts ---------------------------------------------------------------------------------------


def test_accuracies_are_the_sums_of_their_parts() -> None:
    rng = np.random.default_rng(6)
    labels = rng.choice(7, 200, p=[0.3, 0.25, 0.2, 0.1, 0.1, 0.05, 0])  # the last class: no image
    probabilities = rng.dirichlet(np.ones(7), 200)
    membership = np.array(["many", "many", "medium", "medium", "many", "medium", "few"])
    predicted, confidence = probabilities.argmax(1), probabilities.max(1)
    expected = single_label_metrics(predicted, confidence, labels, membership)
    parts = accuracy_parts(predicted == labels, labels, membership)
    assert parts.keys() == {"overall", "many", "medium", "balanced"}  # no tested class is few
    for name, own in parts.items():
        value = sum(own[labels == c].mean() for c in range(6))
        assert value == pytest.approx(getattr(expected, name))


@pytest.mark.parametrize("seed", range(30))
def test_precision_parts_are_jackknife_values(seed: int) -> None:
    """Compared with scikit-learn on all images but one, with equal scores among them."""
    rng = np.random.default_rng(seed)
    number = int(rng.integers(4, 20))
    scores = rng.integers(-3, 4, number)
    y = (rng.random(number) < 0.4).astype(int)
    y[:2] = 1
    parts = precision_parts(scores[:, None] / 2, y[:, None], np.array(["few"]))["overall"] / 100
    value = average_precision_score(y, scores)
    without = [
        average_precision_score(np.delete(y, i), np.delete(scores, i)) for i in range(number)
    ]
    expected = value + (number - 1) * (np.mean(without) - without)
    np.testing.assert_allclose(parts, expected, atol=1e-12)
    assert parts.mean() == pytest.approx(value)


def test_infinite_scores_that_are_equal_are_ties() -> None:
    scores = np.array([np.inf, np.inf, 1.0, -np.inf, -np.inf, -np.inf])
    y = np.array([1, 0, 1, 0, 1, 0])
    group = np.array(["few"])
    parts, expected = (
        precision_parts(own[:, None], y[:, None], group)["overall"]
        for own in (scores, np.clip(scores, -9, 9))
    )
    assert parts.tolist() == expected.tolist()
    assert parts.mean() == pytest.approx(100 * average_precision_score(y, np.clip(scores, -9, 9)))


def test_precision_is_averaged_over_the_tested_classes_of_a_group() -> None:
    rng = np.random.default_rng(7)
    scores = rng.normal(size=(50, 5)).astype(np.float32)
    labels = (rng.random((50, 5)) < 0.3).astype(np.int64)
    labels[:, 4] = 0
    membership = np.array(["many", "few", "many", "medium", "few"])
    parts = precision_parts(scores, labels, membership)
    value = [100 * average_precision_score(labels[:, c], scores[:, c]) for c in range(4)]
    assert parts.keys() == {"overall", "many", "medium", "few"}
    assert parts["overall"].mean() == pytest.approx(np.mean(value))
    assert parts["many"].mean() == pytest.approx((value[0] + value[2]) / 2)
    assert parts["few"].mean() == pytest.approx(value[1])


@pytest.fixture
def geometric_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    """Declares a metric that is compared and not a weighted mean of the class values."""

    def function(outcome: Outcome) -> float:
        return float(np.exp(np.log(outcome.values[outcome.tested()]).mean()))

    declared = dataclasses.replace(
        METRICS["overall"], key="geometric_mean", function=function, weights=None
    )
    monkeypatch.setitem(cast("dict[str, Metric]", METRICS), "geometric_mean", declared)


def test_any_other_metric_is_compared_by_its_tangent(geometric_mean: None) -> None:
    rng = np.random.default_rng(8)
    sizes = np.array([50, 30, 20, 9, 0])
    labels = np.repeat(np.arange(5), sizes)
    right = rng.random(len(labels)) < 0.7
    parts = accuracy_parts(right, labels, np.array(["many"] * 5))["geometric_mean"]
    interval = paired_interval(parts[None], np.zeros((1, len(labels))), labels)
    share = np.array([right[labels == c].mean() for c in range(4)])
    mean = 100 * stats.gmean(share)
    assert interval.a == pytest.approx(mean)
    # The delta method: d mean / d share = mean / (4 · share).
    variances = share * (1 - share) / (sizes[:4] - 1)
    expected = np.sqrt(((mean / 4 / share) ** 2 * variances).sum())
    assert interval.se_images == pytest.approx(expected, rel=1e-6)


def test_the_tangent_of_average_precisions(geometric_mean: None) -> None:
    rng = np.random.default_rng(9)
    scores = rng.normal(size=(60, 4))
    labels = (rng.random((60, 4)) < 0.3).astype(np.int64)
    labels[:, 3] = 0
    groups = np.array(["many", "few", "medium", "few"])
    parts = precision_parts(scores, labels, groups)
    classes = [parts["many"], precision_parts(scores[:, [1]], labels[:, [1]], groups[[1]])["few"],
               parts["medium"]]  # fmt: skip
    values = np.array([own.mean() for own in classes])
    mean = stats.gmean(values)
    moved = [mean / 3 / v * (own - v) for own, v in zip(classes, values, strict=True)]
    assert parts["geometric_mean"] == pytest.approx(mean + sum(moved), rel=1e-6)


def test_a_class_with_one_positive_image_has_an_interval() -> None:
    parts = precision_parts(np.array([[3.0], [2.0], [1.0]]), np.array([[0], [1], [0]]),
                            np.array(["few"]))["few"]  # fmt: skip
    assert parts.mean() == pytest.approx(50.0)
    assert np.isfinite(parts).all()
    assert paired_interval(parts[None], np.zeros((1, 3)), at_large(3)).se_images > 0


# ---- coverage ------------------------------------------------------------------------------------


def coverage(
    classes: int,
    images: int,
    runs: int,
    *,
    run: float,
    run_class: float,
    noise: float,
    fixed_b: bool = False,
    worlds: int = 300,
) -> float:
    """Simulated coverage of the true difference in balanced accuracy; B may be deterministic."""
    world = World(
        classes, images, runs, gap=0.2, run=run, run_class=run_class, noise=noise,
        fixed=(1,) if fixed_b else (),
    )  # fmt: skip
    return simulation.coverage(simulation.of_pairs(world), worlds, 0).share


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    """Four standard errors of the simulation are 0.05."""
    assert coverage(6, 20, 3, run=0.05, run_class=0.1, noise=0.3) >= 0.91
    assert coverage(6, 20, 3, run=0.3, run_class=0.1, noise=0.3) >= 0.91
    images_alone = coverage(6, 20, 1, run=0, run_class=0, noise=0.3)
    assert 0.90 <= images_alone <= 0.99


SHAKEN = [(0, 0, 0.5), (0, 0, 1.0), (0.02, 0.1, 0.3), (0.05, 0.2, 0.3), (0.15, 0.2, 0.3),
          (0.5, 0.2, 0.3)]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("fixed_b", [False, True])
@pytest.mark.parametrize("runs", [2, 3, 5])
@pytest.mark.parametrize(("classes", "images"), [(30, 50), (5, 20)])
@pytest.mark.parametrize(("run", "run_class", "noise"), SHAKEN)
def test_coverage_from_runs_all_alike_to_runs_all_different(
    classes: int, images: int, runs: int, run: float, run_class: float, noise: float, fixed_b: bool
) -> None:
    """The share of variance between runs goes from a tenth of that between images to a hundred
    times; three standard errors of the simulation are 0.015."""
    held = coverage(
        classes, images, runs, run=run, run_class=run_class, noise=noise, fixed_b=fixed_b,
        worlds=2000,
    )  # fmt: skip
    assert held >= 0.93


def precision_coverage(positives: int, classes: int, *, worlds: int, number: int = 1000) -> float:
    """Simulated coverage of the difference of mean average precision."""
    draw = simulation.of_precisions(positives, classes, number)
    return simulation.coverage(draw, worlds, positives).share


@pytest.mark.slow
@pytest.mark.parametrize(("positives", "classes"), [(10, 1), (30, 1), (5, 10), (10, 10), (30, 10)])
def test_coverage_of_average_precision_down_to_few_positives(positives: int, classes: int) -> None:
    assert precision_coverage(positives, classes, worlds=1000) >= 0.925


def test_coverage_of_average_precision_with_thirty_positives() -> None:
    assert precision_coverage(30, 2, worlds=200, number=300) >= 0.90
