"""Records, tables, comparisons and figures from Python."""

from __future__ import annotations

import dataclasses
import doctest
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import run_benchmarks
from benchmarks.errors import UserError
from benchmarks.sweep.fingerprints import fingerprint
from reports import api
from reports.api import compare, figures, load, table
from reports.figures.options import FigureOptions
from reports.figures.style import save
from reports.folders import stale_keys
from reports.from_predictions import with_predictions
from reports.grid import Grid, table_grid
from reports.layout import legend
from results.schema import Record
from results.store import Store
from tests.reports.compare.studies import Study, study
from tests.results.factory import failed_record, make_record, with_key

ROOT = Path(__file__).resolve().parents[2]


class Runs:
    """A folder with the records of a study, and the study with their keys."""

    def __init__(self, folder: Path, made: Study) -> None:
        self.folder, self.made = folder, Study()
        for record in made.records:
            kept = with_key(record) if record.status == "done" else record
            predictions = made.predictions.get(record.key)
            Store(folder).write(kept, predictions)
            self.made.records.append(kept)
            if predictions is not None:
                self.made.predictions[kept.key] = predictions

    def __getitem__(self, key: str) -> Record:
        return next(record for record in self.made.records if record.key == key)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Three seeds of sage and of two variants of lift, ncm, and a run of coop that failed.

    Only ncm has a fingerprint that the source of its method has.
    """
    made = study()
    for seed in range(3):
        made.add("lift", seed, 0.5, config={"lr": 0.5})
    made.add(
        "ncm", 0, 0.41, deterministic=True, config={}, notes=("one", "two"),
        provenance_fingerprint=fingerprint("ncm", {}),
    )  # fmt: skip
    made.records.append(failed_record("coop", error="out of memory"))
    return Runs(tmp_path_factory.mktemp("api") / "runs", made)


@pytest.mark.figures
@pytest.mark.filterwarnings("error")
def test_the_examples_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    failed, tried = doctest.testmod(api, optionflags=doctest.ELLIPSIS)
    assert tried >= 9 and not failed


@pytest.mark.figures
def test_the_example_of_the_guide_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    section = (ROOT / "docs" / "guide.md").read_text("utf-8").split("## From Python")[1]
    found: dict[str, Any] = {}
    exec(section.split("```python\n")[1].split("```")[0], found)
    assert len(found["classes"]) > len(found["records"]) > len(found["few"]) > 0
    assert len(found["few_seeds"].data) > 0 and len(found["drawn"]) > 0


# ---- load ----------------------------------------------------------------------------------------


def test_a_line_has_the_values_of_its_record_in_typed_columns(runs: Runs) -> None:
    frame = load(runs.folder)
    assert len(frame) == len(runs.made.records)
    for line in frame.to_dict("records"):
        record = runs[line["key"]]
        assert (line["method"], line["seed"], line["status"]) == (
            record.method, record.seed, record.status
        )  # fmt: skip
        assert line["config"] == record.config and line["notes"] == record.notes
        assert line["folder"] == str(runs.folder)
        if record.status == "done":
            assert line["metrics.few"] == record.metrics.few
            assert line["cost.trainable_params"] == record.cost.trainable_params
            assert line["provenance.dirty"] is False
    types = {"key": "string", "seed": "Int64", "metrics.few": "float64", "config": "object",
             "deterministic": "boolean", "cost.epochs": "Int64", "cost.fit_s": "float64",
             "tuning.trials": "Int64", "notes": "object", "stale": "boolean", "variant": "string",
             "schema_version": "Int64"}  # fmt: skip
    assert {name: str(frame[name].dtype) for name in types} == types
    assert not any("per_class" in name for name in frame)


def test_lines_are_in_the_order_of_data_sets_methods_and_seeds_or_of_a_frame(
    runs: Runs, several: Path
) -> None:
    frame = load(several, runs.folder)
    names = ["dataset", "method", "seed"]
    assert frame[names].equals(frame[names].sort_values(names, ignore_index=True))
    turned = frame.iloc[::-1]
    assert load(turned)["key"].tolist() == turned["key"].tolist()


def test_what_a_failed_run_lacks_is_missing(runs: Runs) -> None:
    frame = load(runs.folder)
    (line,) = frame[frame["status"] == "failed"].to_dict("records")
    assert line["error"] == "out of memory"
    assert np.isnan(line["metrics.overall"])
    for name in ("metrics.overall", "cost.epochs", "cost.fit_s", "selection.rule"):
        assert frame[name].count() == len(frame) - 1  # means leave it out


def test_variants_have_the_labels_of_their_table(runs: Runs) -> None:
    frame = load(runs.folder)
    labels = {row.label for row in runs.made.table().rows}
    assert set(frame["variant"]) == labels
    assert {"lift (lr=0.01)", "lift (lr=0.5)"} <= labels
    assert frame.groupby("variant").size()["lift (lr=0.5)"] == 3


def test_a_cell_in_two_folders_counts_once(runs: Runs, tmp_path: Path) -> None:
    record = next(r for r in runs.made.records if r.method == "sage")
    Store(tmp_path / "copy").write(record, runs.made.predictions[record.key])
    frame = load(runs.folder, tmp_path / "copy")
    assert len(frame) == len(runs.made.records)
    assert load(tmp_path / "copy")["folder"].tolist() == [str(tmp_path / "copy")]


def test_stale_records_are_marked(runs: Runs) -> None:
    frame = load(runs.folder)
    assert frame["stale"].tolist() == (frame["method"] != "ncm").tolist()


def test_the_long_form_has_a_line_for_each_class(runs: Runs) -> None:
    frame = load(runs.folder, by="class")
    done = [record for record in runs.made.records if record.status == "done"]
    assert len(frame) == 6 * len(done)
    for key, lines in frame.groupby("key"):
        record = runs[key]
        assert tuple(lines["value"]) == record.metrics.per_class
        assert tuple(lines["group"]) == record.groups.membership
        assert tuple(lines["train_images"]) == record.groups.train_counts
        assert tuple(lines["class_name"]) == record.class_names
        assert lines["class"].tolist() == list(range(6))
        assert set(lines["seed"]) == {record.seed}
    assert str(frame["value"].dtype) == "float64" and str(frame["class"].dtype) == "Int64"
    assert set(frame["variant"]) == set(load(runs.folder)["variant"]) - {"coop"}


def test_a_damaged_record_is_a_warning(runs: Runs, tmp_path: Path) -> None:
    record = runs.made.records[0]
    Store(tmp_path).write(record, runs.made.predictions[record.key])
    (tmp_path / "records" / "bad.json").write_text("{")
    with pytest.warns(UserWarning, match=r"Ignored: .*bad\.json: not JSON") as told:
        assert len(load(tmp_path)) == 1
    assert told[0].filename == __file__  # the caller's line


# ---- compare -------------------------------------------------------------------------------------


def test_a_comparison_has_the_numbers_of_its_intervals(runs: Runs) -> None:
    frame = compare(runs.folder, a="sage", b="lift (lr=0.5)", power=30)
    expected = runs.made.compare("sage", "lift (lr=0.5)")
    assert frame["metric"].tolist() == list(expected.intervals)
    for line in frame.to_dict("records"):
        interval = expected.intervals[line["metric"]]
        for name in ("difference", "low", "high", "se_images", "se_runs"):
            assert line[name] == pytest.approx(getattr(interval, name), rel=1e-9)
        assert (line["mean_a"], line["p"]) == (interval.a, interval.p_value())
        assert line["runs_needed"] > 1
        assert line["runs"] == dict(
            zip(expected.units, expected.differences[line["metric"]], strict=True)
        )
    types = {"a": "string", "p": "float64", "tests": "Int64", "equivalent": "boolean",
             "runs_needed": "Int64", "better": "string", "verdict": "string"}  # fmt: skip
    assert {name: str(frame[name].dtype) for name in types} == types
    assert frame["p_equivalent"].isna().all()


def test_every_row_is_compared_with_a_baseline(runs: Runs) -> None:
    with pytest.warns(UserWarning, match="Not compared: 'coop'"):
        frame = compare(runs.folder, against="sage", margin=60)
    assert set(frame["a"]) == {"lift (lr=0.01)", "lift (lr=0.5)", "ncm"}
    assert set(frame["b"]) == {"sage"} and frame["p_equivalent"].notna().any()


def test_lines_of_a_frame_choose_the_records(runs: Runs) -> None:
    frame = load(runs.folder)
    chosen = frame[(frame["seed"] < 2) & (frame["status"] == "done")]
    found = compare(chosen, a="sage", b="ncm")
    assert list(found["runs"][0]) == ["seed 0", "seed 1"]
    assert list(compare(frame, a="sage", b="ncm")["runs"][0]) == ["seed 0", "seed 1", "seed 2"]


def test_one_line_says_what_cannot_be_done(runs: Runs, tmp_path: Path) -> None:
    frame = load(runs.folder)
    gone = frame.assign(key=frame["key"].str.replace("a", "b"))
    for call, says in {
        lambda: load(): "Name a folder",
        lambda: load(tmp_path): "No records under",
        lambda: load(runs.folder, by="classes"): "write 'record' or 'class'",
        lambda: compare(frame.head(0), a="sage", b="lift"): "Name a folder",
        lambda: compare(frame[["key"]], a="sage", b="lift"): "columns 'key' and 'folder'",
        lambda: compare(gone, a="sage", b="lift"): r"load\(\) all folders again",
        lambda: compare(runs.folder, a="sage"): "a= and b=",
        lambda: compare(runs.folder, a="sage", b="lft"): "Unknown variant 'lft'",
        lambda: compare(runs.folder, a="sage", b="ncm", margin=-1): "margin: '-1' is not",
        lambda: compare(runs.folder, a="sage", b="ncm", datasets="x"): "Unknown data set",
    }.items():
        with pytest.raises(UserError, match=says):
            call()


# ---- table ---------------------------------------------------------------------------------------


class Shown(HTMLParser):
    """The visible parts of a Styler: heads, lines of cells with their marks, and the caption."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.heads: list[str] = []
        self.lines: list[list[tuple[str, str | None]]] = []
        self.caption, self.tags = "", set[str]()
        self._within = ""
        self._css = {}
        for places, css in re.findall(r"((?:#\w+, )*#\w+) \{\s*(font-weight|text-dec)", page):
            for place in places.split(", "):
                self._css[place[1:]] = {"font-weight": "best", "text-dec": "second"}[css]
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        known = {name: value or "" for name, value in attrs}
        if tag == "tr":
            self.lines.append([])
        elif tag == "td" or "row_heading" in known.get("class", ""):
            self.lines[-1].append(("", self._css.get(known["id"])))
            self._within = "td"
        elif "col_heading" in known.get("class", ""):
            self.heads.append("")
            self._within = "head"
        else:
            self._within = "caption" if tag == "br" else tag

    def handle_endtag(self, tag: str) -> None:
        self._within = ""

    def handle_data(self, data: str) -> None:
        if self._within == "td":
            self.lines[-1][-1] = (self.lines[-1][-1][0] + data, self.lines[-1][-1][1])
        elif self._within == "head":
            self.heads[-1] += data
        elif self._within == "caption":
            self.caption += f"{data}\n"


