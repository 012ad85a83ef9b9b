"""Paired comparisons: which runs are paired, and what is measured."""

from __future__ import annotations

import csv
import dataclasses
import io

import numpy as np
import pytest

from benchmarks.errors import UserError
from benchmarks.metrics import multi_label_metrics
from reports.aggregate import build_tables
from reports.compare.comparison import Comparer, against
from reports.compare.families import judge
from reports.compare.files import comparisons_csv, pairs_markdown
from reports.compare.request import compare_pairs
from reports.compare.rows import RowFinder, find_row
from reports.compare.terminal import print_pairs
from results.schema import Tuning
from tests.reports.compare.studies import COUNTS, IDS, LABELS, Study, everyone, study, text_of
from tests.results.factory import failed_record, make_record


def test_means_are_those_of_the_table() -> None:
    made = study()
    comparison, table = made.compare("sage", "lift"), made.table()
    assert list(comparison.intervals) == ["overall", "many", "medium", "few", "balanced"]
    for name, interval in comparison.intervals.items():
        for label, mean in (("sage", interval.a), ("lift", interval.b)):
            assert mean == pytest.approx(find_row(table, label).values[name].mean)
        assert interval.difference == pytest.approx(interval.a - interval.b)
        assert interval.low < interval.difference < interval.high
    assert comparison.covers == (
        "the choice of 120 test images and of 3 run seeds (0, 1, 2)."
    )  # fmt: skip
    assert comparison.notes == ()


def test_images_are_paired_by_their_ids_whatever_the_order_of_files() -> None:
    expected = study().compare("sage", "lift").intervals
    order = np.random.default_rng(0).permutation(120)
    assert study(order=order).compare("sage", "lift").intervals == expected


def test_different_images_or_labels_cannot_be_paired() -> None:
    for changes in ({"ids": np.char.add(IDS, " of another set")}, {"labels": LABELS[::-1].copy()}):
        with pytest.raises(UserError, match="not tested on the same images"):
            study(**changes).compare("sage", "lift")


def test_seeds_that_one_of_them_lacks_are_left_out_and_named() -> None:
    comparison = study(a_seeds=(0, 1, 2, 5)).compare("sage", "lift")
    assert comparison.intervals == study().compare("sage", "lift").intervals
    (note,) = comparison.notes
    assert note == (
        "sage: 1 of 4 runs left out (run/split seed 5/0), because lift has no runs to pair them "
        "with."
    )


def test_no_seed_in_common() -> None:
    with pytest.raises(UserError, match=r"'sage' and 'lift' have no finished run of the same seed"):
        study(a_seeds=(3, 4)).compare("sage", "lift")


def test_one_run_alone_says_so() -> None:
    comparison = study((0,), (0,)).compare("sage", "lift")
    assert comparison.covers == "the choice of 120 test images alone: there is one run (seed 0)."
    assert comparison.intervals["overall"].se_runs is None
    assert comparison.one_run


def test_a_deterministic_run_is_paired_with_every_seed() -> None:
    made = Study()
    made.add("ncm", 0, 0.4, deterministic=True)
    for seed in (1, 2, 3):
        made.add("lift", seed, 0.8)
    comparison = made.compare("lift", "ncm")
    row = find_row(made.table(), "lift")
    assert comparison.covers.endswith("of 3 run seeds (1, 2, 3).")
    assert comparison.notes == ("ncm is deterministic: its one run is paired with every seed.",)
    overall = comparison.intervals["overall"]
    assert overall.se_runs == pytest.approx(row.values["overall"].std / np.sqrt(3))


def test_two_deterministic_methods() -> None:
    made = Study()
    for method in ("ncm", "zero_shot"):
        made.add(method, 0, 0.4, deterministic=True)
    comparison = made.compare("zero_shot", "ncm")
    assert comparison.covers == "the choice of 120 test images; both variants are deterministic."
    assert comparison.notes == ()
    assert not comparison.one_run  # there is no other run that could differ


def test_one_random_run_against_a_deterministic_one_is_one_run() -> None:
    made = Study()
    made.add("ncm", 0, 0.4, deterministic=True)
    made.add("lift", 3, 0.8)
    assert made.compare("lift", "ncm").one_run
    made.add("lift", 4, 0.8)
    assert not made.compare("lift", "ncm").one_run


def test_the_difference_of_each_run() -> None:
    made = study()
    comparison, rows = made.compare("sage", "lift"), made.table().rows
    assert comparison.units == ("seed 0", "seed 1", "seed 2")
    for name in ("overall", "few", "balanced"):
        sage, lift = (
            [getattr(record.metrics, name) for record in sorted(row.done, key=lambda r: r.seed)]
            for row in sorted(rows, key=lambda row: row.label, reverse=True)
        )
        assert comparison.differences[name] == pytest.approx(np.subtract(sage, lift))


