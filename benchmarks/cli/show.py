"""The verb `show`: the card of a method or a data set."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.cli.parts.flags import add_data_root, add_plugin

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
    add_plugin(parser)


def execute(options: argparse.Namespace, console: Console) -> int:
    """Print the facts of a method or data set, and a table of its fields."""
    from methods.registry import METHODS

    for file in options.plugin:
        METHODS.load_file(file)
    if options.name in METHODS.entries():
        _show_method(options.name, console)
    else:
        _show_dataset(options.name, options.data_root, console)
    return 0


def _show_method(name: str, console: Console) -> None:
    from benchmarks.plugins.static_reader import read_docs
    from benchmarks.sweep.fingerprints import fingerprint
    from methods.registry import METHODS, info_of

    info, entry = info_of(name), METHODS.entries()[name]
    fields = METHODS.fields(name)
    defaults = {name: field.default for name, field in fields.items()}
    space = METHODS.attribute(name, "space")
    _print_head(name, entry.summary, console)
    facts = {
        "paper": info.paper,
        "needs": info.needs,
        "tasks": ", ".join(info.tasks),
        "random": "no: one run serves for every seed" if info.deterministic else "yes",
        "reconstruction": _by_kind({task: info.reconstruction_on(task) for task in info.tasks}),
        "tunable": ", ".join(f"{field} {reach}" for field, reach in space.items()),
        "recipes": ", ".join(_recipes(name)),
        "exempt": "; ".join(f"{check} ({why})" for check, why in info.exempt.items()),
        "source": f"{entry.file} (fingerprint {fingerprint(name, defaults)})",
    }
    _print_facts({fact: text for fact, text in facts.items() if text}, console)
    docs = read_docs(entry.file, entry.class_name)
    _print_fields(name, fields, defaults, docs, console)


def _by_kind(texts: Mapping[str, str]) -> str:
    """Texts by kind of data in one line; the kinds are named if the texts differ."""
    if len(set(texts.values())) == 1:
        return next(iter(texts.values()))
    return "; ".join(f"{kind}-label: {text}" for kind, text in texts.items() if text)


def _recipes(method: str) -> list[str]:
    """The recipes of a method in `configs/recipes`, each with its state."""
    from benchmarks.errors import UserError
    from benchmarks.sweep.recipe_files import read_recipe, recipe_files
    from benchmarks.sweep.recipe_state import state_of

    found = []
    for file in recipe_files():
        with suppress(UserError):  # `list recipes` names those that cannot be read
            recipe = read_recipe(file)
            if recipe.method == method:
                found.append(f"{file.name} ({state_of(recipe)})")
    return found


def _show_dataset(name: str, data_root: Path, console: Console) -> None:
    """Print the card of a data set.

    Raises:
        UserError: neither a method nor a data set, or a description that cannot be used.
    """
    import dataclasses
    import inspect

    from benchmarks.datasets import registry as datasets
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
    shown = family.name if datasets.is_own(name) else name
    _print_head(shown, first_line(family.__doc__), console)
    _print_facts(configured.card(), console)
    docs: dict[str, str] = {}
    for cls in reversed([cls for cls in family.mro() if dataclasses.is_dataclass(cls)]):
        docs |= read_docs(Path(inspect.getfile(cls)), cls.__name__)
    fields = fields_of(type(configured))
    values = {field: getattr(configured, field) for field in fields}
    _print_fields(family.name, fields, values, docs, console)


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


def _print_fields(
    owner: str,
    fields: Fields,
    values: Mapping[str, Any],
    docs: Mapping[str, str],
    console: Console,
) -> None:
    """Print the fields of a method or data set with their values, choices and documentation."""
    from rich.table import Table
    from rich.text import Text

    from benchmarks.plugins.values import choices

    title = Text(f"Fields (--set {owner}.FIELD=VALUE)")
    table = Table("field", "default", "", title=title, title_justify="left", box=None)
    for name, field in fields.items():
        lines = [" | ".join(choices(field.hint)), docs.get(name, "")]
        cells = (name, str(values[name]), "\n".join(filter(None, lines)))
        table.add_row(*map(Text, cells))
    console.print("", table)
