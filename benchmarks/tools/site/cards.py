"""Pages of methods and data sets in Markdown, with what `show NAME` prints of them."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.cli.parts.cards import dataset_card_of, field_answers
from benchmarks.cli.parts.citations import cite
from benchmarks.datasets.registry import DATASETS
from benchmarks.sweep.method_card import method_card
from methods.registry import METHODS

ROOT = Path(__file__).resolve().parents[3]
_NOWHERE = Path("/nonexistent")
"""A data root without data: pages do not depend on what the machine has."""


def method_pages() -> dict[str, str]:
    """The page of each method of the suite, by its name in alphabetical order."""
    return {name: _method_page(name) for name in sorted(METHODS.entries())}


def dataset_pages() -> dict[str, str]:
    """The page of each data set of the suite, by its name in alphabetical order."""
    return {name: _dataset_page(name) for name in sorted(DATASETS.entries())}


def _method_page(name: str) -> str:
    card, file = method_card(name), METHODS.entry(name).file
    defaults = {field: declared.default for field, declared in card.fields.items()}
    facts = {**card.facts, "file": f"`{file.relative_to(ROOT)}`"}
    return "\n\n".join(
        [
            *_head(name, card.summary, facts),
            "## About",
            ast.get_docstring(ast.parse(file.read_text("utf-8"))) or "",
            *_fields(name, field_answers(card.fields, defaults, card.docs)),
            *_citations(name, card.facts["paper"]),
        ]
    )


def _dataset_page(name: str) -> str:
    answer, facts = dataset_card_of(name, _NOWHERE)
    return "\n\n".join(
        [
            *_head(name, answer["summary"], {"labels": answer["task"]} | facts),
            *_fields(name, answer["fields"]),
            *_citations(name, facts["source"]),
        ]
    )


def _head(name: str, summary: str, facts: Mapping[str, str]) -> list[str]:
    rows = [(fact, escaped(text)) for fact, text in facts.items() if text]
    command = f"    python run_benchmarks.py show {name}"
    return [f"# {name}", escaped(summary), command, _table(("", ""), rows)]


def _fields(name: str, fields: Sequence[Mapping[str, Any]]) -> list[str]:
    how = f"`--set {name}.FIELD=VALUE`, or a mapping in a sweep's file."
    return ["## Fields", how, _table(("field", "default", "meaning"), list(map(_field, fields)))]


def _citations(name: str, declared: str) -> list[str]:
    entries = cite(name, declared)
    return ["## Cite", *(f"```bibtex\n{entry}\n```" for entry in entries)] if entries else []


def _field(field: Mapping[str, Any]) -> tuple[str, str, str]:
    default = "required" if field["required"] else f"`{field['default']}`"
    choices = ", ".join(f"`{choice}`" for choice in field["choices"])
    lines = [choices, escaped(field["description"])]
    return f"`{field['name']}`", default, "<br>".join(filter(None, lines))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def escaped(text: str) -> str:
    """Text of a card for a cell in Markdown: no line ends, bars, tags or emphasis by accident.

    What is between backquotes stays code.
    """
    parts = " ".join(text.split()).split("`")
    for i in range(0, len(parts), 2):
        for character in ("\\", "*", "_", "<", "["):
            parts[i] = parts[i].replace(character, "\\" + character)
    return "`".join(parts).replace("|", "\\|")
