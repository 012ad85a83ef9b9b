"""Reports with groups of classes that the user names, from made-up records and predictions."""

from __future__ import annotations

import csv
import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from benchmarks.errors import UserError
from reports.aggregate import build_tables
from reports.figures.head_tail import head_tail
from reports.from_predictions import with_predictions
from reports.layout import columns, marks
from reports.report import write_report
from reports.settings import Settings, read_settings
from reports.table import Table
from reports.view import View
from tests.reports.test_from_predictions import Study
from tests.results.factory import failed_record, make_record

GROUPS = {"odd": [1, 3, 5], "even": [0, 2, 4]}


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "parity.yaml"
    lines = (f"{name}: [{', '.join(f'class {i}' for i in own)}]\n" for name, own in GROUPS.items())
    path.write_text("".join(lines), encoding="utf-8")
    return str(path)


def table_of(file: str) -> Table:
    study = Study()
    for method, accuracy in (("a", 0.8), ("b", 0.4)):
        study.add(method, accuracy)
    (table,) = with_predictions(build_tables(study.records, view=View(groups=file)), study.read)
    return table


def test_groups_are_columns_with_deviations_intervals_and_marks(file: str) -> None:
    table = table_of(file)
    shown = [column.head for column in columns(table)]
    assert shown[4:8] == ["balanced", "odd (3)", "even (3)", "params"]
    for row in table.rows:
        for name, members in GROUPS.items():
            runs = [np.mean([r.metrics.per_class[i] for i in members]) for r in row.done]
            summary = row.values[f"group:{name}"]
            assert summary.mean == pytest.approx(np.mean(runs))
            assert summary.std == pytest.approx(np.std(runs, ddof=1))
            low, high = row.intervals[f"group:{name}"]
            assert low < summary.mean < high and high - low > 1
    best = {
        row.label: mark for row, mark in zip(table.rows, marks(table, "group:odd"), strict=True)
    }
    assert best["a"] == "best" and best["b"] != "best"
    assert table.partition is not None
    assert f"groups of parity.yaml ({table.partition.digest[:8]}): odd, even" in table.caption


def test_a_group_has_the_interval_of_the_same_group_by_frequency(tmp_path: Path) -> None:
    """Classes 0 and 1 are the group many, so both have one value and one interval."""
    path = tmp_path / "as_many.csv"
    rows = [f"class {i},{'two' if i < 2 else 'rest'}" for i in range(6)]
    path.write_text("\n".join(["class,group", *rows]), encoding="utf-8")
    table = table_of(str(path))
    for row in table.rows:
        assert row.values["group:two"] == row.values["many"]
        assert row.intervals["group:two"] == pytest.approx(row.intervals["many"])
    assert marks(table, "group:two") == marks(table, "many")


def test_multi_label_groups_have_intervals(file: str) -> None:
    rng = np.random.default_rng(0)
    labels = (rng.uniform(size=(60, 6)) < 0.4).astype(np.int64)
    scores = (rng.normal(size=(60, 6)) + labels).astype(np.float32)
    values = [40.0, 50.0, 60.0, 70.0, 80.0, 90.0]
    record = make_record("lift", overall=65.0, per_class=values, task="multi", deterministic=True)
    arrays = {"ids": np.array([f"{i:02}" for i in range(60)]), "labels": labels, "scores": scores}
    (table,) = with_predictions(build_tables([record], view=View(groups=file)), lambda _: arrays)
    (row,) = table.rows
    assert row.values["group:odd"].mean == 70.0 and "group:odd" in row.intervals


