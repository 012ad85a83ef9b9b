"""Paired comparisons: which runs are paired, and how differences are reported."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from benchmarks.cli.parts.comparisons import RowFinder, compare_pairs
from benchmarks.errors import UserError
from benchmarks.metrics import multi_label_metrics
from reports.aggregate import build_tables
from reports.compare.comparison import Comparer, Comparison, against, find_row, verdict
from reports.compare.tables import (
    against_markdown,
    comparisons_csv,
    pair_markdown,
    print_against,
    print_pair,
)
from reports.table import Table
from results.schema import Record
from tests.results.factory import failed_record, make_record

COUNTS = (300, 200, 50, 30, 10, 5)
LABELS = np.repeat(np.arange(6), 20)
IDS = np.array([f"image {i}" for i in range(120)])


class Study:
    """Records with their predictions; `table` and `compare` as the suite makes them."""

    def __init__(self) -> None:
        self.records, self.predictions = [], {}

    def add(
        self,
        method: str,
        seed: int = 0,
        accuracy: float = 0.5,
        order: np.ndarray | None = None,
        labels: np.ndarray = LABELS,
        ids: np.ndarray = IDS,
        **changes: Any,
    ) -> Record:
        """A run that is right on each image with a probability."""
        own = np.random.default_rng([seed, *method.encode()])
        right = own.random(len(labels)) < accuracy
        by_class = [float(100 * right[labels == c].mean()) for c in range(6)]
        record = make_record(
            method, seed, overall=float(100 * right.mean()), per_class=by_class,
            counts=COUNTS, **changes,
        )  # fmt: skip
        top = np.tile(np.arange(5), (len(labels), 1))
        top[:, 0] = np.where(right, labels, (labels + 1) % 6)
        order = np.arange(len(labels)) if order is None else order
        arrays = {"ids": ids, "labels": labels.astype(np.int32), "top5": top.astype(np.int32)}
        self.records.append(record)
        self.predictions[record.key] = {name: array[order] for name, array in arrays.items()}
        return record

    def table(self, **options: Any) -> Table:
        (table,) = build_tables(self.records, **options)
        return table

    def compare(self, a: str, b: str, **options: Any) -> Comparison:
        table = self.table(**options)
        comparer = Comparer(lambda record: self.predictions[record.key])
        return comparer.compare(table, find_row(table, a), find_row(table, b))


def study(
    a_seeds: Sequence[int] = (0, 1, 2), b_seeds: Sequence[int] = (0, 1, 2), **changes: Any
) -> Study:
    result = Study()
    for seed in a_seeds:
        result.add("sage", seed, 0.8, **changes)
    for seed in b_seeds:
        result.add("lift", seed, 0.4)
    return result


def text_of(print_it: Callable[..., None], *arguments: Any, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width)
    print_it(*arguments, console)
    return console.file.getvalue()


# ---- pairing -------------------------------------------------------------------------------------


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


def test_stale_and_failed_runs_are_reported() -> None:
    made = study()
    made.records.append(failed_record("lift", 9))
    stale = {r.key for r in made.records if r.method == "sage"}
    assert made.compare("sage", "lift", stale=stale).notes == (
        "sage: made with another version of the method's source.",
        "lift: 1 of 4 runs have no result.",
    )


def test_an_empty_group_has_no_interval() -> None:
    group = ("many", "many", "medium", "medium", "medium", "medium")
    made = Study()
    for method in ("sage", "lift"):
        made.add(method, 0, 0.5, groups_membership=group, groups_few=0, metrics_few=None)
    comparison = made.compare("sage", "lift")
    assert comparison.intervals["few"] is None
    assert verdict("few", None) == ""
    assert " few (0)" in text_of(print_pair, comparison)
    assert "| few (0) | – | – | – | – |  |" in pair_markdown(comparison)
    (few,) = (
        line
        for line in csv.DictReader(io.StringIO(comparisons_csv([comparison])))
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
        assert verdict(name, interval) == "A better"
    assert "mAP" in text_of(print_pair, comparison)


# ---- names ---------------------------------------------------------------------------------------


def test_a_variant_is_found_by_its_label_or_by_the_method_if_there_is_one() -> None:
    made = study()
    for method in ("zero_shot", "mine"):
        for text in ("names", "both"):
            made.add(method, 0, 0.3, config={"text": text})
    table = made.table()
    assert find_row(table, "sage").label == "sage"
    assert find_row(table, "zero_shot (text=both)").label == "zero_shot (text=both)"
    assert find_row(table, "zero") is None
    # By name alone, the row with the defaults; those of a plug-in that is not here are not known.
    assert find_row(table, "zero_shot").label == "zero_shot (text=names)"
    with pytest.raises(UserError, match=r"several variants .*'mine \(text=both\)'; 'mine"):
        find_row(table, "mine")


def test_a_setting_that_the_label_leaves_out_finds_the_row_too() -> None:
    """Labels name what is unusual among the variants of a table; a sweep is written before it."""
    made = Study()
    for guidance, lr in (("cross", 0.1), ("none", 0.1), ("none", 0.5)):
        made.add("mine", 0, 0.5, config={"guidance": guidance, "lr": lr, "widths": [1, 2]})
    table = made.table()
    assert [row.label for row in table.rows].count("mine") == 1
    for wanted, label in {
        "mine (guidance=none, lr=0.1)": "mine",
        "mine (lr=0.5)": "mine (lr=0.5)",
        "mine (widths=[1, 2], guidance=cross)": "mine (guidance=cross)",
    }.items():
        assert find_row(table, wanted).label == label
    assert find_row(table, "mine (lr=9)") is None
    assert find_row(table, "ncm (lr=0.5)") is None
    with pytest.raises(UserError, match="several variants"):
        find_row(table, "mine (lr=0.1)")


def test_the_variant_that_bears_the_name_alone_goes_first() -> None:
    made = Study()
    for guidance, seed in (("cross", 0), ("cross", 1), ("none", 0)):
        made.add("sage", seed, 0.5, config={"guidance": guidance, "lr": float(guidance == "none")})
    made.add("sage", 0, 0.5, config={"guidance": "cross", "lr": 3.0})
    made.add("sage", 0, 0.5, config={"guidance": "kv", "lr": 0.0})
    labels = [row.label for row in made.table().rows]
    assert "sage" in labels
    assert find_row(made.table(), "sage").label == "sage"


# ---- text ---------------------------------------------------------------------------------------


def test_verdicts_follow_the_interval() -> None:
    made = study()
    made.add("same", 0, 0.4)
    better = made.compare("sage", "lift").intervals["overall"]
    worse = made.compare("lift", "sage").intervals["overall"]
    assert (verdict("overall", better), verdict("overall", worse)) == ("A better", "B better")
    assert worse.low == pytest.approx(-better.high)
    unclear = made.compare("same", "lift").intervals["overall"]
    assert unclear.low < 0 < unclear.high
    assert verdict("overall", unclear) == "no difference shown"
    # Of two values of a metric where lower is better, the lower one wins.
    assert (verdict("ece", better), verdict("ece", worse)) == ("B better", "A better")
    assert verdict("ece", unclear) == "no difference shown"


def everyone() -> tuple[list[Comparison], list[str]]:
    made = study()
    made.add("ncm", 0, 0.41, deterministic=True)
    made.records.append(failed_record("coop"))
    table = made.table()
    comparer = Comparer(lambda record: made.predictions[record.key])
    return against(table, find_row(table, "lift"), comparer)


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
    console = Console(file=io.StringIO(), width=100)
    comparer = Comparer(lambda record: made.predictions[record.key])
    found = compare_pairs(tables, "sage", ["lift"], comparer, RowFinder({}, console))
    assert [(c.a, c.b) for c in found] == [("sage", "lift")]
    assert "'sage' does not apply to scenes: left out." in console.file.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_tables_fit_the_terminal(width: int) -> None:
    found, _ = everyone()
    texts = [text_of(print_pair, found[1], width=width), text_of(print_against, found, width=width)]
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
        text_of(print_pair, comparison, width=width),
        text_of(print_against, [comparison], width=width),
    ):
        assert "…" not in text
        words = text.split()
        for name, interval in comparison.intervals.items():
            for value in (interval.difference, interval.low, interval.high):
                assert f"{value:+.2f}".replace("-", "−") in words, (name, text)
    pair = text_of(print_pair, comparison, width=width)
    assert pair.count("A better") == 4
    assert pair.split().count("100.0") == 4
    unclear = study()
    unclear.add("same", 0, 0.4)
    pair = text_of(print_pair, unclear.compare("same", "lift"), width=width)
    assert "no difference shown" in pair
    if width >= 72:
        assert max(map(len, pair.splitlines())) <= width


def test_a_balanced_test_set_has_one_line_for_overall_and_balanced_another_has_two() -> None:
    uneven = Study()
    for method in ("sage", "lift"):
        uneven.add(method, 0, 0.5, labels=np.repeat(np.arange(6), [40, 20, 20, 20, 10, 10]))
    text = text_of(print_pair, uneven.compare("sage", "lift"))
    assert "overall = balanced" not in text
    assert " balanced " in text
    assert "overall = balanced" in text_of(print_pair, study().compare("sage", "lift"))


def test_markdown_has_the_numbers_of_the_csv() -> None:
    found, _ = everyone()
    text = against_markdown(found)
    lines = list(csv.DictReader(io.StringIO(comparisons_csv(found))))
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
        assert (line["verdict"] == "no difference shown") == (
            float(line["low"]) <= 0 <= float(line["high"])
        )
    pair = pair_markdown(found[1])
    assert pair.count("**A better**") == 4
    assert "A: `sage`, B: `lift`" in pair
    assert text.endswith("\n") and not text.endswith("\n\n")
