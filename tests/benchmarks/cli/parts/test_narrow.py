"""Tables on narrow terminals."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console
from rich.text import Text

from benchmarks.cli.parts.narrow import Head, NarrowTable
from tests.benchmarks.cli.commands import Command

HEADS = (Head("name", whole=True), Head("late", drop=2), Head("early", drop=1), Head("text"))


def printed(width: int, *rows: tuple[str, ...], title: str = "") -> list[str]:
    table = NarrowTable(HEADS, title)
    for row in rows:
        table.add(*row)
    console = Console(file=io.StringIO(), width=width)
    console.print(table)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert max(map(len, lines)) <= width
    return [line.rstrip() for line in lines]


def test_columns_go_in_their_order_until_the_rest_fits() -> None:
    row = ("some_long_name", "one", "two", "several longer words")
    assert printed(60, row, title="Title") == [
        "Title",
        "name            late  early  text",
        "some_long_name  one   two    several longer words",
    ]
    assert printed(34, row) == [
        "name            late  text",
        "some_long_name  one   several",
        "                      longer words",
    ]
    assert printed(28, row) == [
        "name            text",
        "some_long_name  several",
        "                longer words",
    ]


def test_a_row_is_a_paragraph_where_its_name_and_a_word_do_not_fit() -> None:
    row = ("some_long_name", "one", "two", "several longer words")
    assert printed(20, row, ("b", "", "", ""), title="Title") == [
        "Title",
        "some_long_name",
        "  several longer",
        "  words",
        "b",
    ]


def test_long_words_of_the_first_column_break_after_commas_before_a_column_goes() -> None:
    table = NarrowTable((Head("method"), Head("seeds", drop=1), Head("state", whole=True)))
    table.add("gla (fields=loss=ce,lr=0.1,decay=0.01)", "0,1,2", "not applicable")
    for width, lines in {
        61: ["gla (fields=loss=ce,lr=0.1,decay=0.01)  0,1,2  not applicable"],
        45: [
            "gla (fields=loss=ce,  0,1,2  not applicable",
            "lr=0.1,",
            "decay=0.01)",
        ],
    }.items():
        console = Console(file=io.StringIO(), width=width + 2)
        console.print(table)
        printed = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
        assert [line.rstrip() for line in printed[1:]] == lines


def test_cells_may_lack_and_brackets_are_no_markup() -> None:
    table = NarrowTable((Head("a"), Head("b", justify="right")), Text("[bold]"))
    table.add(Text("[x]"))
    table.add("1", "2", style="bold")
    console = Console(file=io.StringIO(), width=40)
    console.print(table)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert [line.split() for line in lines] == [["[bold]"], ["a", "b"], ["[x]"], ["1", "2"]]


@pytest.mark.parametrize("width", [40, 60, 80])
@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("list methods", ("logit_adjustment", "linear_probe", "text-initialised")),
        ("list datasets", ("glyphscenes_lt", "FILE.yaml", "imbalance")),
        ("list backbones", ("ViT-B-16-quickgelu/openai", "open_clip_config.json")),
        ("list backbones --arch RN50", ("linear_probe", "applicable")),
        ("show lift", ("weight_decay", "ssf_attention", "vpt_shallow", "parallel")),
        ("plan --methods lift,linear_probe --datasets glyphs100_lt --seeds 0",
         ("linear_probe", "estimate", "missing")),
    ],
)  # fmt: skip
def test_words_are_never_cut(
    command: Command, monkeypatch: pytest.MonkeyPatch, line: str, names: tuple[str, ...], width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    shown = command(*line.split()).out
    lines = shown.splitlines()
    assert max(map(len, lines)) <= width
    assert not re.search(r"\w…", shown)
    words = set(re.split(r"[\s,()]+", shown))
    assert set(names) <= words | {word.rstrip(".") for word in words}
