"""Marks that rest on tests, and intervals of rows, from records with made-up predictions."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console

from benchmarks.errors import UserError
from reports import from_predictions
from reports.aggregate import build_tables
from reports.formats.long_csv import table_csv
from reports.formats.markdown import markdown
from reports.from_predictions import with_predictions
from reports.layout import marks, spread
from reports.report import write_report
from reports.table import Mark, Table
from results.schema import Record
from tests.reports.latex.articles import latex
from tests.results.factory import make_record

LABELS = np.repeat(np.arange(6), 50)
COUNTS = (300, 200, 50, 30, 10, 5)
IDS = np.array([f"image {i:03}" for i in range(300)])


class Study:
    """Runs that are right on the same hard or easy images but for `noise`."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.predictions: dict[str, dict[str, NDArray[Any]]] = {}

    def add(
        self, method: str, accuracy: float, seeds: int = 3, *, ids: Any = IDS, **changes: Any
    ) -> None:
        """Runs that are right on this share of each class, and on others for every seed."""
        for seed in range(seeds):
            draw = np.random.default_rng([seed, *method.encode()])
            ease = np.tile(np.linspace(0, 1, 50), 6) + draw.normal(0, 0.05, 300)
            right = np.zeros(300, dtype=bool)
            for c in range(6):
                own = np.flatnonzero(c == LABELS)
                right[own[np.argsort(ease[own])[: round(50 * accuracy)]]] = True
            right ^= draw.random(300) < 0.02
            values = [float(100 * right[c == LABELS].mean()) for c in range(6)]
            record = make_record(
                method, seed, overall=float(np.mean(values)), per_class=values, counts=COUNTS,
                **changes,
            )  # fmt: skip
            top = np.tile(np.arange(5), (300, 1))
            top[:, 0] = np.where(right, LABELS, (LABELS + 1) % 6)
            self.records.append(record)
            self.predictions[record.key] = {"ids": ids, "labels": LABELS, "top5": top}

    def read(self, record: Record) -> Mapping[str, NDArray[Any]]:
        if record.key not in self.predictions:
            raise UserError("No predictions.")
        return self.predictions[record.key]

    def table(self) -> Table:
        (table,) = with_predictions(build_tables(self.records, allow_mixed=True), self.read)
        return table


def marked(table: Table, metric: str = "overall") -> dict[str, Mark | None]:
    return dict(zip([row.label for row in table.rows], marks(table, metric), strict=True))


def untested(table: Table) -> list[str]:
    return [line for line in table.footnotes if line.startswith("Not tested")]


def two_tiers() -> Study:
    """a and b are alike, c and d are alike and far worse, e is the worst."""
    study = Study()
    for method, accuracy in (("a", 0.8), ("b", 0.8), ("c", 0.6), ("d", 0.6), ("e", 0.3)):
        study.add(method, accuracy)
    return study


def test_rows_that_are_not_shown_to_be_worse_share_the_mark_of_the_best() -> None:
    table = two_tiers().table()
    expected = {"a": "best", "b": "best", "c": "second", "d": "second", "e": None}
    for metric in ("overall", "many", "medium", "few", "balanced"):
        assert marked(table, metric) == expected
    means = {row.label: row.values["overall"].mean for row in table.rows}
    assert means["a"] != means["b"] and means["c"] != means["d"]
    assert untested(table) == []


def test_single_runs_are_marked_only_if_their_mean_is_best() -> None:
    study = two_tiers()
    study.add("low", 0.7, seeds=1)
    table = study.table()
    assert marked(table)["low"] is None
    assert untested(table) == ["Not tested, and marked only where the mean is best: low (one run)."]
    study.add("high", 0.95, seeds=1)
    found = marked(study.table())
    assert (found["high"], found["a"], found["b"], found["c"]) == ("best", "best", "best", "second")


def test_a_row_with_nothing_random_is_tested_with_its_one_run() -> None:
    study = two_tiers()
    study.add("fixed", 0.8, seeds=1, deterministic=True)
    table = study.table()
    assert marked(table)["fixed"] == "best"
    assert untested(table) == []


def test_rows_without_predictions_are_named() -> None:
    study = two_tiers()
    for record in study.records:
        if record.method == "b" and record.seed == 1:
            del study.predictions[record.key]
    table = study.table()
    assert marked(table)["b"] in (None, "best")
    assert untested(table) == [
        "Not tested, and marked only where the mean is best: b (no readable predictions of the "
        "same images)."
    ]


def test_rows_of_other_images_are_named() -> None:
    study = two_tiers()
    study.add("other", 0.75, ids=np.char.add(IDS, "x"))
    table = study.table()
    assert marked(table)["other"] is None
    assert untested(table) == [
        "Not tested, and marked only where the mean is best: other (no runs to pair with those "
        "of the best row)."
    ]


def test_without_predictions_the_order_of_means_is_marked_and_called_untested() -> None:
    study = two_tiers()
    (plain,) = build_tables(study.records)
    study.predictions.clear()
    table = study.table()
    assert table == plain
    assert sorted(filter(None, marked(table).values())) == ["best", "second"]
    for text in (markdown(table), latex(table)):
        assert "not tested, so the order may be chance." in text


def test_an_empty_group_has_no_mark() -> None:
    study = Study()
    for method in ("a", "b"):
        study.add(method, 0.8)
    study.records = [
        make_record(
            r.method, r.seed, counts=(300, 200, 50, 30, 25, 25), key=r.key,
            per_class=r.metrics.per_class, overall=r.metrics.overall,
        )
        for r in study.records
        if r.metrics is not None
    ]  # fmt: skip
    table = study.table()
    assert set(marked(table, "few").values()) == {None}
    assert set(marked(table).values()) == {"best"}


