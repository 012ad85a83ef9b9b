"""A user's choice of columns, order, names and orientation, in every output."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from benchmarks.errors import UserError
from reports.aggregate import build_tables
from reports.compare.comparison import Comparer
from reports.formats.long_csv import table_csv
from reports.formats.markdown import markdown
from reports.layout import columns, cost
from reports.report import write_report
from reports.settings import Settings, read_settings
from reports.table import Summary, Table
from reports.terminal import print_table
from reports.view import USUAL, View
from results.schema import Record
from tests.reports.latex.articles import latex, rows
from tests.results.factory import failed_record, make_record


def view(**values: Any) -> View:
    return read_settings(values, {}, None).view


def study() -> list[Record]:
    """Sage is the best overall and the worst on the few; lift has two variants; lmpt failed."""
    per_class = {"sage": (90, 90, 80, 80, 10, 10), "ncm": (50, 50, 50, 50, 50, 50)}
    found = [
        make_record(name, overall=sum(own) / 6, per_class=own, cost_trainable_params=params)
        for (name, own), params in zip(per_class.items(), (5000, 0), strict=True)
    ]
    for text, value in (("names", 55.0), ("both", 57.0)):
        config = {"text": text, "lr": 0.1}
        found += [make_record("lift", s, overall=value + s, config=config) for s in (0, 1)]
    return [*found, failed_record("lmpt", notes=("its code cannot run",))]


def table(**values: Any) -> Table:
    (found,) = build_tables(study(), view=view(**values))
    return found


def labels(found: Table) -> list[str]:
    return [row.label for row in found.rows]


def terminal(found: Table, width: int = 120) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    print_table(found, console)
    return console.file.getvalue()


# ---- columns -------------------------------------------------------------------------------------


def test_the_columns_are_those_asked_for_in_their_order() -> None:
    found = table(columns="params,Few,worst class,overall,few")
    keys = ["trainable_params", "few", "worst_class", "overall"]
    assert [column.key for column in columns(found)] == keys
    head = "| method | params | few (2) | worst class | overall |"
    assert head in markdown(found)
    assert rows(latex(found))[0] == ["method", "params", "few", "worst class", "overall"]
    (line,) = [line for line in terminal(found).splitlines() if line.startswith(" method")]
    assert line.split() == ["method", "params", "few", "(2)", "worst", "class", "overall"]
    assert "| `ncm` | 0 | 50.0 | 50.0 | 50.0 |" in markdown(found)


def test_columns_of_another_task_are_left_out_and_none_at_all_is_said() -> None:
    multi = [make_record("lmpt", task="multi", metrics_balanced=None)]
    (found,) = build_tables(multi, view=view(columns="balanced,mAP"))
    assert [column.title for column in columns(found)] == ["mAP"]
    assert found.warnings == ()
    (found,) = build_tables(multi, view=view(columns="balanced,ece"))
    assert columns(found)[0].key == "overall"
    assert "multi-label data have none of the columns asked for" in found.warnings[0]


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("epochs", 5, "5"),
        ("images_seen", 54_235, "54.2k"),
        ("tuning_trials", 8, "8"),
        ("eval_s", 61, "61.0 s"),
        ("peak_memory_mb", 812.4, "812 MB"),
        ("peak_memory_mb", 12_340, "12.3 GB"),
        ("peak_memory_mb", 999.7, "1.0 GB"),
    ],
)
def test_any_cost_can_be_a_column(key: str, value: float, text: str) -> None:
    assert cost(key, Summary(value, None, 1)) == text


def test_the_footnotes_say_what_a_column_would_have_said() -> None:
    assert "Trainable parameters differ: see their column." in table().footnotes
    assert "Trainable parameters differ: 0 to 65.0k." in table(columns="overall").footnotes


# ---- order ---------------------------------------------------------------------------------------


def test_rows_are_sorted_by_the_main_metric_the_best_last() -> None:
    usual = ["ncm", "lift (text=names)", "lift (text=both)", "sage", "lmpt"]
    assert labels(table()) == usual
    few = ["sage", "ncm", "lift (text=names)", "lift (text=both)", "lmpt"]
    assert labels(table(metric="few")) == labels(table(sort="few")) == few
    assert table(metric="few").main == "few"
    assert table(sort="few").main == "overall"
    # A metric that is no column cannot be the main one, unless it is asked for.
    assert labels(table(columns="few,params")) == few
    assert labels(table(columns="few,overall")) == usual


def test_a_cost_sorts_upwards_and_a_metric_to_its_better_end() -> None:
    assert labels(table(sort="params"))[:2] == ["ncm", "sage"]
    errors = [make_record(m, metrics_ece=e) for m, e in (("a", 3.0), ("b", 9.0), ("c", 5.0))]
    (found,) = build_tables(errors, view=view(sort="ece"))
    assert labels(found) == ["b", "c", "a"]


def test_rows_as_asked_have_the_order_of_the_records() -> None:
    found = sorted(study(), key=lambda r: ["sage", "lmpt", "lift", "ncm"].index(r.method))
    (first,) = build_tables(found, view=view(sort="asked"))
    assert labels(first) == ["sage", "lmpt", "lift (text=names)", "lift (text=both)", "ncm"]
    (second,) = build_tables(found[::-1], view=view(sort="asked"))
    assert labels(second) == labels(first)[::-1]


def test_data_sets_as_asked_have_the_order_of_the_records() -> None:
    found = [make_record("ncm", dataset=d, dataset_config={}) for d in ("b", "c", "a")]
    names = [t.dataset for t in build_tables(found, view=view(sort="asked"))]
    assert names == ["b", "c", "a"]
    assert [t.dataset for t in build_tables(found)] == ["a", "b", "c"]


def test_a_main_metric_without_values_is_said() -> None:
    (found,) = build_tables([make_record(counts=(300, 200))], view=view(metric="few"))
    assert found.main == "overall"
    assert found.warnings == ("no row has 'few', so 'overall' sorts the rows.",)


def test_a_metric_of_the_other_task_does_not_sort() -> None:
    multi = [make_record(m, overall=v, task="multi", metrics_balanced=None)
             for m, v in (("a", 60.0), ("b", 50.0))]  # fmt: skip
    (found,) = build_tables(multi, view=view(sort="balanced"))
    assert labels(found) == ["b", "a"]


# ---- names ---------------------------------------------------------------------------------------

NAMES = {
    "lift": "LIFT",
    "lift (text=both)": "LIFT & texts",
    "lmpt": "LMPT [2023]",
    "glyphs100_lt": "Glyphs_LT",
    "glyph": "small CLIP",
}


def test_names_are_printed_in_every_output() -> None:
    found = table(names=NAMES)
    names = [row.name for row in found.rows]
    assert names == ["ncm", "LIFT (text=names)", "LIFT & texts", "sage", "LMPT [2023]"]
    text = markdown(found)
    assert text.startswith("## Glyphs_LT / small CLIP\n")
    assert "| `ncm` | " in text and "| LIFT & texts | " in text
    assert r"| LMPT \[2023\] ‡ | " in text
    assert "accuracy (%) on Glyphs_LT with small CLIP." in text
    shown = terminal(found)
    assert "Glyphs_LT / small CLIP" in shown and " LIFT & texts " in shown
    assert r"LIFT \& texts & " in latex(found)
    assert "LMPT [2023] ‡: 1 of 1 runs failed (seed 0): boom" in found.footnotes
    assert "LMPT [2023]: its code cannot run" in found.footnotes
    for old in ("lift (", "lmpt", "glyphs100_lt"):
        assert old not in text and old not in shown
    lines = table_csv(found).splitlines()
    assert lines[0].startswith("dataset,backbone,method,variant,name,")
    assert "glyphs100_lt,glyph,lift,lift (text=both),LIFT & texts,overall" in "\n".join(lines)


def test_comparisons_have_the_names_too() -> None:
    found = table(names=NAMES)
    both = [row for row in found.rows if row.method == "lift"]

    def read(record: Record) -> dict[str, Any]:
        import numpy as np

        labels = np.repeat(np.arange(6), 4)
        return {"ids": np.arange(24).astype(str), "labels": labels, "top5": labels[:, None]}

    comparison = Comparer(read).compare(found, *both)
    assert (comparison.a, comparison.b) == ("LIFT (text=names)", "LIFT & texts")


def test_the_name_of_a_data_set_keeps_its_knobs() -> None:
    names = view(names={"d": "D", "d (n=5)": "Five", "lift": "L"}).names
    assert [names.data_set(x) for x in ("d", "d (n=3)", "d (n=5)", "d2")] == [
        "D", "D (n=3)", "Five", "d2",
    ]  # fmt: skip


def test_a_label_may_be_typed_as_a_sweep_has_it() -> None:
    assert [row.name for row in table(names={"lift (text=names, lr=0.1)": "L"}).rows][1] == "L"


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ({"lift": "X", "lift (text=names)": "N", "sage": "N"}, "'N' would be"),
        ({"ncm": "sage"}, "'sage' would be 'ncm' and 'sage' on glyphs100_lt"),
        ({"lift (text=both)": "X", "lfit": "Y"}, "'lfit'. Did you mean: lift"),
        ({"glyphs100": "X"}, "'glyphs100'. Did you mean: glyphs100_lt"),
        ({"lift": 3}, "the name of 'lift' is not a text: 3"),
        ({"lift": " "}, "the name of 'lift' is not a text"),
    ],
)
def test_bad_names_are_one_line(names: dict[str, Any], says: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as raised:
        write_report(study(), tmp_path / "out", settings=Settings(view(names=names)))
    assert says in str(raised.value)
    assert not (tmp_path / "out").exists()


def test_a_name_of_several_rows_is_refused() -> None:
    records = [make_record("own", config={"lr": 0.1, "text": text}) for text in ("a", "b")]
    with pytest.raises(UserError, match=r"'own .lr=0.1.' has several variants on glyphs100_lt"):
        build_tables(records, view=view(names={"own (lr=0.1)": "X"}))


def test_a_file_of_names_may_name_what_is_elsewhere(tmp_path: Path) -> None:
    file = tmp_path / "names.yaml"
    file.write_text("lift: LIFT\ncifar100_lt: CIFAR\ncoop: CoOp\n", encoding="utf-8")
    settings = read_settings({"names": str(file)}, {}, None)
    settings.view.names.refuse_unknown(["lift", "glyphs100_lt", "glyph"])
    assert settings.view.names.given == {"lift": "LIFT", "cifar100_lt": "CIFAR", "coop": "CoOp"}


# ---- orientation ---------------------------------------------------------------------------------


def test_a_table_can_be_transposed() -> None:
    found = table(transpose=True, columns="overall,few")
    lines = [line for line in markdown(found).splitlines() if line.startswith("|")]
    assert lines[0] == (
        "| metric | `ncm` | `lift (text=names)` | `lift (text=both)` | `sage` | `lmpt` ‡ |"
    )
    assert lines[2] == ("| overall | 50.0 | 55.5 ± 0.7 | <u>57.5 ± 0.7</u> | **60.0** | – |")
    assert lines[3].startswith("| few (2) | 50.0 | ")
    assert len(lines) == 4
    assert [row[0] for row in rows(latex(found))] == ["metric", "overall", "few (2)"]
    words = [line.split()[:2] for line in terminal(found, 160).splitlines()]
    assert ["overall", "50.0"] in words and ["few", "(2)"] in words


@pytest.mark.parametrize("width", [60, 80])
def test_what_is_too_wide_for_the_terminal_is_printed_in_parts(width: int) -> None:
    records = [
        make_record(f"method_{i:02}", s, overall=50.0 + i + s) for i in range(9) for s in (0, 1)
    ]
    (found,) = build_tables(records, view=view(transpose=True))
    text = terminal(found, width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    for i in range(9):
        assert text.count(f"method_{i:02}") == 1
        assert f"{50.5 + i:.1f}±0.7" in text


# ---- settings ------------------------------------------------------------------------------------


def test_a_flag_wins_over_the_file() -> None:
    section = {"sort": "few", "columns": ["few", "fit"], "transpose": True, "rope": 1}
    found = read_settings({"sort": "rank", "rope": None, "other": 3}, section, Path("a.yaml"))
    assert found.view == View(("few", "fit_s"), "rank", USUAL.names, True, "")
    assert found.rope == 1.0


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ({"column": "few"}, "Unknown key in a.yaml, report 'column'. Did you mean: columns"),
        ({"columns": "fews"}, "Unknown column in a.yaml, report, columns 'fews'"),
        ({"columns": 3}, "a.yaml, report, columns: write columns such as"),
        ({"sort": "best"}, "Unknown order in a.yaml, report, sort 'best'"),
        ({"names": 3}, "a.yaml, report, names: write a YAML file or"),
        ({"transpose": "perhaps"}, "a.yaml, report, transpose"),
        ({"rope": 0}, "a.yaml, report, rope: '0' is not a number of points"),
    ],
)
def test_bad_settings_are_one_line(section: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError) as raised:
        read_settings({}, section, Path("a.yaml"))
    assert says in str(raised.value) and "\n" not in str(raised.value)
