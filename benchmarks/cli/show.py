"""The verb `show`: the card of a method or a data set."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.cli.parts.flags import add_data_root, add_json, add_plugin

if TYPE_CHECKING:
    from rich.console import Console

HELP = "show the card of a method or data set"
EXAMPLES = {
    "show lift": "every field and default",
    "show lift --cite": "its paper in BibTeX",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take the name of a method or data set."""
    parser.add_argument(
        "name",
        metavar="METHOD|DATASET",
        help="a name from `list`, NAME_irR, or the YAML file of your own data",
    )
    add_data_root(parser)
    answer = parser.add_mutually_exclusive_group()
    answer.add_argument("--cite", action="store_true", help="print what to cite, in BibTeX")
    add_json(answer)
    add_plugin(parser)


def execute(options: argparse.Namespace, console: Console) -> int:
    """Print the facts of a method or data set, and a table of its fields."""
    from benchmarks.cli.parts.cards import dataset_card_of, method_card_of
    from benchmarks.cli.parts.citations import print_citations
    from benchmarks.cli.parts.json_answer import print_json
    from methods.registry import METHODS

    for file in options.plugin:
        METHODS.load_file(file)
    if options.name in METHODS.entries():
        answer, facts = method_card_of(options.name)
    else:
        answer, facts = dataset_card_of(options.name, options.data_root)
    if options.cite:
        print_citations(answer["owner"], answer.get("paper") or facts.get("source", ""))
        return 0
    if options.json:
        print_json(answer)
        return 0
    _print_head(answer["name"], answer["summary"], console)
    _print_facts({fact: text for fact, text in facts.items() if text}, console)
    _print_fields(answer["owner"], answer["fields"], console)
    return 0


def _print_head(name: str, summary: str, console: Console) -> None:
    from rich.text import Text

    console.print(Text.assemble((name, "bold"), "  ", summary))


def _print_facts(facts: Mapping[str, str], console: Console) -> None:
    from rich.text import Text

    from benchmarks.cli.parts.narrow import Head, NarrowTable

    table = NarrowTable((Head("", whole=True), Head("")))
    for name, value in facts.items():
        table.add(Text(name, style="dim"), value)
    console.print(table)


def _print_fields(owner: str, fields: Sequence[Mapping[str, Any]], console: Console) -> None:
    """Print the fields of a method or data set with their values, choices and documentation."""
    from benchmarks.cli.parts.narrow import Head, NarrowTable

    title = f"Fields (--set {owner}.FIELD=VALUE)"
    table = NarrowTable((Head("field", whole=True), Head("default"), Head("")), title)
    for field in fields:
        lines = [" | ".join(field["choices"]), field["description"]]
        default = "required" if field["required"] else str(field["default"])
        table.add(field["name"], default, "\n".join(filter(None, lines)))
    console.print("", table)