def seen(grid: Grid) -> list[list[tuple[str, str | None]]]:
    """The cells that the page of a grid should have: of each column the values, and what follows
    them if anything follows one."""
    wide = [any(own[place].after for _, own in grid.lines) for place in range(len(grid.columns))]
    lines = []
    for head, own in grid.lines:
        lines.append([(head.on_one_line, None)])
        for cell, several in zip(own, wide, strict=True):
            lines[-1] += [(cell.value, cell.mark), (cell.after, cell.mark)][: 1 + several]
    return lines


def test_a_table_has_the_numbers_and_prints_what_reports_print(runs: Runs) -> None:
    styler = table(runs.folder)
    stale = stale_keys(runs.made.records)
    (expected,) = with_predictions([runs.made.table(stale=stale)], runs.made.predictions_of)
    assert styler.data.index.tolist() == [row.label for row in expected.rows]
    for row in expected.rows:
        for key in ("overall", "few", "fit_s"):
            summary, (low, high) = row.values[key], row.intervals.get(key, (None, None))
            line = styler.data.loc[row.label, key].to_dict()
            found = {"mean": summary.mean, "std": summary.std, "low": low, "high": high}
            assert {n: v for n, v in line.items() if not np.isnan(v)} == {
                name: value for name, value in found.items() if value is not None
            }
    page, grid = Shown(styler.to_html()), table_grid(expected)
    assert [line for line in page.lines if line] == seen(grid)
    assert page.heads == [head.on_one_line for head in grid.columns]
    assert any("(±" in text or " to " in text for line in page.lines for text, _ in line)  # ncm
    for line in (expected.caption, legend(expected, "bold", "underlined"), *expected.footnotes):
        assert line in page.caption