def test_every_output_has_the_groups(file: str, tmp_path: Path) -> None:
    records = [make_record("a", seed, per_class=[90, 80, 70, 60, 50, None]) for seed in (0, 1)]
    console = Console(width=200, file=io.StringIO(), color_system=None)
    out = tmp_path / "report"
    settings = Settings(view=View(groups=file, columns=("overall", "few")))
    write_report([*records, failed_record("b")], out, console=console, settings=settings)
    assert isinstance(console.file, io.StringIO)
    for text in (
        console.file.getvalue(),
        (out / "glyphs100_lt__glyph.md").read_text("utf-8"),
        (out / "glyphs100_lt__glyph.tex").read_text("utf-8"),
        (out / "report.html").read_text("utf-8"),
    ):
        assert "odd" in text and "even" in text and "parity" in text
    lines = list(csv.DictReader(io.StringIO((out / "glyphs100_lt__glyph.csv").read_text("utf-8"))))
    means = {line["metric"]: line["mean"] for line in lines if line["method"] == "a"}
    assert float(means["group:even"]) == 70.0 and float(means["group:odd"]) == 70.0


def test_the_figure_has_a_second_axis(file: str, tmp_path: Path) -> None:
    plain = build_tables([make_record("a")])[0]
    named = build_tables([make_record("a")], view=View(groups=file))[0]
    figures = [head_tail(table) for table in (plain, named)]
    assert [len(figure.axes) for figure in figures if figure is not None] == [2, 3]
    strip = figures[1].axes[2]  # type: ignore[union-attr]
    found = {line.get_gid(): list(line.get_xdata()) for line in strip.lines}
    assert found["group odd"] == [2, 4, 6] and found["group even"] == [1, 3, 5]
    path = tmp_path / "f.csv"
    rows = [f"class {i},{10**i}" for i in range(6)]
    path.write_text("\n".join(["class,frequency", *rows]), encoding="utf-8")
    counted = build_tables([make_record("a")], view=View(groups=str(path)))[0]
    figure = head_tail(counted)
    assert figure is not None
    (line,) = [line for line in figure.axes[2].lines if line.get_gid() == "frequency"]
    assert list(line.get_ydata()) == [10.0**i for i in range(6)]


def test_the_second_axis_follows_the_ranks_of_the_classes(file: str) -> None:
    """Classes 5 and 3 have the most training images here, so they have ranks 1 and 2."""
    record = make_record("a", counts=(10, 5, 50, 200, 30, 300))
    figure = head_tail(build_tables([record], view=View(groups=file))[0])
    assert figure is not None
    found = {line.get_gid(): list(line.get_xdata()) for line in figure.axes[2].lines}
    assert found["group odd"] == [1, 2, 6] and found["group even"] == [3, 4, 5]


def test_the_partition_of_runs_is_shown_without_being_asked_for(file: str) -> None:
    named = ("even", "odd") * 3
    given = [
        make_record(
            method, groups_named=named, groups_order=("odd", "even"), partition="parity.yaml@12ab"
        )
        for method in ("a", "b")
    ]
    (table,) = build_tables(given)
    assert table.partition is not None and table.partition.title == "parity.yaml"
    assert list(table.named) == ["group:odd", "group:even"]
    (asked,) = build_tables(given, view=View(groups=file))
    assert [row.values for row in asked.rows] == [row.values for row in table.rows]
    (mixed,) = build_tables([given[0], make_record("c")])
    assert mixed.partition is None and not mixed.named


def test_records_of_other_classes_are_refused(file: str) -> None:
    one = make_record("a")
    other = dataclasses.replace(make_record("b"), class_names=("x",) * 6)
    with pytest.raises(UserError, match="have different classes"):
        build_tables([one, other], view=View(groups=file))
    nameless = dataclasses.replace(one, class_names=())
    with pytest.raises(UserError, match="do not name their classes"):
        build_tables([nameless], view=View(groups=file))


def test_a_rule_by_training_frequency_adds_nothing() -> None:
    assert read_settings({"groups": "thirds"}, {}, None).view.groups == ""
    assert read_settings({"groups": "coverage"}, {}, None).view.groups == "coverage"
    with pytest.raises(UserError, match="groups in --groups"):
        read_settings({"groups": "covrage"}, {}, None)
    (table,) = build_tables([failed_record("a")], view=View(groups="coverage"))
    assert table.partition is None
