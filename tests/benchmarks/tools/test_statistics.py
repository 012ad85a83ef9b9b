"""Simulated worlds against their truth, and the tables of the statistics in a short form."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.tools.statistics.__main__ import main
from benchmarks.tools.statistics.coverage import (
    coverage,
    of_pairs,
    of_rows,
    of_typical_runs,
)
from benchmarks.tools.statistics.decisions import false_tables, looking_again, planned
from benchmarks.tools.statistics.grids import GRIDS
from benchmarks.tools.statistics.worlds import SHAKEN, World
from reports.compare.intervals import Component, Interval, paired_interval
from reports.compare.parts import accuracy_parts

# ---- worlds --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "world",
    [
        World(4, 40, 30, gap=0.4),
        World(4, 40, 30, gap=0.4, collapse=0.3),
        World(4, 40, 30, gap=0.4, fixed=(1,)),
        World(4, 40, 5, gap=0.4, splits=12, split=0.5, split_class=0.4),
    ],
)
def test_the_truth_is_the_mean_over_many_images_and_runs(world: World) -> None:
    """4 standard errors of the mean over 150 test sets are below 2 points."""
    rng = np.random.default_rng(0)
    worth = world.worth(rng, 2)
    truth = world.accuracies(worth)
    right = [world.right(rng, worth).mean(1) for _ in range(150)]
    found = 100 * np.mean(right, axis=0).reshape(2, 4, 40).mean(2)
    np.testing.assert_allclose(found, truth, atol=2.0)
    assert (truth[0] > truth[1]).all() or world.collapse


def test_parts_of_a_world_are_those_of_the_metrics() -> None:
    rng = np.random.default_rng(1)
    world = World(6, 9, 2)
    right = world.right(rng, world.worth(rng, 1))[0, 1]
    expected = accuracy_parts(right, world.labels, world.membership)
    for metric in ("overall", "balanced", "many", "medium", "few"):
        assert world.parts(right, metric) == pytest.approx(expected[metric])
    truth = np.arange(6.0)
    assert world.value(truth, "many") == 4.5 and world.value(truth, "overall") == 2.5


def test_typical_runs_are_those_that_do_not_collapse() -> None:
    """The median run is no other one, though the mean falls by 10 points."""
    plain = World(5, 20, 5, gap=0.2, run=0.01, run_class=0.01)
    fallen = replace(plain, collapse=0.3, depth=3.0)
    worth = plain.worth(np.random.default_rng(2), 2)
    one, other = (w.typical(np.random.default_rng(3), worth, "overall") for w in (plain, fallen))
    means = [w.value(w.accuracies(worth), "overall") for w in (plain, fallen)]
    assert means[0][0] - means[1][0] > 10
    assert one == pytest.approx(other, abs=0.3)
    assert one == pytest.approx(means[0][0] - means[0][1], abs=0.3)


# ---- coverage ------------------------------------------------------------------------------------


def without_runs(*arguments: np.ndarray) -> Interval:
    return replace(paired_interval(*arguments), runs=None)


def without_images(*arguments: np.ndarray) -> Interval:
    return replace(paired_interval(*arguments), images=Component(0.0, 1.0))


@pytest.mark.parametrize("name", SHAKEN)
def test_coverage_with_five_runs(name: str) -> None:
    """3 standard errors of the simulation are 0.045."""
    assert coverage(of_pairs(World(5, 15, 5).shaken(name)), 200, 0).share >= 0.91


def test_an_interval_without_one_of_its_variances_does_not_cover() -> None:
    shaken = World(5, 15, 5).shaken("large")
    assert coverage(of_pairs(shaken, interval=without_runs), 100, 0).share < 0.8
    still = World(5, 15, 5).shaken("small")
    assert coverage(of_pairs(still, interval=without_images), 100, 0).share < 0.8


def test_coverage_of_rows_splits_and_typical_runs() -> None:
    """3 standard errors of 150 worlds are 0.053."""
    splits = World(5, 15, 3, splits=4, split=0.2, split_class=0.2)
    for draw in (
        of_rows(World(5, 15, 3)),
        of_rows(World(5, 15, 1, level=3.5, fixed=(0,))),
        of_pairs(splits),
        of_pairs(replace(splits, runs=1, fixed=(0, 1))),
        of_typical_runs(World(5, 15, 6, collapse=0.1), 0),
    ):
        assert coverage(draw, 150, 0).share >= 0.89


# ---- decisions -----------------------------------------------------------------------------------


def test_a_table_without_true_differences_seldom_has_a_verdict() -> None:
    """5 % and 3 standard errors of 100 tables; a quarter of them have one if read one by one."""
    found = false_tables(World(6, 20, 5), 3, 100, 0)
    assert found.together <= 0.115
    assert found.one_by_one >= 0.13


def test_looking_again_adds_false_verdicts() -> None:
    once, last = looking_again(World(5, 15, 5, run=0.3), 3, 300, 0)
    assert once < last < 0.16


def test_the_difference_that_is_planned_for_is_shown_four_times_in_five() -> None:
    """3 standard errors of the simulation are 0.1; with few runs the plan is a bit careful."""
    found = planned(World(6, 20, 5, level=-0.5), 150, 0)
    assert 0.70 <= found.shown <= 0.95
    assert found.single[0] < found.difference < found.single[1]


# ---- the command ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GRIDS)
def test_every_table_has_as_many_cells_in_each_line(name: str) -> None:
    lines = [line for line in GRIDS[name](2, 0) if line]
    assert len(lines) > 3
    assert len({line.count("|") for line in lines}) == 1


def test_the_command_prints_tables_that_the_seed_repeats(
    capsys: pytest.CaptureFixture[str],
) -> None:
    prints = []
    for seed in ("1", "1", "2"):
        assert main(["looking", "--worlds", "20", "--seed", seed]) == 0
        prints.append(capsys.readouterr().out.split("\n\n")[0])
    assert prints[0] == prints[1] != prints[2]
    assert prints[0].startswith("| runs vary |")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pair"], "pairs"),
        (["pairs", "--worlds", "0"], "1 or more"),
        (["pairs", "--seed", "-1"], "0 or more"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error and error.count("\n") == 1


# ---- the full form -------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("runs", [3, 5, 10])
@pytest.mark.parametrize("rows", [1, 9])
@pytest.mark.parametrize("name", ["middle", "large"])
def test_false_tables_in_2000(name: str, rows: int, runs: int) -> None:
    """At most 5 % and two standard errors of the simulation."""
    world = World(15, 20, runs).shaken(name)
    assert false_tables(world, rows, 2000, 0).together <= 0.05 + 2 * 0.0049


@pytest.mark.slow
@pytest.mark.parametrize("runs", [3, 5, 10])
@pytest.mark.parametrize("name", SHAKEN)
def test_coverage_in_2000_worlds(name: str, runs: int) -> None:
    for classes, images in ((10, 20), (30, 10)):
        world = World(classes, images, runs, gap=0.3).shaken(name)
        assert 0.93 <= coverage(of_pairs(world), 2000, 0).share <= 0.99
