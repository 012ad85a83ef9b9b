"""A table whose texts are instructions to every program that may open its files."""

from __future__ import annotations

import csv
import io
import json
import re
import warnings
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from matplotlib.text import Text

from benchmarks.metrics import METRICS
from benchmarks.visible import visible
from reports.aggregate import build_tables
from reports.csv_text import cell, csv_text
from reports.figures.registry import SWEEP_FIGURES, TABLE_FIGURES
from reports.figures.texts import LONGEST, drawn_text
from reports.formats.markdown import markdown
from reports.knob_sweeps import find_sweeps
from reports.markdown_text import code, escape_markdown, pipes
from reports.records_table import records_csv
from reports.report import file_stems, write_report
from reports.table import Table
from results.schema import Record
from tests.reports.figures.made import full
from tests.results.factory import failed_record, make_record

TEXTS = (
    "=cmd|'/C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "  =1", "＝1",
    "a|b\\|c\\", "`x` ``y", "<script>alert(1)</script>", "</script><img src=x onerror=a>",
    "[x](javascript:alert(1)) ![y](http://h)", "http://h.com www.h.com a@h.com @you #1 ~~x~~",
    "# head", "- item", "1. item", "1) item", "~~~ fence", "&lt;b&gt; &#60;", "*a* _b_ $x$",
    "\\input{/etc/passwd} ^^41 \\\\ % { } # & _ ~", "[2cm] x", "* x", "$\\frac{1}{$", "_hidden",
    "\x1b[31m\x9b\u202e\udcff\x00", "line\nbreak\r\n\u2028more", "naïve 数据 👩‍👧", "x" * 5000,
    "../../etc", "con", "a" * 300, "",
)  # fmt: skip


def clean(text: str) -> bool:
    return all(character.isprintable() or character in "\n\t \xa0\u200d" for character in text)


@pytest.fixture(scope="module")
def records() -> list[Record]:
    found = []
    for i, text in enumerate(TEXTS):
        made = {"dataset": "d\n# |x|", "backbone": "local-dir:=x"}
        found.append(make_record(f"m{i:02}", config={"f": text}, notes=(text,), key=f"{i}", **made))
        found.append(make_record(f"m{i:02}", config={"f": f"{text}."}, key=f"{i}b", **made))
        found.append(failed_record(f"f{i:02}", error=text, remark=text, key=f"{i}c", **made))
    return found


@pytest.fixture(scope="module")
def table(records: list[Record]) -> Table:
    (table,) = build_tables(records, allow_mixed=True)
    return table


# ---- CSV ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", TEXTS)
def test_a_spreadsheet_computes_no_cell(text: str) -> None:
    ((head,), (value,)) = csv.reader(io.StringIO(csv_text([text], [{text: text}]), newline=""))
    assert head == value
    assert value.lstrip(" ")[:1] not in (*"=+-@\t\r\n＝＋－＠",)
    assert clean(value)
    assert len(value) >= len(text)  # nothing is lost


@pytest.mark.parametrize("value", ["-1", "+1.5", "-1e-05", "-.5", -3, 0.25, None, True])
def test_numbers_stay_numbers(value: object) -> None:
    assert cell(value) == value


def test_records_csv_is_read_as_it_was(records: list[Record]) -> None:
    lines = list(csv.DictReader(io.StringIO(records_csv(records), newline="")))
    assert len(lines) == len(records)
    for record, line in zip(records, lines, strict=True):
        if record.status == "done":
            assert float(line["metrics.overall"]) == 50.0
            assert json.loads(line["config"])["f"].startswith(record.config["f"][:1])
    assert set(METRICS) <= {name.removeprefix("metrics.") for name in lines[0]}


# ---- Markdown ----------------------------------------------------------------------------------


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, list[tuple[str, str | None]]]] = []
        self.text = ""
        self.feed(MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(text))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, attrs))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("text", TEXTS)
def test_markdown_shows_a_text_as_it_is(text: str) -> None:
    page = Page(escape_markdown(text))
    shown = " ".join(page.text.split())
    assert {tag for tag, _ in page.tags} <= {"p"}
    assert shown == " ".join(visible(text).split())
    # GitHub makes links of bare addresses, and mentions and issues of words.
    assert not re.search(r"(?<!\\)://|www\.|(?<![\\\w])[@#]\w|(?<!\\)@\w+\.", escape_markdown(text))