def test_a_row_with_nothing_random_has_an_interval_over_test_images() -> None:
    study = Study()
    study.add("fixed", 0.8, seeds=1, deterministic=True)
    study.add("once", 0.7, seeds=1)
    study.add("lift", 0.6)
    table = study.table()
    rows = {row.label: row for row in table.rows}
    low, high = rows["fixed"].intervals["overall"]
    assert rows["fixed"].done[0].metrics is not None
    mean, by_class = rows["fixed"].values["overall"].mean, rows["fixed"].done[0].metrics.per_class
    # Six classes of equal weight with 50 test images each. One image more is taken to have turned,
    # and the quantile is that of t, so it is wider by a little.
    variance = sum(value * (100 - value) / 49 / 36 for value in by_class if value is not None)
    assert mean == pytest.approx((low + high) / 2)
    assert 1.0 <= (high - low) / (2 * 1.96 * np.sqrt(variance)) < 1.1
    assert rows["once"].intervals == {}
    (line,) = [line for line in table.footnotes if line.startswith("95 % intervals")]
    assert f"fixed {low:.1f} to {high:.1f}." in line
    assert "lift" in line and "once" not in line
    written = {
        (line["variant"], line["metric"]): (line["low"], line["high"])
        for line in csv.DictReader(io.StringIO(table_csv(table)))
    }
    assert tuple(map(float, written["fixed", "overall"])) == pytest.approx((low, high))
    assert written["once", "overall"] == written["fixed", "ece"] == ("", "")


def test_intervals_of_many_rows_are_in_the_csv_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(from_predictions, "_NAMED", 4)
    footnotes = two_tiers().table().footnotes
    assert (
        "The CSV file has 95 % intervals of the rows over test images and, where there are "
        "several, runs." in footnotes
    )


def test_one_row_has_an_interval_and_no_test() -> None:
    study = Study()
    study.add("a", 0.8)
    study.add("b", 0.6, seeds=1)
    table = study.table()
    assert table.tested is None
    assert untested(table) == []
    assert marked(table) == {"a": "best", "b": "second"}
    assert set(table.rows[1].intervals) == {"overall", "many", "medium", "few", "balanced"}


def test_the_best_rows_are_tested_if_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(from_predictions, "MOST_ROWS", 3)
    table = two_tiers().table()
    found = marked(table)
    assert (found["a"], found["b"], found["e"]) == ("best", "best", None)
    (line,) = untested(table)
    assert "not among the 3 best rows that can be tested" in line and "e" in line


def test_the_runs_that_a_table_reads_are_limited(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(from_predictions, "MOST_RUNS", 14)
    study = two_tiers()
    read: list[str] = []

    def reading(record: Record) -> Mapping[str, NDArray[Any]]:
        read.append(record.key)
        return study.read(record)

    (table,) = with_predictions(build_tables(study.records), reading)
    assert len(read) == 12
    assert "e (not among the 4 best rows" in untested(table)[0]


def test_every_format_says_what_the_marks_mean(tmp_path: Path) -> None:
    study = two_tiers()
    console = Console(file=io.StringIO(), width=100)
    write_report(study.records, tmp_path, read=study.read, console=console)
    said = "the rows of a column that may be the best, by paired tests against the best mean"
    for text in (
        (tmp_path / "glyphs100_lt__glyph.md").read_text(encoding="utf-8"),
        (tmp_path / "glyphs100_lt__glyph.tex").read_text(encoding="utf-8"),
        " ".join(console.file.getvalue().split()),
    ):
        assert said in text and "among them with a probability of 0.95," in text
    text = (tmp_path / "glyphs100_lt__glyph.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert [row.count("**") for row in rows] == [0, 0, 0, 10, 10]
    assert [row.count("<u>") for row in rows] == [0, 5, 5, 0, 0]


def test_the_interval_of_a_row_with_nothing_random_stands_in_its_cell() -> None:
    study = Study()
    study.add("fixed", 0.8, seeds=1, deterministic=True)
    study.add("perfect", 1.0, seeds=1, deterministic=True)
    study.add("once", 0.7, seeds=1)
    study.add("lift", 0.6)
    bare = build_tables(study.records)[0]
    assert {spread(row, "overall")[:1] for row in bare.rows} == {"", "±"}
    assert "No ± " not in bare.caption and "no ± where nothing is random (" in bare.caption
    table = study.table()
    rows = {row.label: row for row in table.rows}
    low, high = rows["fixed"].intervals["overall"]
    assert spread(rows["fixed"], "overall") == f"(±{(high - low) / 2:.1f})"
    assert spread(rows["fixed"], "ece") == spread(rows["once"], "overall") == ""
    assert spread(rows["lift"], "overall").startswith("± ")
    said = "in brackets: half of the 95 % interval over test images, or its ends, where nothing is"
    assert f"{said} random (fixed, perfect)" in table.caption
    assert "no ± for a single run (once)" in table.caption
    assert "no ± where" not in table.caption
    assert f"{rows['fixed'].values['overall'].mean:.1f} (±" in markdown(table)


def test_an_interval_that_ends_at_a_limit_has_both_ends() -> None:
    study = Study()
    study.add("fixed", 0.8, seeds=1, deterministic=True)
    table = study.table()
    row = dataclasses.replace(table.rows[0], intervals={"overall": (0.0, 90.0)})
    assert spread(row, "overall") == "(0.0 to 90.0)"
    random = dataclasses.replace(row.done[0], deterministic=False)
    assert spread(dataclasses.replace(row, done=(random,)), "overall") == ""
