"""References of methods and data sets in BibTeX."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from benchmarks.cli.parts.cards import dataset_card_of
from benchmarks.cli.parts.citations import FILE, Reference, cite, references
from benchmarks.datasets.registry import DATASETS
from methods.registry import METHODS, info_of
from tests.benchmarks.cli.commands import Command, the_line


def keys(entries: list[str]) -> list[str]:
    return [re.match(r"@\w+\{([^,]+),", entry)[1] for entry in entries]  # type: ignore[index]


def test_every_entry_of_the_file_is_read() -> None:
    found = references()
    assert len(found) == FILE.read_text("utf-8").count("\n@")
    assert not [key for key, times in Counter(r.key for r in found).items() if times > 1]
    for reference in found:
        assert {"title", "author"} <= reference.fields.keys()
        assert reference.text.count("{") == reference.text.count("}")


@pytest.mark.parametrize("name", sorted(METHODS.entries()))
def test_the_first_author_of_a_methods_entry_is_the_one_that_its_card_names(name: str) -> None:
    paper = info_of(name).paper
    entry = cite(name, paper)[0]
    author = re.search(r"author *= \{([^,]+),", entry)
    assert author is not None
    surname = re.sub(r"\{\\'\\i\}", "í", author[1])
    assert surname == paper.split(" et al")[0].split(" and ")[0] or paper.startswith("HGLTR 2026")


@pytest.fixture(scope="module")
def declared() -> list[str]:
    """Sources of methods and data sets, as they declare them."""
    papers = [info_of(name).paper for name in METHODS.entries()]
    return papers + [dataset_card_of(name, FILE)[1]["source"] for name in DATASETS.entries()]


@pytest.mark.parametrize("reference", references(), ids=lambda r: r.key)
def test_an_entry_belongs_to_something(reference: Reference, declared: list[str]) -> None:
    names = {*METHODS.entries(), *DATASETS.entries()}
    assert set(reference.names) <= names
    identifier = reference.fields.get("eprint") or reference.fields.get("doi") or "-"
    assert reference.names or any(identifier in text for text in declared)


def test_show_cite(command: Command) -> None:
    shown = command("show", "lift", "--cite")
    assert (shown.status, shown.err) == (0, "")
    assert shown.out.startswith("@inproceedings{shi2024longtail,\n")
    assert "2309.10019" in shown.out
    both = command("show", "cifar100_lt_ir50", "--cite").out
    assert keys(both.split("\n\n")) == ["cao2019ldam", "krizhevsky2009learning"]
    assert "keywords" not in both
    assert keys(command("show", "places_lt", "--cite").out.split("\n\n")) == [
        "liu2019largescale",
        "zhou2018places",
    ]


def test_a_paper_without_an_entry_is_cited_by_what_the_card_says() -> None:
    (entry,) = cite("mine", "A. Author et al. 2026, arXiv 2601.00001")
    assert entry == (
        "@misc{aauthor2026,\n  author = {A. Author and others},\n  year   = {2026},\n"
        "  eprint = {2601.00001},\n}"
    )
    (entry,) = cite("mine", "Doe and Roe 2025, doi 10.1000/x.1")
    assert "author = {Doe and Roe}," in entry
    assert "doi    = {10.1000/x.1}," in entry


def test_nothing_to_cite_is_one_line(command: Command) -> None:
    ended = command(
        "show", "prior_corrected_means", "--cite", "--plugin",
        str(FILE.parent / "examples" / "prior_corrected_means.py"),
    )  # fmt: skip
    assert "'prior_corrected_means' declares no paper" in the_line(ended)
    assert "not allowed with" in the_line(command("show", "lift", "--cite", "--json"))
