"""Printed comparisons: terminal, Markdown and CSV."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
import pytest

from reports.compare.comparison import Comparison
from reports.compare.families import judge
from reports.compare.files import against_markdown, comparisons_csv, pairs_markdown
from reports.compare.terminal import print_against, print_pairs
from tests.reports.compare.studies import Study, everyone, study, text_of


@pytest.mark.parametrize("width", [80, 120])
def test_tables_fit_the_terminal(width: int) -> None:
    found, _ = everyone()
    texts = [
        text_of(print_pairs, judge(found[1:]), width=width),
        text_of(print_against, judge(found), width=width),
    ]
    for text in texts:
        assert "…" not in text
        assert max(map(len, text.splitlines())) <= width
        for word in ("sage", "lift", "overall", "= balanced", "many", "120 test images"):
            assert word in text


def wide() -> Comparison:
    """A comparison with the widest possible numbers."""
    made = Study()
    for seed in (0, 1):
        made.add("sage", seed, 1.0, config={"text": "a long description of this"})
        made.add("lift", seed, 0.0)
    groups = ("many", "many", "medium", "medium", "few", "few")
    for i, record in enumerate(made.records):
        names = replace(record.groups, membership=groups, many=1234, medium=12345, few=1234)
        made.records[i] = replace(record, groups=names, dataset="a" * 30)
    return made.compare("sage", "lift")


@pytest.mark.parametrize("width", [30, 60, 72, 80])
def test_no_figure_and_no_verdict_is_ever_cut(width: int) -> None:
    comparison = wide()
    for text in (
        text_of(print_pairs, judge([comparison]), width=width),
        text_of(print_against, judge([comparison]), width=width),
    ):
        assert "…" not in text
        words = text.split()
        for name, interval in comparison.intervals.items():
            for value in (interval.difference, interval.low, interval.high):
                assert f"{value:+.2f}".replace("-", "−") in words, (name, text)
    pair = text_of(print_pairs, judge([comparison]), width=width)
    assert pair.count("A better") == 4
    assert pair.split().count("100.0") == 4
    unclear = study()
    for seed in (0, 1):
        unclear.add("same", seed, 0.4)
    pair = text_of(print_pairs, judge([unclear.compare("same", "lift")]), width=width)
    assert "no difference shown" in pair
    if width >= 72:
        assert max(map(len, pair.splitlines())) <= width


def test_a_balanced_test_set_has_one_line_for_overall_and_balanced_another_has_two() -> None:
    uneven = Study()
    for method in ("sage", "lift"):
        uneven.add(method, 0, 0.5, labels=np.repeat(np.arange(6), [40, 20, 20, 20, 10, 10]))
    text = text_of(print_pairs, judge([uneven.compare("sage", "lift")]))
    assert "overall = balanced" not in text
    assert " balanced " in text
    even = judge([study().compare("sage", "lift")])
    assert "overall = balanced" in text_of(print_pairs, even)


def test_markdown_has_the_numbers_of_the_csv() -> None:
    found, _ = everyone()
    family = judge(found)
    text = against_markdown(family)
    lines = list(csv.DictReader(io.StringIO(comparisons_csv([family]))))
    assert len(lines) == 2 * 5
    assert "differences to `lift`" in text
    for line in lines:
        if line["metric"] == "balanced":
            continue
        low, high, difference = (
            f"{float(line[name]):+.2f}".replace("-", "−").replace("+0.00", "0.00")
            for name in ("low", "high", "difference")
        )
        assert f"{low} to {high}" in text
        assert f"{difference} " in text
        assert (float(line["p"]) >= 0.05) == (float(line["low"]) <= 0 <= float(line["high"]))
        assert (line["verdict"] == "no difference shown") == (float(line["p_adjusted"]) >= 0.05)
        assert float(line["p_adjusted"]) >= float(line["p"])
        assert line["tests"] == "8"  # balanced accuracy is overall accuracy here
        runs = [run.split(": ") for run in line["runs"].split("; ")]
        assert [name for name, _ in runs] == ["seed 0", "seed 1", "seed 2"]
        mean = np.mean([float(value) for _, value in runs])
        assert mean == pytest.approx(float(line["difference"]), abs=1e-4)
    pair = pairs_markdown(judge(found[1:]))
    assert pair.count("**A better**") == 4
    assert "A: `sage`, B: `lift`" in pair
    assert text.endswith("\n") and not text.endswith("\n\n")
