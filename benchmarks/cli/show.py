"""The verb `show`: the card of a method or a data set."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.cli.parts.flags import add_data_root, add_json, add_plugin

if TYPE_CHECKING:
    from rich.console import Console

    from benchmarks.plugins.fields import Fields

HELP = "show the card of a method or data set"
EXAMPLES = {"show lift": "every field and default"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take the name of a method or data set."""
    parser.add_argument(
        "name",
        metavar="METHOD|DATASET",
        help="a name from `list`, NAME_irR, or the YAML file of your own data",
    )
    add_data_root(parser)
    add_json(parser)
    add_plugin(parser)


def execute(options: argparse.Namespace, console: Console) -> int:
    """Print the facts of a method or data set, and a table of its fields."""
    from benchmarks.cli.parts.json_answer import print_json
    from methods.registry import METHODS

    for file in options.plugin:
        METHODS.load_file(file)
    if options.name in METHODS.entries():
        answer, facts = _method(options.name)
    else:
        answer, facts = _dataset(options.name, options.data_root)
    if options.json:
        print_json(answer)
        return 0
    _print_head(answer["name"], answer["summary"], console)
    _print_facts({fact: text for fact, text in facts.items() if text}, console)
    _print_fields(answer["owner"], answer["fields"], console)
    return 0


def _method(name: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the card of a method for programs, and its facts in words."""
    from benchmarks.plugins.static_reader import read_docs
    from benchmarks.sweep.fingerprints import fingerprint
    from benchmarks.sweep.method_card import method_card
    from methods.registry import METHODS, info_of

    info, entry = info_of(name), METHODS.entries()[name]
    fields = METHODS.fields(name)
    defaults = {name: field.default for name, field in fields.items()}
    space = METHODS.attribute(name, "space")
    reconstruction: dict[str, str] = {task: info.reconstruction_on(task) for task in info.tasks}
    recipes = _recipes(name)
    answer = {
        "kind": "method",
        "name": name,
        "owner": name,
        "summary": entry.summary,
        "paper": info.paper,
        "needs": info.needs,
        "tasks": list(info.tasks),
        "deterministic": info.deterministic,
        "reconstruction": reconstruction,
        "space": {
            field: {"distribution": type(reach).__name__, **vars(reach)}
            for field, reach in space.items()
        },
        "recipes": [{"file": file, "state": state} for file, state in recipes.items()],
        "exempt": dict(info.exempt),
        "source": str(entry.file),
        "fingerprint": fingerprint(name, defaults),
        "fields": _fields(fields, defaults, read_docs(entry.file, entry.class_name)),
    }
    facts = {
        **method_card(name).facts,
        "recipes": ", ".join(f"{file} ({state})" for file, state in recipes.items()),
        "source": f"{entry.file} (fingerprint {answer['fingerprint']})",
    }
    return answer, facts


def _recipes(method: str) -> dict[str, str]:
    """The recipes of a method in `configs/recipes` by the name of their file, with their state."""
    from benchmarks.errors import UserError
    from benchmarks.sweep.recipe_files import read_recipe, recipe_files
    from benchmarks.sweep.recipe_state import state_of

    found = {}
    for file in recipe_files():
        with suppress(UserError):  # `list recipes` names those that cannot be read
            recipe = read_recipe(file)
            if recipe.method == method:
                found[file.name] = state_of(recipe)
    return found


def _dataset(name: str, data_root: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the card of a data set for programs, and its facts in words.

    Raises:
        UserError: neither a method nor a data set, or a description that cannot be used.
    """
    import dataclasses
    import inspect

    from benchmarks.datasets import registry as datasets
    from benchmarks.datasets.skew import skew_facts
    from benchmarks.errors import UserError, did_you_mean
    from benchmarks.plugins.entries import first_line
    from benchmarks.plugins.fields import fields_of
    from benchmarks.plugins.static_reader import read_docs
    from methods.registry import METHODS

    try:
        family, given = datasets.resolve(name)
    except UserError:
        known = datasets.DATASETS.entries()
        if datasets.is_own(name) or any(name == k or name.startswith(f"{k}_ir") for k in known):
            raise
        raise did_you_mean("method or data set", name, [*METHODS.entries(), *known]) from None
    configured = family(**given).resolve(data_root)
    docs: dict[str, str] = {}
    for cls in reversed([cls for cls in family.mro() if dataclasses.is_dataclass(cls)]):
        docs |= read_docs(Path(inspect.getfile(cls)), cls.__name__)
    fields = fields_of(type(configured))
    values = {field: getattr(configured, field) for field in fields}
    card = dict(configured.card())
    counts = configured.train_counts(data_root)
    if counts is not None:
        card |= skew_facts(counts, configured.task, configured.default_groups)
    answer = {
        "kind": "dataset",
        "name": family.name if datasets.is_own(name) else name,
        "owner": family.name,
        "summary": first_line(family.__doc__),
        "task": configured.task,
        "card": card,
        "fields": _fields(fields, values, docs),
    }
    return answer, card


def _fields(
    fields: Fields, values: Mapping[str, Any], docs: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return the fields with their values, choices, ranges and documentation."""
    from benchmarks.plugins.fields import MISSING
    from benchmarks.plugins.values import choices

    return [
        {
            "name": name,
            "default": None if values[name] is MISSING else values[name],
            "required": values[name] is MISSING,
            "choices": choices(field.hint),
            "range": None if field.range is None else vars(field.range),
            "description": docs.get(name, ""),
        }
        for name, field in fields.items()
    ]


def _print_head(name: str, summary: str, console: Console) -> None:
    from rich.text import Text

    console.print(Text.assemble((name, "bold"), "  ", summary))


def _print_facts(facts: Mapping[str, str], console: Console) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False, box=None)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(Text(name), Text(value))
    console.print(table)


def _print_fields(owner: str, fields: Sequence[Mapping[str, Any]], console: Console) -> None:
    """Print the fields of a method or data set with their values, choices and documentation."""
    from rich.table import Table
    from rich.text import Text

    title = Text(f"Fields (--set {owner}.FIELD=VALUE)")
    table = Table("field", "default", "", title=title, title_justify="left", box=None)
    for field in fields:
        lines = [" | ".join(field["choices"]), field["description"]]
        default = "required" if field["required"] else str(field["default"])
        cells = (field["name"], default, "\n".join(filter(None, lines)))
        table.add_row(*map(Text, cells))
    console.print("", table)
