"""The expected time that is left."""

from __future__ import annotations

import pytest

from benchmarks.sweep.pace import Pace

HOUR = 3600.0


def test_estimates_hold_until_something_was_measured() -> None:
    pace = Pace({"a": HOUR, "b": 2 * HOUR, "c": 3 * HOUR})
    assert pace.left(0, [], "abc") == pytest.approx(6 * HOUR)
    assert pace.left(0, [], "abc", lanes=2) == pytest.approx(3 * HOUR)
    # A minute of loading, with a minute of estimates beside it, is no reason for despair.
    assert pace.left(60, [], "abc") == pytest.approx(12 * HOUR)


def test_the_measured_speed_wins_in_the_end() -> None:
    pace = Pace(dict.fromkeys("abcd", HOUR))
    assert pace.left(4 * HOUR, "ab", "cd") == pytest.approx(4 * HOUR, rel=0.01)
    assert pace.left(HOUR, "ab", "cd") == pytest.approx(HOUR, rel=0.01)
    # Two at a time, each in the estimated time.
    assert pace.left(HOUR, "ab", "cd", lanes=2) == pytest.approx(HOUR, rel=0.01)


def test_a_long_cell_that_is_running_is_no_sign_of_slowness() -> None:
    pace = Pace({"a": HOUR, "b": HOUR})
    assert pace.left(HOUR / 2, [], "ab", running={"a": HOUR / 2}) == pytest.approx(1.5 * HOUR)
    # It has taken twice as long as expected, and so will the other.
    assert pace.left(2 * HOUR, [], "ab", running={"a": 2 * HOUR}) == pytest.approx(
        2 * HOUR, rel=0.02
    )
    assert pace.left(HOUR, [], "a", running={"a": HOUR, "of others": HOUR}) == 0


def test_cells_without_an_estimate_are_like_the_others() -> None:
    pace = Pace({"a": 1 * HOUR, "b": None, "c": 3 * HOUR})
    assert pace.left(0, [], "b") == pytest.approx(2 * HOUR)


@pytest.mark.parametrize("seconds", [None, 0.0])
def test_without_any_estimate_all_cells_are_alike(seconds: float | None) -> None:
    pace = Pace(dict.fromkeys("abcd", seconds))
    assert pace.left(60, [], "abcd") is None
    assert pace.left(60, "a", "bcd") == pytest.approx(180)


def test_nothing_is_left() -> None:
    assert Pace({}).left(60, [], []) == 0
    assert Pace({"a": 1.0}).left(60, "a", []) == 0
