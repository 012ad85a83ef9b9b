"""Verdicts: families, one run, equivalence."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from statsmodels.stats.weightstats import ttost_paired

from reports.compare.families import Asked, Verdict, judge, verdicts_of
from reports.compare.files import against_markdown, comparisons_csv, pairs_markdown
from reports.compare.intervals import Interval, paired_interval
from reports.compare.terminal import print_against, print_pairs
from tests.reports.compare.studies import LABELS, Study, everyone, study, text_of


def interval(differences: np.ndarray) -> Interval:
    """An interval of (R,) differences of runs in points, all images being equal."""
    parts = np.repeat(np.asarray(differences)[:, None], 4, axis=1)
    return paired_interval(parts, np.zeros_like(parts), np.zeros(4, dtype=np.int64))


def noise(scale: float, seed: int, mean: float = 0.0) -> np.ndarray:
    """Differences of five runs with exactly this mean and standard deviation."""
    values = np.random.default_rng(seed).normal(size=5)
    return mean + scale * (values - values.mean()) / values.std(ddof=1)


# ---- families ------------------------------------------------------------------------------------


def test_holms_rule_as_in_his_paper() -> None:
    """The smallest p-value is multiplied by the number of tests, the next by one less, and so on;
    none is smaller than that of a stronger result."""
    found = [interval(noise(1.0, i, mean)) for i, mean in enumerate((5.0, 1.4, 0.2, 1.4))]
    p = [i.p_value() for i in found]
    order = np.argsort(p)
    expected = np.maximum.accumulate([(4 - k) * p[i] for k, i in enumerate(order)]).clip(max=1.0)
    verdicts = verdicts_of(found)
    assert [verdicts[i].p_adjusted for i in order] == pytest.approx(expected)
    assert [v.p for v in verdicts] == p
    # By itself, 1.4 points would be shown; among four comparisons they are not.
    assert found[1].low > 0
    assert [v.better for v in verdicts] == ["A", "", "", ""]


def test_a_family_of_one_follows_its_interval() -> None:
    for mean in np.linspace(-3.0, 3.0, 25):
        one = interval(noise(1.0, 0, mean))
        (verdict,) = verdicts_of([one])
        assert bool(verdict.better) == (not one.low <= 0 <= one.high)
        assert verdict.p_adjusted == verdict.p


def test_where_lower_is_better_the_lower_one_wins() -> None:
    above, below = interval(noise(0.1, 0, 5.0)), interval(noise(0.1, 0, -5.0))
    assert [v.better for v in verdicts_of([above, below])] == ["A", "B"]
    assert [v.better for v in verdicts_of([above, below], [False, False])] == ["B", "A"]
    assert verdicts_of([]) == []


def test_a_family_is_what_is_printed_together_and_equal_columns_count_once() -> None:
    found, _ = everyone()
    both, alone = judge(found), judge(found[1:])
    assert (both.tests, alone.tests) == (8, 4)
    for one, other in zip(
        both.members[1].verdicts.values(), alone.members[0].verdicts.values(), strict=True
    ):
        assert one.p == other.p
        assert one.p_adjusted >= other.p_adjusted
    assert both.members[0].verdicts["balanced"] == both.members[0].verdicts["overall"]


def test_uneven_test_sets_have_one_test_more() -> None:
    made, labels = Study(), np.repeat(np.arange(6), [40, 20, 20, 20, 10, 10])
    for method in ("sage", "lift"):
        for seed in (0, 1):
            made.add(method, seed, 0.5, labels=labels)
    assert judge([made.compare("sage", "lift")]).tests == 5


def test_null_tables_are_free_of_verdicts_as_often_as_the_level_says() -> None:
    """Nine rows against one with the same truth: a table with any arrow is one in twenty.

    The rows share the baseline's runs, so the comparisons are dependent.
    """
    rng = np.random.default_rng(0)
    strata, tables, false, one_by_one = np.repeat(np.arange(4), 10), 150, 0, 0
    for _ in range(tables):
        truth = 40 + 20 * rng.random(40)
        rows = 100.0 * (100 * rng.random((10, 3, 40)) < truth) / 4
        found = [paired_interval(row, rows[0], strata) for row in rows[1:]]
        false += any(verdict.better for verdict in verdicts_of(found))
        one_by_one += any(not i.low <= 0 <= i.high for i in found)
    # 0.05 and two Monte-Carlo errors; each interval by itself makes more of them.
    assert false / tables <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / tables)
    assert one_by_one > false


# ---- one run -------------------------------------------------------------------------------------


def test_one_run_has_no_verdict_wherever_it_is_shown() -> None:
    family = judge([study((0,), (0,)).compare("sage", "lift")])
    (judged,) = family.members
    assert judged.comparison.intervals["overall"].low > 0  # over images alone it is clear
    assert set(judged.verdicts.values()) == {None}
    assert family.tests == 0
    for text in (
        text_of(print_pairs, family, width=100),
        text_of(print_against, family, width=100),
        pairs_markdown(family),
        against_markdown(family),
    ):
        assert not {"↑", "↓"} & set(text)
        assert "=" not in text.replace("= balanced", "").replace("B = lift", "")
        assert "A better" not in text
        assert "**" not in text
        words = " ".join(text.split())
        assert "this is the difference of two trained models" in words
        assert "at least 2 seeds" in words and "3 or more" in words
    for line in csv.DictReader(io.StringIO(comparisons_csv([family]))):
        assert (line["verdict"], line["p"], line["tests"]) == ("no verdict: one run", "", "")


def test_one_run_does_not_count_among_the_tests_of_its_table() -> None:
    made = study()
    made.add("once", 0, 0.9)
    comparisons = [made.compare(a, "lift") for a in ("sage", "once")]
    family = judge(comparisons)
    assert family.tests == 4
    assert family.members[0] == judge(comparisons[:1]).members[0]
    text = " ".join(text_of(print_against, family, width=200).split())
    assert "once against lift: this is the difference of two trained models" in text
    assert "sage against lift" not in text


def test_deterministic_variants_have_a_verdict_from_their_only_run() -> None:
    made = Study()
    made.add("ncm", 0, 0.2, deterministic=True)
    made.add("zero_shot", 0, 0.8, deterministic=True)
    (judged,) = judge([made.compare("zero_shot", "ncm")]).members
    assert judged.verdicts["overall"].better == "A"


def test_no_verdict_about_a_method_from_one_seed_and_few_false_ones_from_ten() -> None:
    """Two groups of ten seeds of one method: what is shown about them is false."""
    truth = np.clip(np.random.default_rng(1).normal(0.6, 0.25, len(LABELS)), 0, 1)
    false = {seeds: 0 for seeds in (1, 3, 10)}
    tables = 60
    for table in range(tables):
        made, rng = Study(), np.random.default_rng([2, table])
        for method in ("one", "other"):
            for seed in range(10):
                # A seed moves all images of a class together, as another training does.
                shift = rng.normal(0, 0.1, 6)[LABELS]
                made.add(method, seed, np.clip(truth + shift, 0, 1), own=rng)
        for seeds in false:
            (judged,) = judge([made.first(seeds).compare("one", "other")]).members
            false[seeds] += any(v is not None and v.better for v in judged.verdicts.values())
    assert false[1] == 0
    most = 0.05 + 2 * np.sqrt(0.05 * 0.95 / tables)
    assert max(false.values()) / tables <= most, false


# ---- equivalence ---------------------------------------------------------------------------------


def test_equivalence_is_that_of_two_one_sided_t_tests() -> None:
    """Without variation between images the interval is that of the t test over runs."""
    for seed, (scale, mean, margin) in enumerate(((1.0, 0.2, 1.5), (0.5, -0.3, 1.0), (2.0, 1, 3))):
        values = noise(scale, seed, mean)
        (verdict,) = verdicts_of([interval(values)], margin=margin)
        expected, *_ = ttost_paired(values, np.zeros(5), -margin, margin)
        assert verdict.p_equivalent == pytest.approx(expected)
        # The two tests of a comparison are a family.
        weaker = max(2 * verdict.p, expected)
        holm = 2 * expected if expected < verdict.p else weaker
        assert verdict.p_equivalent_adjusted == pytest.approx(min(holm, 1.0))


def told(scale: float, mean: float, margin: float | None) -> Verdict:
    """The verdict of one comparison."""
    (verdict,) = verdicts_of([interval(noise(scale, 0, mean))], margin=margin)
    return verdict


def test_words_of_verdicts() -> None:
    assert told(0.1, 0.0, None).text == "no difference shown"
    assert told(0.1, 0.0, 1.0).text == "equivalent within 1 point"
    assert told(5.0, 0.0, 1.0).text == "no difference shown"
    assert told(0.1, 0.5, 1.5).text == "A better, equivalent within 1.5 points"
    assert told(0.1, -5.0, 1.5).text == "B better"


def test_equivalence_is_printed_with_its_margin() -> None:
    made = Study()
    for method in ("one", "other", "bad"):
        for seed in (0, 1, 2):
            made.add(method, seed, float(method != "bad"))
    found = [made.compare(a, "other") for a in ("one", "bad")]
    assert "equivalent" not in text_of(print_against, judge(found), width=100)
    family = judge(found, Asked(margin=60.0))
    assert family.tests == 16
    for text in (text_of(print_against, family, width=100), against_markdown(family)):
        assert "≈ equivalent within 60 points" in " ".join(text.split())
        assert "0.00 ≈" in text
    assert "**equivalent within 60 points**" in pairs_markdown(family)
    lines = list(csv.DictReader(io.StringIO(comparisons_csv([family]))))
    assert {line["verdict"] for line in lines if line["a"] == "one"} == {
        "equivalent within 60 points"
    }
    assert {line["verdict"] for line in lines if line["a"] == "bad"} == {"B better"}
    for line in lines:
        shown = float(line["p_equivalent_adjusted"]) < 0.05
        assert shown == ("equivalent" in line["verdict"])
        assert line["margin"] == "60.0"
