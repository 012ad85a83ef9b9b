"""Runs that collapse: notes, dots and trimmed means."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.errors import UserError
from reports.compare.cells import strips
from reports.compare.comparison import Comparer
from reports.compare.families import judge
from reports.compare.far_runs import far_runs
from reports.compare.files import against_markdown, pairs_markdown
from reports.compare.robust import robust_interval
from reports.compare.rows import find_row
from reports.compare.terminal import print_against, print_pairs
from tests.reports.compare.studies import LABELS, Study, text_of


@pytest.mark.parametrize("runs", [5, 6, 7, 8, 9, 10, 12, 15, 20, 40])
def test_normal_runs_are_flagged_in_one_set_of_a_hundred_at_most(runs: int) -> None:
    rng, sets = np.random.default_rng(runs), 2000
    flagged = sum(bool(far_runs(50 + 5 * rng.normal(size=runs))) for _ in range(sets))
    assert flagged / sets <= 0.01 + 3 * np.sqrt(0.01 * 0.99 / sets)


@pytest.mark.parametrize("runs", [5, 10, 20])
@pytest.mark.parametrize("collapsed", [[0], [0, 3]])
def test_runs_that_collapse_are_flagged(runs: int, collapsed: list[int]) -> None:
    values = 80 + 0.5 * np.random.default_rng(1).normal(size=runs)
    values[collapsed] -= 40
    assert far_runs(values) == collapsed
    assert far_runs(values[:4]) == []  # too few to tell


def test_runs_that_are_all_but_equal_are_not_far_from_each_other() -> None:
    assert far_runs([80.0, 80.0, 80.0, 80.0, 80.3]) == []
    assert far_runs([80.0, 80.0, 80.0, 80.0, 60.0]) == [4]


def collapsing() -> Study:
    """Ten runs of each, one of which collapses in `sage`."""
    made = Study()
    for seed in range(10):
        made.add("sage", seed, 0.05 if seed == 2 else 0.8)
        made.add("lift", seed, 0.6)
    return made


def test_a_collapsed_run_is_named_wherever_it_is_compared() -> None:
    family = judge([collapsing().compare("sage", "lift")])
    for text in (
        text_of(print_pairs, family, width=100),
        text_of(print_against, family, width=100),
        pairs_markdown(family),
        against_markdown(family),
    ):
        words = " ".join(text.split())
        assert "sage: far from the other runs" in words and "seed 2 (" in words
        assert "lift: far from" not in words


def test_trimmed_means_leave_it_out() -> None:
    made = collapsing()
    table = made.table()
    rows = find_row(table, "sage"), find_row(table, "lift")
    usual = made.compare("sage", "lift").intervals["overall"]
    comparison = Comparer(made.predictions_of, robust=True).compare(table, *rows)
    found = comparison.intervals["overall"]
    # With steps, strata and weights as in the usual interval: all of it is `robust_interval`'s.
    right = [
        np.stack([100.0 * (made.predictions_of(r)["top5"][:, 0] == LABELS) / 6 for r in row.done])
        for row in rows
    ]
    expected = robust_interval(*right, LABELS)
    assert (found.a, found.b) == pytest.approx((expected.a, expected.b))
    assert found.difference > usual.difference + 5
    assert found.high - found.low < usual.high - usual.low
    for text in (pairs_markdown(judge([comparison])), against_markdown(judge([comparison]))):
        assert "typical runs" in text and "94 to 99 %" in text
    assert "typical runs (the" not in pairs_markdown(judge([made.compare("sage", "lift")]))


def test_trimmed_means_need_five_runs_unless_nothing_is_random() -> None:
    made = Study()
    for seed in range(4):
        made.add("sage", seed, 0.8)
    for method in ("ncm", "zero_shot"):
        made.add(method, 0, 0.4, deterministic=True)
    table = made.table()
    comparer = Comparer(made.predictions_of, robust=True)
    with pytest.raises(UserError, match=r"'sage' and 'ncm' share 4 runs on .*; --robust needs 5"):
        comparer.compare(table, find_row(table, "sage"), find_row(table, "ncm"))
    fixed = comparer.compare(table, find_row(table, "ncm"), find_row(table, "zero_shot"))
    assert not fixed.robust


def test_dots_are_where_the_runs_are() -> None:
    comparison = collapsing().compare("sage", "lift")
    overall, *others = strips(comparison)
    assert overall.startswith("overall = balanced ")
    strip = overall.split("−", 1)[1].split(" ", 1)[1][:29]
    values = np.array(comparison.differences["overall"])
    assert strip[0] == "●"  # the collapsed run
    zero = round(-values.min() / (values.max() - values.min()) * 28)
    assert strip[zero] == "│"
    shown = sum(1 if sign == "●" else int(sign) for sign in strip if sign not in " │")
    assert shown == 10
    assert len(others) == 3
    once = Study()
    for method in ("sage", "lift"):
        once.add(method, 0, 0.5)
    assert strips(once.compare("sage", "lift")) == []
