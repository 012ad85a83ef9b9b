"""The differences that a table shows, and the seeds that a difference needs, in words."""

from __future__ import annotations

import csv
import io
import re

import pytest

from reports.compare.designs import needed, shown_from
from reports.compare.families import Asked, Family, judge
from reports.compare.files import against_markdown, comparisons_csv, pairs_markdown
from reports.compare.power import runs_needed, smallest_difference
from tests.reports.compare.studies import Study, everyone, study


def test_the_level_is_that_of_the_whole_table() -> None:
    found, _ = everyone()
    alone, both = judge(found[1:]), judge(found)
    assert (alone.tests, both.tests) == (4, 8)
    interval = found[1].intervals["few"]
    for family in (alone, both):
        value = shown_from(family, family.members[-1], "few")
        assert value == smallest_difference(interval, level=0.05 / family.tests)
    assert shown_from(both, both.members[-1], "few") > shown_from(alone, alone.members[0], "few")


def asked(difference: float) -> Family:
    return judge([study().compare("sage", "lift")], Asked(difference=difference))


def test_the_seeds_that_a_difference_needs() -> None:
    family = asked(25.0)
    (judged,) = family.members
    number = runs_needed(judged.comparison.intervals["overall"], 25.0, level=0.05 / 4)
    assert needed(family, judged, "overall") == number
    text = pairs_markdown(family)
    (line,) = (line for line in text.splitlines() if "A true difference of 25 points" in line)
    assert re.search(rf"\boverall[a-z, ]*: {number} seeds", line)
    assert "1,000 seeds are not enough" in pairs_markdown(asked(0.01))
    assert "A true difference of" not in pairs_markdown(judge([study().compare("sage", "lift")]))


def test_a_table_names_its_extremes_and_the_seeds_of_each_row() -> None:
    found, _ = everyone()
    family = judge(found, Asked(difference=30.0))
    values = {j.comparison.a: shown_from(family, j, "overall") for j in family.members}
    low, high = sorted(values, key=values.get)
    text = against_markdown(family)
    assert f"at least {values[low]:.2f} ({low}) to {values[high]:.2f} points ({high})" in text
    assert "A true difference of 30 points in overall needs" in text
    assert "8 tests together" in text


def test_the_csv_has_the_same_numbers() -> None:
    family = asked(25.0)
    (judged,) = family.members
    for line in csv.DictReader(io.StringIO(comparisons_csv([family]))):
        assert float(line["shown_from"]) == shown_from(family, judged, line["metric"])
        assert line["runs_needed"] == str(needed(family, judged, line["metric"]) or "")


@pytest.mark.parametrize("deterministic", [True, False])
def test_one_run_shows_no_design_unless_nothing_is_random(deterministic: bool) -> None:
    made = Study()
    for method in ("ncm", "zero_shot"):
        made.add(method, 0, 0.4, deterministic=deterministic)
    family = judge([made.compare("ncm", "zero_shot")], Asked(difference=5.0))
    text = pairs_markdown(family)
    assert ("this design shows true differences" in text) == deterministic
    assert ("no runs vary, the test images decide" in text) == deterministic
    assert needed(family, family.members[0], "overall") is None
