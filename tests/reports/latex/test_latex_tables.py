"""The text of LaTeX tables: what is in which cell, and where it goes on a page."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from benchmarks.errors import UserError
from reports.aggregate import build_tables
from reports.compare.families import judge
from reports.from_predictions import with_predictions
from reports.latex.files import comparisons_text, report_name, table_files
from reports.latex.floats import floats
from reports.latex.sheet import Column, Entry, Line, Sheet
from reports.latex.text import BREAK
from reports.latex.width import COLUMN, PAGE, read_width
from reports.settings import read_settings
from reports.table import Table
from tests.reports.compare.studies import everyone, study
from tests.reports.latex.articles import latex, rows
from tests.results.factory import failed_record, make_record

COUNTS = (300, 200, 50)


def small_table(*notes: str, **changes: object) -> Table:
    """zero_shot 40 (one run), ncm 50 ± 1.4, lift 60 ± 2.8, and a failure; no few-shot classes."""
    changes = {"counts": COUNTS, "notes": notes, **changes}
    records = [make_record("zero_shot", overall=40.0, deterministic=True, **changes)]
    for method, values in (("ncm", (49.0, 51.0)), ("lift", (58.0, 62.0))):
        records += [make_record(method, s, overall=v, **changes) for s, v in enumerate(values)]
    (table,) = build_tables([*records, failed_record("bad", error="100 % of <memory> | used")])
    return table


def test_cells_are_numbers_of_siunitx_and_marks_are_kept() -> None:
    text = latex(small_table())
    found = rows(text)
    assert found[0] == ["method", "overall", "many", "medium", "few", "params", "fit"]
    assert found[1] == ["", "", "(2)", "(1)", "(0)", "", ""]
    by_label = {row[0]: row[1:] for row in found}
    assert by_label["lift"][:2] == ["best 60.0", r"$\pm$ 2.8"]
    assert by_label["ncm"][:2] == ["50.0 second", r"$\pm$ 1.4"]
    assert by_label["zero\\_shot"][:2] == ["40.0", ""]
    assert by_label[r"bad~$\ddagger$"][:2] == ["--", ""]
    assert text.count("S[table-format=2.1,") == 3
    assert text.replace(BREAK, "").count(r"100 \% of \textless{}memory\textgreater{}") == 1


def test_balanced_accuracy_has_a_column_where_it_is_another_number_or_asked_for() -> None:
    equal = latex(small_table())
    assert "balanced and overall accuracy are equal" in equal
    other = rows(latex(small_table(metrics_balanced=12.0)))[0]
    assert other[1:6] == ["overall", "many", "medium", "few", "balanced"]
    table = small_table()
    view = dataclasses.replace(table.view, columns=("balanced", "fit_s"))
    asked = latex(dataclasses.replace(table, view=view), COLUMN)
    assert rows(asked)[0] == ["method", "balanced", "fit"]
    assert "are equal" not in asked


def test_a_column_of_a_paper_has_no_costs_and_the_notes_know() -> None:
    sizes = iter((0, 5, 5, 5, 5))
    (table,) = build_tables(
        [
            make_record(method, cost_trainable_params=next(sizes), counts=COUNTS)
            for method in ("ncm", "lift", "sage")
        ]
    )
    page, column = latex(table), latex(table, COLUMN)
    assert rows(page)[0][-2:] == ["params", "fit"]
    assert "differ: see their column" in page
    assert rows(column)[0] == ["method", "overall", "many", "medium", "few"]
    assert "see their column" not in column and "differ: 0 to 5" in column


def test_places_are_environments_and_widths() -> None:
    notes = ["n" * 9]
    assert r"\begin{table*}[tp]" in latex(small_table(*notes))
    narrow = latex(small_table(*notes, *["note " * 9] * 2), COLUMN)
    assert r"\begin{table}[tp]" in narrow and "table*" not in narrow
    wide = read_width(7, "x")
    assert (wide.environment, wide.length, round(wide.points)) == ("table*", "7in", 506)
    assert read_width("3.25", "x").environment == "table"
    assert (read_width("column", "x"), read_width("page", "x")) == (COLUMN, PAGE)


@pytest.mark.parametrize("value", ["columns", "1", "13", "nan", "", True, [3]])
def test_other_widths_are_refused_in_one_line(value: object) -> None:
    with pytest.raises(UserError, match=r"^--latex-width .*: give column, page or a width"):
        read_settings({"latex_width": value}, {}, None)
    with pytest.raises(UserError, match=r"s.yaml, report, latex_width"):
        read_settings({}, {"latex_width": value}, Path("s.yaml"))
    assert read_settings({"latex_width": "column"}, {"latex_width": 3}, None).latex == COLUMN


def test_short_notes_are_in_the_float_and_long_ones_behind_it() -> None:
    short = latex(small_table("short"))
    assert short.index(r"\item") < short.index(r"\end{table*}")
    assert "Notes to Table" not in short
    long = latex(small_table(*(f"{i} {'long words ' * 20}" for i in range(9))))
    assert r"\item" not in long
    behind = long[long.index(r"\end{table*}") :]
    assert r"\textbf{Notes to Table~\ref{tab:report:stem}.}" in behind
    assert behind.count("long words") == 9 * 20


def sheet(rows: int, heads: int, label: str = "a label", **changes: object) -> Sheet:
    return Sheet(
        **{
            "name": "x", "title": "title", "caption": "caption", "stub": "method",
            "columns": tuple(Column(f"head {i}") for i in range(heads)),
            "lines": tuple(
                Line(f"{label} {i}", tuple(Entry(f"{i}.{c}", "± 0.5") for c in range(heads)))
                for i in range(rows)
            ),
            **changes,
        }
    )  # fmt: skip


def test_columns_without_room_are_panels_below_each_other() -> None:
    text = floats(sheet(2, 9), COLUMN, "r")
    heads = [row for row in rows(text) if row[0] == "method"]
    assert 1 < len(heads) < 9
    assert [head for row in heads for head in row[1:] if head] == [f"head {i}" for i in range(9)]
    values = [row for row in rows(text) if row[0] == "a label 1"]
    assert len(values) == len(heads)
    assert [c for row in values for c in row if c.startswith("1.")] == [f"1.{i}" for i in range(9)]
    assert len([row for row in rows(floats(sheet(2, 9), read_width(7, "x"), "r"))]) == 3


def test_rows_without_room_are_floats_that_refer_to_the_first() -> None:
    text = floats(sheet(150, 2), COLUMN, "r")
    parts = text.split(r"\begin{table}")[1:]
    assert len(parts) == 4
    found = [row[0] for part in parts for row in rows(part) if row[0] != "method"]
    assert found == [f"a label {i}" for i in range(150)]
    sizes = [len(rows(part)) for part in parts]
    assert max(sizes) - min(sizes) <= 3
    assert [r"\caption" in part for part in parts] == [True, False, False, False]
    assert text.count(r"\label") == 1
    assert text.count(r"Table~\ref{tab:r:x}, continued.") == 3


def test_ranks_below_accuracies_are_not_set_on_their_decimal_point() -> None:
    heads = tuple(Column(head) for head in ("overall", "many", "medium", "mean rank"))
    cells = (*(Entry(f"5{i}.5", "± 0.1") for i in range(3)), Entry("1.25"))
    narrow = read_width(2.0, "x")
    text = floats(sheet(0, 0, columns=heads, lines=(Line("word " * 5, cells),)), narrow, "r")
    assert [row[1:] for row in rows(text)] == [
        ["overall", "many"], ["50.5", r"$\pm$ 0.1", "51.5", r"$\pm$ 0.1"],
        ["medium", "mean rank"], ["52.5", r"$\pm$ 0.1", "1.25"],
    ]  # fmt: skip
    assert text.count("S[table-format=2.1,") == 2


def test_a_group_of_columns_has_a_head_and_a_rule() -> None:
    columns = (Column("a", group="set_1"), Column("b", group="set_1"), Column("mean"))
    text = floats(sheet(0, 0, columns=columns, lines=sheet(2, 3).lines), PAGE, "r")
    assert rows(text)[0][1:] == [r"set\_1", ""]
    assert r"\multicolumn{4}" in text.split(r"\\")[0]
    assert r"\cmidrule(lr){2-5}" in text


def test_comparisons_have_signs_and_intervals() -> None:
    family = judge([study().compare("sage", "lift")])
    assert "$\\uparrow$" in comparisons_text([family], "c", "r")
    family = judge(everyone()[0])
    text = comparisons_text([family], "c", "r")
    found = rows(text)
    assert found[0][:3] == ["A", "overall = balanced", "many (2)"]
    place = next(i for i, row in enumerate(found) if row[0] == "sage")
    comparison = family.members[-1].comparison
    interval = comparison.intervals["overall"]
    assert comparison.a == "sage"
    assert interval is not None
    assert found[place][1:3] == [f"+{interval.difference:.2f}", "="]
    assert found[place + 1][1] == rf"\scriptsize {{[}}+{interval.low:.2f}, +{interval.high:.2f}]"
    pairs = comparisons_text([family], "c", "r", pairs=True)
    assert pairs.count(r"\begin{table*}") == len(family.members)
    labels = re.findall(r"\\label\{(.*?)\}", pairs)
    assert labels == ["tab:r:c", "tab:r:c-2"]
    last = pairs[pairs.rindex(r"\begin{table*}") :]
    row = next(row for row in rows(last) if row[0] == "overall = balanced")
    assert row[1:3] == [f"{interval.a:.1f}", f"{interval.b:.1f}"]


def test_a_row_without_randomness_shows_its_interval() -> None:
    made = study()
    made.add("ncm", 0, 0.41, deterministic=True)
    (table,) = with_predictions([made.table()], made.predictions_of)
    text = latex(table)
    (row,) = (row for row in rows(text) if row[0] == "ncm")
    low, high = next(r.intervals["overall"] for r in table.rows if r.label == "ncm")
    assert f"{(high - low) / 2:.1f}" in row[2]


def test_labels_of_two_reports_differ(tmp_path: Path) -> None:
    table = small_table()
    labels = [
        re.findall(r"\\label\{(.*?)\}", "".join(table_files(table, "t", name).values()))
        for name in ("one", "two")
    ]
    assert labels == [["tab:one:t"], ["tab:two:t"]]
    assert report_name(tmp_path / "my run" / "report") == "my-run"
    assert report_name(tmp_path / "reports" / ".." / "out") == "out"
