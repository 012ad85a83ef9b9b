"""Every kind of LaTeX table is compiled, in one and in two columns, and nothing sticks out."""

from __future__ import annotations

import dataclasses
from functools import cache
from pathlib import Path

import pytest

from reports.across.matrix import matrices
from reports.across.overview import overviews
from reports.across.study import study as study_of
from reports.aggregate import build_tables
from reports.compare.families import Asked, Family, judge
from reports.from_predictions import with_predictions
from reports.latex.files import across_text, comparisons_text, table_files
from reports.latex.width import COLUMN, PAGE, Width, read_width
from reports.table import PublishedValue, PublishedValues, Summary, Table
from tests.reports.across.worlds import records as over_data_sets
from tests.reports.across.worlds import steps
from tests.reports.compare.studies import everyone, study
from tests.reports.latex.articles import TWO_COLUMNS, faults, latex, log_of
from tests.results.factory import failed_record, fake_study, make_record

NAMES = (
    "a_b % c & d # e $ f ~ g ^ h \\ i { j }", "n" * 60, "under_scores_" * 5, "[2cm] begins", "* y",
    "naïve Ångström Łódź 数据 Ωmega λ 👩‍👧 ½ x²", "x" * 5000, "--- '' ?` \" < > |",
    "long words with spaces " * 30, "UPPERCASEWITHOUTANYPLACETOBREAKINALINEOFACOLUMN" * 3,
)  # fmt: skip


@cache
def tables() -> dict[str, Table]:
    """Tables of every form, by name."""
    (plain,) = build_tables(fake_study(6, 20))
    (single,) = build_tables([make_record("lift"), make_record("sage", overall=100.0)])
    (multi,) = build_tables(fake_study(5, 20, task="multi"))
    many = [
        make_record(m, config={"text": "both", "lr": i / 7}, overall=40.0 + i / 2, notes=(m,))
        for m in ("logit_adjustment", "tip_adapter")
        for i in range(13)
    ]
    (long,) = build_tables(many)
    hostile = [
        make_record("m", config={"f": text}, notes=(text,), dataset="d_" * 40 + "& {%",
                    backbone="local-dir:" + "\\x^~#$" * 9, remark=text, key=f"{i}")
        for i, text in enumerate(NAMES)
    ]  # fmt: skip
    where = {"dataset": hostile[0].dataset, "backbone": hostile[0].backbone}
    hostile += [failed_record(f"f{i}", error=text, **where) for i, text in enumerate(NAMES)]
    (nasty,) = build_tables(hostile, allow_mixed=True)
    predicted = study()
    predicted.add("ncm", 0, 0.41, deterministic=True)
    (tested,) = with_predictions([predicted.table()], predicted.predictions_of)
    values = [
        PublishedValue(
            row.label, row.name, metric, "single", value, Summary(ours, std, 3), 0.3, f"{n} §1"
        )
        for row, ours, std in zip(plain.rows, (66.5, 70.12, None), (None, 0.31, None), strict=False)
        for metric, value, n in (
            ("overall", 66.91, "A paper"),
            ("few", 7.2, "Another: " + "x_" * 50),
        )
    ]
    published = PublishedValues(tuple(values), ("not run here: LMPT 66.2",) * 9, ("sage (a)",))
    return {
        "plain": dataclasses.replace(plain, published=published),
        "single": dataclasses.replace(single, published=PublishedValues((), ("other: x",))),
        "multi": multi, "long": long, "hostile": nasty, "tested": tested,
    }  # fmt: skip


@cache
def comparisons() -> list[Family]:
    """All against one, and one pair."""
    found = everyone()[0]
    return [judge(found), judge(found[:1], Asked(1.0))]


def files(width: Width, report: str) -> dict[str, str]:
    """The text of every kind of file, by name."""
    found: dict[str, str] = {}
    for name, table in tables().items():
        found |= table_files(table, name, report, width)
    for name, sets in (("across", 2), ("wide", 6)):
        values = over_data_sets(steps(4, sets))
        values = [dataclasses.replace(r, dataset=f"cifar100_lt_{r.dataset} (profile=step)")
                  for r in values]  # fmt: skip
        made = build_tables(values)
        studies = [study_of(matrix) for matrix in matrices(made, "")]
        text = across_text(
            overviews(made, studies), studies, [f"{name}-study"], f"{report}-{name}", width
        )
        found[f"{name}.tex"] = text
    for pairs in (False, True):
        name = f"compare{pairs}"
        found[f"{name}.tex"] = comparisons_text(comparisons(), name, report, width, pairs=pairs)
    return {f"{report}-{name}": text for name, text in found.items()}


@pytest.fixture(scope="module")
def two_columns(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("two")
    return log_of(folder, files(COLUMN, "column") | files(PAGE, "page"))


def test_every_table_fits_into_a_two_column_article(two_columns: str) -> None:
    assert not faults(two_columns)


@pytest.mark.slow
@pytest.mark.parametrize("program", ["xelatex", "lualatex"])
def test_every_table_fits_with_the_newer_programs(program: str, tmp_path: Path) -> None:
    assert not faults(log_of(tmp_path, files(COLUMN, "column"), program=program))


@pytest.mark.slow
def test_every_table_fits_into_an_article_with_one_column(tmp_path: Path) -> None:
    inputs = files(PAGE, "page") | files(read_width("3.2", "--latex-width"), "narrow")
    assert not faults(log_of(tmp_path, inputs, r"\documentclass{article}"))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (r"\noindent\rule{\textwidth}{1pt}\rule{9pt}{1pt}", "Overfull"),
        (r"\begin{table}[tp]\rule{1pt}{\textheight}\rule{1pt}{9pt}\caption{x}\end{table}", "Float"),
        (r"\section{x}\label{x}\section{y}\label{x}", "multiply"),
    ],
)
def test_the_article_shows_what_does_not_fit(text: str, fault: str, tmp_path: Path) -> None:
    found = faults(log_of(tmp_path, {"x.tex": text}, TWO_COLUMNS))
    assert any(fault in line for line in found)


def test_two_reports_of_the_same_data_have_different_labels() -> None:
    (table,) = build_tables(fake_study(3, 20))
    assert "tab:one:glyphs100_lt__glyph" in "".join(
        table_files(table, "glyphs100_lt__glyph", "one").values()
    )
    assert latex(table) != "".join(table_files(table, "stem", "other").values())
