from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from typing import Any

import pytest
from rich.console import Console

from benchmarks.metrics import METRICS
from reports.aggregate import build_tables
from reports.formats.long_csv import table_csv
from reports.formats.markdown import markdown
from reports.layout import columns, cost, marks, number, spread
from reports.records_table import records_csv
from reports.table import Mark, Summary, Table
from reports.terminal import print_table
from results.schema import Record
from tests.reports.latex.articles import latex
from tests.results.factory import failed_record, fake_study, make_record


def one_table(records: Sequence[Record], **options: Any) -> Table:
    (table,) = build_tables(records, **options)
    return table


def small_table() -> Table:
    """zero_shot 40 (one run), ncm 50 ± 1.4, lift 60 ± 2.8, and a failure; no few-shot classes."""
    counts = (300, 200, 50)
    records = [make_record("zero_shot", overall=40.0, deterministic=True, counts=counts)]
    for method, values in (("ncm", (49.0, 51.0)), ("lift", (58.0, 62.0))):
        records += [
            make_record(method, s, overall=v, counts=counts, cost_fit_s=90.0)
            for s, v in enumerate(values)
        ]
    return one_table([*records, failed_record("sage_x", error="100 % of <memory> & [disk] | used")])


def printed(table: Table, width: int) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    print_table(table, console)
    return console.file.getvalue()


# ---- marks and numbers -------------------------------------------------------------------------


def marks_of(*means: float | None) -> list[Mark | None]:
    table = one_table([make_record(f"m{i}", overall=mean) for i, mean in enumerate(means)])
    found = dict(zip([row.label for row in table.rows], marks(table, "overall"), strict=True))
    return [found[f"m{i}"] for i in range(len(means))]


def test_best_and_second() -> None:
    assert marks_of(50.0, 70.0, 60.0) == [None, "best", "second"]


def test_rows_that_print_the_same_number_share_a_mark() -> None:
    assert marks_of(70.04, 70.01, 69.9, 69.0) == ["best", "best", "second", None]
    assert marks_of(70.0, 69.94, 69.86) == ["best", "second", "second"]


def test_the_order_is_that_of_unrounded_means() -> None:
    assert marks_of(70.06, 70.04) == ["best", "second"]


def test_a_single_value_gets_no_mark() -> None:
    assert marks_of(70.0) == [None]
    assert marks_of(70.0, None) == [None, None]


def test_a_value_that_is_missing_gets_no_mark() -> None:
    assert marks_of(70.0, None, 60.0) == ["best", None, "second"]


def test_the_lowest_is_best_where_lower_is_better() -> None:
    errors = {"a": 3.0, "b": 20.0, "c": 4.5}
    table = one_table([make_record(m, metrics_ece=value) for m, value in errors.items()])
    found = dict(zip([row.label for row in table.rows], marks(table, "ece"), strict=True))
    assert found == {"a": "best", "c": "second", "b": None}


def test_numbers_have_one_decimal() -> None:
    assert [number(value) for value in (53.04, 0.0, None)] == ["53.0", "0.0", "–"]
    (row,) = one_table([make_record(seed=s, overall=v) for s, v in enumerate((50.0, 54.6))]).rows
    assert spread(row, "overall") == "± 3.3"
    (single,) = one_table([make_record()]).rows
    assert spread(single, "overall") == ""


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("trainable_params", 0, "0"),
        ("trainable_params", 999, "999"),
        ("trainable_params", 65_536, "65.5k"),
        ("trainable_params", 999_999, "1.0M"),
        ("trainable_params", 149_620_737, "150M"),
        ("fit_s", 0.04, "0.0 s"),
        ("fit_s", 59.96, "60.0 s"),
        ("fit_s", 99.94, "99.9 s"),
        ("fit_s", 99.96, "100 s"),
        ("fit_s", 36_000, "36,000 s"),
        ("fit_s", None, "–"),
    ],
)
def test_costs(key: str, value: float | None, text: str) -> None:
    assert cost(key, Summary(value, None, 1)) == text


def test_multi_label_tables_have_one_column_for_the_whole() -> None:
    table = one_table([make_record(task="multi", metrics_balanced=None)])
    titles = ["mAP", "many", "medium", "few", "params", "fit"]
    assert [column.title for column in columns(table)] == titles


# ---- terminal ----------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [80, 120])
def test_the_terminal_table_fits_and_is_complete(width: int) -> None:
    study = [*fake_study(8, 100, 3), failed_record("tip_adapter")]
    text = printed(one_table(study), width)
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in text
    (row,) = (line for line in lines if line.startswith(" logit_adjustment"))
    joint = " ± " if width == 120 else "±"
    assert len(re.findall(rf"\d\d\.\d{joint}\d\.\d", row)) == 5
    (row,) = (line for line in lines if line.startswith(" zero_shot"))
    assert "±" not in row
    assert "(35)" in text
    assert "tip_adapter ‡: 1 of 1 runs failed (seed 0): boom" in text
    assert "standard deviation" in " ".join(text.split())


