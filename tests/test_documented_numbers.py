"""Every number of the documentation that a committed record backs is what its command prints."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from rich.console import Console

import run_benchmarks
from benchmarks.cli import report
from benchmarks.cli.parts.verbs import parse
from benchmarks.metrics import METRICS
from benchmarks.tools.documented import PAGES, ROOT, Documented, documented, printed
from reports.across.matrix import matrices
from reports.across.overview import overviews
from reports.across.study import study
from reports.report import tables_of

TABLES = [one for page in PAGES for one in documented(page) if one.table]
RESULTS = ROOT / "docs" / "results.md"
SECTIONS = dict(re.findall(r"^## (.*)\n((?:(?!## ).*\n)*)", RESULTS.read_text("utf-8"), re.M))


def needs_predictions(one: Documented) -> None:
    if not one.printable:
        pytest.skip(f"{one.folder.name} has no correct.npz, from which intervals follow")


@pytest.mark.parametrize("one", TABLES, ids=lambda one: f"{one.page.stem}: {one.command[:60]}")
def test_a_table_is_the_one_that_its_command_prints(one: Documented) -> None:
    needs_predictions(one)
    assert one.table == printed(one.command)


def test_there_are_tables_of_every_folder_of_reference_results() -> None:
    named = {one.folder for page in PAGES for one in documented(page)}
    named |= {command.folder for text in SECTIONS.values() for command in commands(text)}
    folders = {file.parent for file in (ROOT / "results" / "reference").glob("*/records")}
    assert named == folders


# ---- numbers in the text -------------------------------------------------------------------------


def commands(section: str) -> list[Documented]:
    """The commands of a section, also those within its text."""
    joined = section.replace("\\\n", " ").replace("\n", " ")
    found = re.findall(r"run_benchmarks\.py ((?:report|compare) results/reference/.*?)(?=  |$)",
                       re.sub(r" *\\\n +", " ", section), re.M)  # fmt: skip
    found += re.findall(r"`((?:report|compare) results/reference/[^`]*)`", joined)
    return [Documented(RESULTS, " ".join(text.split()), slice(0, 0)) for text in found]


def numbers_in(section: str) -> set[str]:
    """The decimal numbers of a section's text, without signs."""
    lines = [x for x in section.splitlines() if not x.startswith(("|", "    ", "!["))]
    text = re.sub(r"`[^`]*`|\]\([^)]*\)", " ", "\n".join(lines))
    return set(re.findall(r"(?<![\w.])\d+\.\d+(?![\w.]*\d)", text))


@cache
def printed_numbers(command: str) -> frozenset[str]:
    """All numbers that a command prints, with as many digits as it does."""
    words = shlex.split(command)
    words[1] = str(ROOT / words[1])
    if words[0] == "compare":
        with contextlib.redirect_stdout(io.StringIO()) as stream:
            assert run_benchmarks.main([*words, "--json"]) == 0
        lines = json.loads(stream.getvalue())["comparisons"]
        names = ("difference", "low", "high")
        values = [f"{abs(line[x]):.2f}" for line in lines for x in names if line[x] is not None]
        return frozenset(values)
    return frozenset(_of_report(words))


def _of_report(words: list[str]) -> Iterator[str]:
    _, options = parse(words)
    chosen = report.choose(options, Console(file=io.StringIO()))
    tables = tables_of(chosen.records, chosen.settings.view)
    for row in (row for table in tables for row in table.rows):
        for summary in (row.values[key] for key in METRICS):
            yield from (f"{x:.1f}" for x in (summary.mean, summary.std) if x is not None)
    for overview in overviews(tables, [study(matrix) for matrix in matrices(tables)]):
        for entry in overview.entries:
            if entry.summary is not None and entry.summary.mean is not None:
                yield f"{entry.summary.mean:.1f}"


@pytest.mark.parametrize("title", [title for title, text in SECTIONS.items() if numbers_in(text)])
def test_the_numbers_in_the_text_are_printed_by_the_commands_of_their_section(title: str) -> None:
    own = commands(SECTIONS[title])
    for one in own:
        needs_predictions(one)
    known = {number for one in own for number in printed_numbers(one.command)}
    assert not numbers_in(SECTIONS[title]) - known


def test_a_number_that_nothing_prints_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    command = "report results/reference/prompts --columns overall"
    page.write_text(f"    python run_benchmarks.py {command}\n\n| a |\n| b |\n\nIt is 47.51.\n")
    (one,) = documented(page)
    assert (one.command, one.table) == (command, ["| a |", "| b |"])
    assert printed(command)[0] == "| method | mAP |"
    assert numbers_in(page.read_text("utf-8")) == {"47.51"}
    assert {"47.51", "overall"} & printed_numbers(command) == set()