def test_the_order_of_lines_of_a_frame_is_that_of_the_rows(runs: Runs) -> None:
    frame = load(runs.folder).sort_values(["method", "variant"], ascending=False)
    assert table(frame, sort="asked").data.index.tolist() == list(frame["variant"].unique())
    some = table(runs.folder, methods="ncm,sage", columns=["few", "fit"], sort="asked")
    assert some.data.index.tolist() == ["ncm", "sage"]
    assert some.data.columns.get_level_values("metric").unique().tolist() == ["few", "fit_s"]


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two methods on data of one label and on data of several, ncm on the former alone."""
    folder = tmp_path_factory.mktemp("several")
    for task, dataset in (("single", "glyphs100_lt"), ("multi", "glyphscenes_lt")):
        for method, overall in (("lift", 60.0), ("sage", 50.0), ("ncm", 40.0)):
            for seed in (0, 1):
                if (method, task) != ("ncm", "multi"):
                    record = make_record(method, seed, overall=overall + seed, dataset=dataset)
                    Store(folder).write(with_key(dataclasses.replace(record, task=task)), {})
    return folder


def test_several_data_sets_are_columns_of_one_table(several: Path) -> None:
    styler = table(several, columns="overall,few")
    data = styler.data
    assert data.columns.names == ["data set", "metric", "statistic"]
    assert data.index.tolist() == ["sage", "lift", "ncm"]
    assert data["glyphs100_lt", "overall", "mean"].tolist() == [50.5, 60.5, 40.5]
    assert data["glyphscenes_lt", "few", "mean"].isna().tolist() == [False, False, True]
    assert data["all", "mean_rank", "mean"].tolist()[:2] == [2.0, 1.0]
    page = Shown(styler.to_html())
    assert page.heads == ["glyphs100_lt", "glyphscenes_lt", "", "overall", "few (2)", "mAP",
                          "few (2)", "mean rank"]  # fmt: skip
    ncm = next(line for line in page.lines if line and line[0][0].startswith("ncm"))
    assert [text for text, _ in ncm][1:] == [
        "40.5",
        "± 0.7",
        "40.5",
        "± 0.7",
        "–",
        "",
        "–",
        "",
        "–",
    ]
    assert "Not run on glyphscenes_lt" in page.caption
    one = table(several, datasets="glyphscenes_lt").data
    assert one.columns.names == ["metric", "statistic"] and len(one) == 2


def test_names_that_are_printed_are_text(runs: Runs) -> None:
    names = {"sage": "<b>S&B</b>", "glyphs100_lt": "<script>alert(1)</script>"}
    page = Shown(table(runs.folder, names=names).to_html())
    assert page.tags <= {"style", "table", "caption", "br", "thead", "tbody", "tr", "th", "td"}
    assert any(line[0][0].startswith("<b>S&B</b>") for line in page.lines if line)
    assert "<script>alert(1)</script>" in page.caption


def test_one_line_says_which_table_cannot_be_made(
    runs: Runs, several: Path, tmp_path: Path
) -> None:
    other = with_key(make_record(backbone="other", provenance_weights_id="other-1"))
    Store(tmp_path).write(other, {})
    failed = with_key(make_record(dataset="cifar100_lt", status="failed", error="boom"))
    Store(tmp_path / "failed").write(failed, None)
    for call, says in {
        lambda: table(runs.folder, tmp_path): "Unknown backbone of these records ''. Known: glyph",
        lambda: table(runs.folder, columns="few,fw"): "Unknown column in columns 'fw'",
        lambda: table(runs.folder, methods="lft"): "Unknown method of these records 'lft'",
        lambda: table(runs.folder, tmp_path / "failed"): "Fewer than two data sets have results",
    }.items():
        with pytest.raises(UserError, match=says):
            call()
    assert table(runs.folder, tmp_path, backbone="other").data.index.tolist() == ["lift"]


# ---- figures -------------------------------------------------------------------------------------


@pytest.mark.figures
def test_figures_are_those_of_a_report(runs: Runs, tmp_path: Path) -> None:
    drawn = figures(runs.folder, width=4, highlight="sage")
    report = ["report", str(runs.folder), "--out", str(tmp_path), "--figure-width", "4"]
    assert run_benchmarks.main([*report, "--format", "png", "--highlight", "sage"]) == 0
    assert set(drawn) == {file.stem for file in tmp_path.glob("*.png")}
    assert {"glyphs100_lt__glyph__head_tail", "glyphs100_lt__glyph__groups"} <= set(drawn)
    for name, figure in drawn.items():
        assert figure.get_figwidth() == 4
        (again,) = save(figure, tmp_path / "again", FigureOptions(width=4, formats=("png",)))
        assert again.read_bytes() == (tmp_path / f"{name}.png").read_bytes()


def test_one_line_says_which_figures_cannot_be_drawn(runs: Runs) -> None:
    for call, says in {
        lambda: figures(runs.folder, width=0): "width: '0' is not a number of inches",
        lambda: figures(runs.folder, highlight="lft"): "Unknown row to highlight 'lft'",
        lambda: figures(runs.folder, style="gone.mplstyle"): "gone.mplstyle",
        lambda: figures(runs.folder, datasets=["x"]): "Unknown data set of these records 'x'",
    }.items():
        with pytest.raises(UserError, match=says):
            call()
