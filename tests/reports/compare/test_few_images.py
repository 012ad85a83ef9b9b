"""Intervals where few images or none turn, and rows near 0 and 100 %."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from reports.compare.intervals import paired_interval, row_interval
from reports.compare.parts import accuracy_parts, part_steps, precision_parts


def balanced(right: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Parts and steps of balanced accuracy."""
    groups = np.array(["few"] * (labels.max() + 1))
    parts = [accuracy_parts(row, labels, groups)["balanced"] for row in np.atleast_2d(right)]
    return np.stack(parts), part_steps(labels, groups)["balanced"]


def test_a_step_is_what_one_image_changes() -> None:
    """Also in classes of unequal size, and none for images of other groups."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2, 3], [30, 9, 2, 1])
    groups = np.array(["many", "many", "few", "medium", "few"])
    right = rng.random(42) < 0.5
    parts, steps = accuracy_parts(right, labels, groups), part_steps(labels, groups)
    assert steps.keys() == parts.keys()
    for i in (0, 35, 40, 41):
        turned = right.copy()
        turned[i] ^= True
        for name, other in accuracy_parts(turned, labels, groups).items():
            assert np.abs(other - parts[name])[i] == pytest.approx(steps[name][i])


def test_a_step_of_average_precision_is_the_loss_of_its_positive() -> None:
    """The last of many images by score has a precision of nearly zero."""
    number = 4000
    y = np.zeros((number, 2), dtype=np.int64)
    y[:4, 0] = y[:2, 1] = 1
    scores = np.where(y, 2.0, 1.0) - np.arange(number)[:, None] * 1e-5
    groups = np.array(["few", "few"])
    steps = part_steps(y, groups)["few"]
    assert (steps[4:] == 0).all()
    for image, lost in ((0, 100 * (1 / 4 + 1 / 2) / 2), (3, 100 / 4 / 2)):
        fallen = scores.copy()
        fallen[image] = -1.0
        means = [precision_parts(s, y, groups)["few"].mean() for s in (scores, fallen)]
        assert means[0] - means[1] == pytest.approx(lost, rel=2e-3)
        assert steps[image] / number == pytest.approx(lost)


def test_where_no_image_turns_the_interval_is_that_of_one_that_does() -> None:
    """Half an image turns in either direction, with the freedom of one: 2 by the moments."""
    labels = np.repeat(np.arange(4), 10)
    parts, steps = balanced(np.ones(40, dtype=bool), labels)
    interval = paired_interval(parts, parts, labels, steps)
    half = stats.t.ppf(0.975, 2) * 100 / 40
    assert (interval.low, interval.high) == pytest.approx((-half, half))
    # An exact 95 % interval of a share of which none was seen ends at 1 - 0.025 ** (1 / n).
    assert half == pytest.approx(100 * (1 - 0.025 ** (1 / 40)), rel=0.25)


def test_a_whole_class_that_turns_is_not_certain_to_turn() -> None:
    labels = np.repeat(np.arange(4), 10)
    a, steps = balanced(np.ones(40, dtype=bool), labels)
    b, _ = balanced(labels > 0, labels)
    interval = paired_interval(a, b, labels, steps)
    assert interval.difference == pytest.approx(25)
    assert 5 < interval.low < 20 and 30 < interval.high < 45


@pytest.mark.parametrize("expected", [0.5, 3.5, 6])
@pytest.mark.parametrize("sizes", [[20] * 10, [100, 50, 30, 15, 5]])
def test_coverage_where_images_turn_one_way_only(expected: float, sizes: list[int]) -> None:
    """B is right everywhere and A nearly; 3 standard errors of the simulation are 0.04."""
    rng = np.random.default_rng(int(10 * expected))
    labels = np.repeat(np.arange(len(sizes)), sizes)
    share = expected / len(labels)
    all_right, steps = balanced(np.ones(len(labels), dtype=bool), labels)
    held = {"paired": 0, "row": 0, "without": 0}
    worlds = 300
    for _ in range(worlds):
        parts, _ = balanced(rng.random(len(labels)) >= share, labels)
        pair = paired_interval(all_right, parts, labels, steps)
        row = row_interval(parts, labels, steps)
        without = paired_interval(all_right, parts, labels)
        held["paired"] += pair.low <= 100 * share <= pair.high
        held["row"] += row.low <= 100 * (1 - share) <= row.high
        held["without"] += without.low <= 100 * share <= without.high
    assert held["paired"] >= 0.90 * worlds and held["row"] >= 0.90 * worlds
    if expected < 3:
        assert held["without"] < 0.9 * worlds  # which is why there are steps


def test_average_precision_of_a_perfect_order_has_a_width() -> None:
    y = np.repeat([[1], [0]], [10, 90], axis=0)
    scores, groups = y + np.linspace(0, 0.1, 100)[:, None], np.array(["few"])
    parts = precision_parts(scores, y, groups)["few"][None]
    zeros, steps = np.zeros(100, dtype=np.int64), part_steps(y, groups)["few"]
    assert paired_interval(parts, parts, zeros).p_value(1) == 0
    interval = paired_interval(parts, parts, zeros, steps)
    assert interval.high == pytest.approx(stats.t.ppf(0.975, 2) * 100 / 10)
    row = row_interval(parts, zeros, steps)
    assert row.high == 100 and 50 < row.low < 70


def test_a_row_is_the_mean_of_its_runs_inside_of_0_and_100() -> None:
    rng = np.random.default_rng(1)
    labels = np.repeat(np.arange(4), 25)
    parts, steps = balanced(rng.random((3, 100)) < 0.97, labels)
    row = row_interval(parts, labels, steps)
    pair = paired_interval(parts, np.zeros_like(parts), labels, steps)
    assert row.mean == pytest.approx(parts.reshape(3, 4, 25).mean(2).sum(1).mean())
    assert row.low == pytest.approx(pair.low) and row.high == min(100, pair.high) == 100
    assert (row.se_images, row.se_runs) == (pair.se_images, pair.se_runs)
    wrong, _ = balanced(np.zeros(100, dtype=bool), labels)
    none = row_interval(wrong, labels, steps)
    assert none.low == none.mean == 0 < none.high < 5 and none.se_runs is None