@pytest.mark.parametrize("text", TEXTS)
def test_code_in_a_table_stays_in_its_cell(text: str) -> None:
    page = Page("\n".join([pipes(["a", "b"]), pipes(["--", "--"]), pipes([code(text), "end"])]))
    assert [tag for tag, _ in page.tags].count("td") == 2
    assert {tag for tag, _ in page.tags} == {"table", "thead", "tbody", "tr", "th", "td", "code"}
    assert page.text.rstrip().endswith("end")


def test_a_markdown_report_has_the_elements_of_the_suite_alone(table: Table) -> None:
    text = markdown(table)
    page = Page(text)
    known = {"h2", "p", "strong", "u", "table", "thead", "tbody", "tr", "th", "td", "code", "ul"}
    assert {tag for tag, _ in page.tags} <= {*known, "li"}
    tags = [tag for tag, _ in page.tags]
    assert tags.count("h2") == 1
    assert tags.count("tr") == 1 + len(table.rows)
    assert tags.count("td") == tags.count("th") * len(table.rows)
    assert tags.count("li") == len(table.footnotes) + len(table.warnings)
    assert all(name == "style" for _, attrs in page.tags for name, _ in attrs)


# ---- figures and file names --------------------------------------------------------------------


@pytest.mark.parametrize("text", TEXTS)
def test_a_label_is_drawn_as_it_is(text: str) -> None:
    label = drawn_text(text)
    assert Text(text=label)._preprocess_math(label) == (label.replace(r"\$", "$"), False)
    assert not label.startswith("_")
    assert len(label) <= LONGEST + 3
    assert clean(label)
    assert "\n" not in label


def study(*labels: str) -> list[Record]:
    return [
        make_record(
            "m", config={"f": text}, dataset=f"{text}_ir{ratio}",
            dataset_config={"imbalance": ratio}, backbone=text, key=f"{i}{ratio}",
        )
        for i, text in enumerate(labels)
        for ratio in (10, 100)
    ]  # fmt: skip


def test_hostile_labels_are_drawn() -> None:
    text = "$\\frac{1}{$ 数\x1b\n_" + "x" * 5000
    made = full((text, f"_{text}"))
    table, drawing = made.table(), made.drawing()
    (sweep,) = find_sweeps(build_tables(study(text)))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # as when a figure is saved
        figures = [draw(table, drawing) for draw in TABLE_FIGURES.values()]
        figures += [draw(sweep, drawing) for draw in SWEEP_FIGURES.values()]
        assert len([figure for figure in figures if figure is not None]) == 9
        for figure in filter(None, figures):
            figure.draw_without_rendering()
            width, height = figure.get_size_inches()
            assert width * height < 100


@pytest.mark.slow
def test_a_hostile_report_stays_in_its_folder(tmp_path: Path) -> None:
    texts = [text for text in TEXTS if text.strip()]
    hostile = [make_record("m", config={"f": text}, key=f"n{i}") for i, text in enumerate(texts)]
    hostile += study("$\\frac{1}{$", "数据\x1b\n" + "x" * 5000, "../../x", "/etc/x", "con")
    files = write_report(hostile, tmp_path / "out")
    assert {file.parent for file in files} == {tmp_path / "out"}
    assert len({file.name.lower() for file in files}) == len(files)
    for file in files:
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", file.name)
        assert len(file.name) <= 255
        if file.suffix in (".md", ".csv", ".tex"):
            assert clean(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("text", TEXTS)
def test_a_file_name_is_one_of_any_system(text: str) -> None:
    names = (text, text + "/", "A", "a")
    tables = [build_tables([make_record(dataset=name, backbone=name)])[0] for name in names]
    stems = file_stems(tables)
    assert len({stem.lower() for stem in stems}) == 4
    for stem in stems:
        assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", stem)
        assert len(stem) < 200
        assert not stem.endswith(".")
        assert stem.lower() not in ("con", "nul")