def test_decimal_points_of_a_column_are_aligned() -> None:
    lines = printed(small_table(), 120).splitlines()
    places = {line.index(".") for line in lines if re.match(r" (zero_shot|ncm|lift) ", line)}
    assert len(places) == 1


def test_an_empty_group_prints_a_dash() -> None:
    lines = printed(small_table(), 120).splitlines()
    (row,) = (line.split() for line in lines if line.startswith(" ncm "))
    assert row == [
        "ncm",
        *["50.0", "±", "1.4"] * 3,
        "–",
        *["50.0", "±", "1.4"],
        "65.0k",
        "90.0",
        "s",
    ]


def test_best_is_bold_and_second_underlined_in_the_terminal() -> None:
    console = Console(width=120, file=io.StringIO(), force_terminal=True, color_system="standard")
    print_table(small_table(), console)
    text = console.file.getvalue()
    assert "\x1b[1m60.0 ± 2.8" in text
    assert "\x1b[4m50.0 ± 1.4" in text


def test_brackets_in_messages_are_not_read_as_styles() -> None:
    assert "<memory> & [disk] | used" in printed(small_table(), 120)


# ---- Markdown and LaTeX ------------------------------------------------------------------------


def test_markdown() -> None:
    text = markdown(small_table())
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert rows[0] == (
        "| method | overall | many (2) | medium (1) | few (0) | balanced | params | fit |"
    )
    assert rows[2] == ("| `zero_shot` | 40.0 | 40.0 | 40.0 | – | 40.0 | 65.0k | 12.5 s |")
    assert rows[3].startswith("| `ncm` | <u>50.0 ± 1.4</u> | ")
    assert rows[4].startswith("| `lift` | **60.0 ± 2.8** | ")
    assert rows[5] == "| `sage_x` ‡ | – | – | – | – | – | – | – |"
    assert r"100 % of \<memory\> & \[disk\] \| used" in text


def test_markdown_keeps_a_bar_in_a_setting_within_its_cell() -> None:
    table = one_table([make_record(config={"a": c}) for c in ("x|y", "z")])
    rows = [line for line in markdown(table).splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {9}


def test_warnings_are_shown_everywhere() -> None:
    records = [make_record(overall=v, key=k) for v, k in ((1.0, "a"), (2.0, "b"))]
    table = one_table(records)
    assert "Warning: lift: 1 other record" in " ".join(printed(table, 80).split())
    assert "**Warning:** lift: 1 other record" in markdown(table)
    assert "% Warning: lift: 1 other record" in latex(table)


def test_stale_rows_carry_their_sign() -> None:
    table = one_table([make_record("ncm", key="a"), make_record("lift", key="b")], stale={"b"})
    assert "`lift` † |" in markdown(table)
    assert r"lift~$\dagger$ &" in latex(table)
    assert " lift † " in printed(table, 80)


# ---- CSV ---------------------------------------------------------------------------------------


def test_table_csv_has_a_line_for_each_variant_and_metric_unrounded() -> None:
    records = [make_record("lift", s, overall=v) for s, v in enumerate((50.0, 51.1234567))]
    lines = list(csv.DictReader(io.StringIO(table_csv(one_table(records)))))
    by_metric = {line["metric"]: line for line in lines}
    assert set(METRICS) <= set(by_metric)
    assert len(lines) == len(by_metric)
    overall = by_metric["overall"]
    assert float(overall["mean"]) == pytest.approx(50.56172835, abs=1e-12)
    assert float(overall["std"]) == pytest.approx(1.1234567 / 2**0.5, abs=1e-9)
    assert (overall["n"], overall["varies"], overall["stale"]) == ("2", "2 run seeds", "False")
    assert (overall["dataset"], overall["backbone"]) == ("glyphs100_lt", "glyph")


def test_table_csv_leaves_what_does_not_exist_empty() -> None:
    lines = list(csv.DictReader(io.StringIO(table_csv(small_table()))))
    few = next(x for x in lines if x["variant"] == "zero_shot" and x["metric"] == "few")
    assert (few["mean"], few["std"], few["n"]) == ("", "", "0")


def test_records_csv_has_a_line_a_record_with_every_metric() -> None:
    done = make_record("lift", 3, config={"prompt": 'a "photo", of'}, notes=("x",))
    lines = list(csv.DictReader(io.StringIO(records_csv([done, failed_record("ncm", error="e")]))))
    assert [line["status"] for line in lines] == ["done", "failed"]
    first, second = lines
    for name in METRICS:
        value = getattr(done.metrics, name)
        assert first[f"metrics.{name}"] == ("" if value is None else f"{value}")
    assert json.loads(first["config"]) == {"prompt": 'a "photo", of'}
    assert first["seed"] == "3"
    assert first["provenance.split_hash"] == "s" * 64
    assert not any("per_class" in name for name in first)
    assert (second["metrics.overall"], second["error"]) == ("", "e")