def test_several_splits_are_what_varies() -> None:
    """The run seeds of a split are averaged: the splits alone are a sample of splits."""
    made = Study()
    for method, accuracy in (("sage", 0.8), ("lift", 0.4)):
        for split in (0, 1, 2):
            for seed in (0, 1):
                made.add(
                    method, 10 * split + seed, accuracy - split / 10, split_seed=split,
                    provenance_split_hash=f"{split}" * 64,
                )  # fmt: skip
    comparison = made.compare("sage", "lift")
    assert comparison.covers == (
        "the choice of 120 test images and of 3 splits "
        "(split seeds 0, 1, 2, the mean over 2 run seeds on each)."
    )
    rows = [find_row(made.table(), label) for label in ("sage", "lift")]
    means = [
        [np.mean([r.metrics.overall for r in row.done if r.split_seed == s]) for s in range(3)]
        for row in rows
    ]
    overall = comparison.intervals["overall"]
    assert overall.se_runs == pytest.approx(np.std(np.subtract(*means), ddof=1) / np.sqrt(3))
    assert comparison.units == ("split 0", "split 1", "split 2")
    assert comparison.differences["overall"] == pytest.approx(np.subtract(*means))


def test_stale_and_failed_runs_are_reported() -> None:
    made = study()
    made.records.append(failed_record("lift", 9))
    stale = {r.key for r in made.records if r.method == "sage"}
    assert made.compare("sage", "lift", stale=stale).notes == (
        "sage: made with another version of the method's source.",
        "lift: 1 of 4 runs have no result.",
    )


def test_a_stale_recipe_is_reported() -> None:
    made = study()
    tuning = Tuning("tuned-on-x, 8 trials", 8, ("lr",), stale=True)
    made.records = [
        dataclasses.replace(r, tuning=tuning) if r.method == "lift" else r for r in made.records
    ]
    label = next(row.label for row in made.table().rows if row.method == "lift")
    assert made.compare("sage", label).notes == (
        f"{label}: tuned with another version of the method's source.",
    )


def test_an_empty_group_has_no_interval() -> None:
    group = ("many", "many", "medium", "medium", "medium", "medium")
    made = Study()
    for method in ("sage", "lift"):
        made.add(method, 0, 0.5, groups_membership=group, groups_few=0, metrics_few=None)
    comparison = made.compare("sage", "lift")
    assert comparison.intervals["few"] is None
    family = judge([comparison])
    assert family.members[0].words("few") == ""
    assert " few (0)" in text_of(print_pairs, family)
    assert "| few (0) | – | – | – | – |  |" in pairs_markdown(family)
    (few,) = (
        line
        for line in csv.DictReader(io.StringIO(comparisons_csv([family])))
        if line["metric"] == "few"
    )
    assert {k for k, v in few.items() if v} == {
        "dataset", "backbone", "a", "b", "metric", "covers"
    }  # fmt: skip


def test_multi_label_runs_are_compared_by_average_precision() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random((150, 6)) < 0.3).astype(np.int8)
    made, group = Study(), np.array(["many", "many", "medium", "medium", "few", "few"])
    for method, signal in (("sage", 2.0), ("lift", 0.5)):
        for seed in range(3):
            scores = (signal * labels + rng.normal(size=labels.shape)).astype(np.float32)
            record = make_record(
                method, seed, task="multi", counts=COUNTS,
                metrics=multi_label_metrics(scores, labels, group),
            )  # fmt: skip
            made.records.append(record)
            arrays = {"ids": IDS, "labels": labels, "scores": scores}
            arrays["ids"] = np.array([f"image {i}" for i in range(150)])
            made.predictions[record.key] = arrays
    comparison = made.compare("sage", "lift")
    assert list(comparison.intervals) == ["overall", "many", "medium", "few"]
    for name, interval in comparison.intervals.items():
        table_mean = find_row(made.table(), "sage").values[name].mean
        assert interval.a == pytest.approx(table_mean)
        assert interval.low > 0
    assert "mAP" in text_of(print_pairs, judge([comparison]))


# ---- every row against one ----------------------------------------------------------------------


def test_every_other_row_against_one() -> None:
    found, problems = everyone()
    assert [(c.a, c.b) for c in found] == [("ncm", "lift"), ("sage", "lift")]
    (problem,) = problems
    assert "'coop' and 'lift' have no finished run" in problem


def test_what_does_not_apply_is_no_problem_and_a_baseline_without_runs_is_one() -> None:
    made = study()
    made.records.append(make_record("tau_norm", status="not_applicable", error="for other data"))
    table = made.table()
    comparer = Comparer(lambda record: made.predictions[record.key])
    found, problems = against(table, find_row(table, "lift"), comparer)
    assert [c.a for c in found] == ["sage"] and not problems
    found, problems = against(table, find_row(table, "tau_norm"), comparer)
    assert not found and len(problems) == 1
    assert "'tau_norm' has no finished run on" in problems[0]


def test_a_pair_is_skipped_if_one_of_them_does_not_apply() -> None:
    made = study()
    tables = build_tables([
        *made.records,
        make_record("sage", dataset="scenes", status="not_applicable", error="for other data"),
        make_record("lift", dataset="scenes"),
    ])  # fmt: skip
    said: list[str] = []
    comparer = Comparer(lambda record: made.predictions[record.key])
    found = compare_pairs(tables, "sage", ["lift"], comparer, RowFinder({}, said.append))
    ((pair,),) = [family.members for family in found]
    assert (pair.comparison.a, pair.comparison.b) == ("sage", "lift")
    assert said == ["'sage' does not apply to scenes: left out."]
