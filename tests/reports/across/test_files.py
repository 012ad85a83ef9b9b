"""The report over several data sets: terminal, Markdown, CSV, diagram and files."""

from __future__ import annotations

import csv
import io
import warnings
from pathlib import Path

import pytest
from rich.console import Console

from reports.across import files
from reports.across.matrix import matrices
from reports.across.overview import overviews
from reports.across.study import Study, study
from reports.across.terminal import print_study
from reports.aggregate import build_tables
from reports.figures.diagram import diagram
from reports.latex.data_sets import pairs_sheet
from reports.report import write_report
from reports.settings import Settings
from reports.view import View
from results.schema import Record
from tests.reports.across.worlds import records, steps
from tests.results.factory import make_record

ACROSS = {"across.md", "across.tex", "across.csv", "across_pairs.csv"}


def of(found: list[Record], metric: str = "overall", rope: float | None = None) -> Study:
    (matrix,) = matrices(build_tables(found), metric)
    return study(matrix, rope)


def markdown(one: Study) -> str:
    return files.markdown([], [one])


def text_of(one: Study, width: int = 120) -> str:
    console = Console(file=io.StringIO(), width=width)
    print_study(one, console)
    return " ".join(console.file.getvalue().split())


def lines(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


# ---- statements ----------------------------------------------------------------------------------


def test_six_data_sets_show_a_difference_of_two_variants() -> None:
    found = of(records(steps(2, 6), noise=0.01))
    assert [one.line.label for one in found.ranked] == ["m1", "m0"]
    assert [one.rank for one in found.ranked] == [1.0, 2.0]
    assert found.best == {0}
    text = markdown(found)
    assert "| **1.00** |" in text and "**2.00**" not in text
    assert text.index("| `m0` | 47.5 |") < text.index("| `m1` | 49.5 |")
    assert "| m1 (A), m0 (B) | 1.00 | 0.031 | **0.031** |" in text
    sheet = pairs_sheet(found, "x")
    assert [line.label for line in sheet.lines] == ["m1 (A), m0 (B)"]
    assert [entry.mark for entry in sheet.lines[0].cells] == [None, None, "best"]
    assert sheet.lines[0].cells[2].text == "0.031"


def test_fewer_than_five_data_sets_make_no_test() -> None:
    found = of(records(steps(2, 4)), rope=1.0)
    assert found.tests is None and not found.best and diagram(found) is None
    text = markdown(found)
    assert "No test over data sets: 4 independent data sets, fewer than 5." in text
    assert "no test that could use the region of 1 points" in text
    assert "p, Holm" not in text and "equivalent" not in text
    assert {line["p_holm"] for line in lines(files.pairs_csv([found]))} == {""}
    five = of(records(steps(2, 5)))
    assert five.tests is not None and not five.best
    assert "no pair can be shown to differ: p is at least 0.062. 6 data sets" in text_of(five)


def test_settings_of_one_data_set_make_no_test() -> None:
    found = [
        make_record(m, dataset=f"cifar100_lt_ir{r}", dataset_config={"imbalance": r}, overall=v)
        for r in (2, 5, 10, 20, 50) for m, v in (("ncm", 40.0 + r), ("lift", 50.0))
    ]  # fmt: skip
    text = text_of(of(found))
    assert "5 columns are 1 independent data set (cifar100_lt)" in text
    assert "No test over data sets: 1 independent data set, fewer than 5." in text


def test_an_incomplete_variant_is_named_but_not_ranked() -> None:
    found = records(steps(2, 5)) + records({"lift": [90.0, 91.0]}) + records({"lmpt": [90.0, 91.0]})
    made = of(found)
    assert [one.line.label for one in made.ranked] == ["m1", "m0"]
    text = text_of(made)
    assert "Not ranked (not run on set2, set3, set4): lift, lmpt." in text
    assert "| `lift` |" not in markdown(made)


def test_one_variant_alone_is_not_tested() -> None:
    assert "No test: fewer than two variants" in text_of(of(records(steps(1, 6))))


def test_a_metric_that_is_better_when_lower_turns_ranks_around() -> None:
    found = [
        make_record(m, dataset=f"set{d}", dataset_config={}, metrics_ece=ece)
        for d in range(6) for m, ece in (("ncm", 3.0 + d), ("lift", 2.0 + d))
    ]  # fmt: skip
    made = of(found, "ece")
    assert [one.line.label for one in made.ranked] == ["lift", "ncm"]
    assert "lower is better" in text_of(made)
    assert made.pairs[0].improvement.value == pytest.approx(1.0)


def test_a_region_of_equivalence_adds_probabilities() -> None:
    close = records({"a": [50.0, 60, 70, 80, 55, 65], "b": [50.1, 60.1, 69.9, 80, 55, 65]})
    made = of(close, rope=2.0)
    (pair,) = made.pairs
    assert pair.posterior is not None and pair.posterior.equivalent > 0.95
    assert "| P(A better) | P(equivalent) | P(B better) |" in markdown(made)
    (line,) = lines(files.pairs_csv([made]))
    assert line["rope"] == "2.0" and float(line["equivalent"]) > 0.95


def test_the_table_has_intervals_over_runs() -> None:
    found = of(records(steps(2, 3), seeds=3))
    assert all(one.middle.low is not None for one in found.ranked)
    two = of(records(steps(2, 3), seeds=2))
    assert all(one.middle.low is None for one in two.ranked)
    assert "No interval for variants that draw at random with fewer than 3 runs." in text_of(two)


def test_cells_of_different_numbers_of_runs_are_said() -> None:
    found = records({"a": [50, 60]}, seeds=3) + records({"b": [40, 50]}, seeds=4)
    assert "Cells have 3 to 4 runs." in text_of(of(found))


# ---- formats -------------------------------------------------------------------------------------


HOSTILE = ("=1+1|`x`", "$\\frac{1}{$\n\x1b[31m数_" + "x" * 300)


def test_hostile_names_are_neutralised() -> None:
    found = [
        make_record("m", dataset=f"{HOSTILE[1]}{d}|*a*", dataset_config={}, config={"f": text},
                    backbone="=cmd|b", overall=50.0 + d + 5 * i, seed=seed)
        for d in range(6) for i, text in enumerate(HOSTILE) for seed in range(2)
    ]  # fmt: skip
    tables = build_tables(found)
    made = of(found)
    summary = overviews(tables, [made])
    text = files.markdown(summary, [made])
    rows = [line for line in text.splitlines() if line.startswith("| `m")]
    assert [row.replace(r"\|", "").count("|") for row in rows] == [10, 10, 5, 5]
    (pair,) = [line for line in text.splitlines() if " (A), " in line]
    assert pair.replace(r"\|", "").count("|") == 5
    for text in (files.csv(summary, [made]), files.pairs_csv([made])):
        assert "\x1b" not in text
        assert all(
            cell[:1] not in ("=", "+", "@") for line in lines(text) for cell in line.values()
        )
    assert "\x1b" not in text_of(made)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")
        figure = diagram(made)
        assert figure is not None
        figure.draw_without_rendering()


@pytest.mark.parametrize("variants", [2, 7, 30])
def test_a_diagram_joins_what_is_not_shown_to_differ(variants: int) -> None:
    figure = diagram(of(records(steps(variants, 7), seeds=1)))
    assert figure is not None
    (axes,) = figure.axes
    thick = [line for line in axes.lines if line.get_linewidth() == 2.5]
    # 2 variants can be shown to differ on 7 data sets; 7 cannot.
    assert len(thick) == (0 if variants == 2 else 1)
    assert len(axes.texts) == min(variants, 24)
    assert axes.texts[0].get_text() == f"m{variants - 1} 1.00"
    figure.draw_without_rendering()


# ---- files ---------------------------------------------------------------------------------------


def test_a_report_of_several_data_sets_has_files_over_them(tmp_path: Path) -> None:
    few = {file.name for file in write_report(records(steps(2, 2)), tmp_path / "few")}
    assert few >= ACROSS and not any(name.startswith("across__") for name in few)
    alone = {file.name for file in write_report(records(steps(2, 1)), tmp_path / "one")}
    assert not alone & ACROSS


def test_a_report_of_enough_data_sets_has_a_diagram(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for registry in ("TABLE_OUTPUTS", "TABLE_FIGURES"):
        monkeypatch.setattr(f"reports.report.{registry}", {})  # those take a second a table
    found = records(steps(2, 6), seeds=1)
    console = Console(file=io.StringIO(), width=200)
    settings = Settings(View(metric="balanced"), rope=0.5)
    made = write_report(found, tmp_path, console=console, settings=settings)
    names = {"across__glyph__single.png", "across__glyph__single.pdf"}
    assert {file.name for file in made if "across" in file.name} == ACROSS | names
    assert all(file.stat().st_size > 0 for file in made)
    assert "balanced over 6 data sets / glyph" in console.file.getvalue()
    assert "P(equivalent)" in (tmp_path / "across.md").read_text("utf-8")
