"""The verb `list`: methods, data sets, backbones and recipes, without importing any of them."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

HELP = "list methods, data sets and backbones, or recipes"
EXAMPLES = {
    "list methods": "names for --methods",
    "list recipes": "which are stale",
}

BACKBONES = {
    "glyph": "the embedded one, for the embedded world",
    "ViT-B-16-quickgelu/openai": "the default; any open_clip ARCH/TAG",
    "ARCH/FILE": "an open_clip architecture with a checkpoint file, also OpenAI's .pt files",
    "ARCH/random": "seeded random weights, for tests of speed and plumbing",
    "hf-hub:ORG/MODEL": "an open_clip model on the Hugging Face hub",
    "local-dir:PATH": "a folder with open_clip_config.json and weights",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take a kind of things, or all kinds."""
    parser.add_argument(
        "what",
        nargs="?",
        choices=("methods", "datasets", "backbones", "recipes"),
        help="list only these (recipes: of configs/recipes, which are listed on request alone)",
    )


def execute(options: argparse.Namespace, console: Console) -> int:
    """Print a table of each kind."""
    if options.what == "recipes":
        console.print(_recipes(console))
        return 0
    tables = {"methods": _methods, "datasets": _datasets, "backbones": _backbones}
    chosen = [options.what] if options.what else list(tables)
    for kind in chosen:
        console.print(tables[kind]())
        if kind != "backbones":
            console.print()
    return 0


def _methods() -> Table:
    from rich.table import Column, Table
    from rich.text import Text

    from methods.registry import METHODS

    table = Table(
        Column("method", no_wrap=True),
        "needs",
        "tasks",
        "",
        title="Methods",
        title_justify="left",
        box=None,
    )
    for name, entry in sorted(METHODS.entries().items()):
        tasks = ", ".join(entry.options.get("tasks", ("single",)))
        cells = (name, str(entry.options.get("needs", "")), tasks, entry.summary)
        table.add_row(*map(Text, cells))
    return table


def _datasets() -> Table:
    from rich.table import Column, Table
    from rich.text import Text

    from benchmarks.datasets.registry import DATASETS

    title = "Data sets (NAME_irR: imbalance ratio R)"
    table = Table(
        Column("data set", no_wrap=True), "task", "", title=title, title_justify="left", box=None
    )
    for name, entry in sorted(DATASETS.entries().items()):
        cells = (name, str(entry.options.get("task", "")), entry.summary)
        table.add_row(*map(Text, cells))
    table.add_row("FILE.yaml", "single, multi", "your own data (docs/own_data.md)")
    return table


def _backbones() -> Table:
    from rich.table import Column, Table

    table = Table(
        Column("backbone", no_wrap=True), "", title="Backbones", title_justify="left", box=None
    )
    for name, what in BACKBONES.items():
        table.add_row(name, what)
    return table


def _recipes(console: Console) -> Table:
    """The recipes of `configs/recipes`; a file that cannot be read is a line of its own."""
    from rich.table import Column, Table
    from rich.text import Text

    from benchmarks.cli.parts.messages import warn
    from benchmarks.errors import UserError
    from benchmarks.sweep.recipe_files import FOLDER, read_recipe, recipe_files
    from benchmarks.sweep.recipe_state import state_of

    title = f"Recipes in {FOLDER} (`tune --again` renews the stale ones)"
    table = Table(
        Column("recipe", overflow="fold"), "protocol", "trials", "state",
        title=title, title_justify="left", box=None,
    )  # fmt: skip
    for file in recipe_files():
        try:
            recipe = read_recipe(file)
            state = state_of(recipe)
        except UserError as error:
            warn(console, str(error))
            continue
        cells = (file.name, recipe.protocol or "any", str(recipe.trials), state)
        table.add_row(*map(Text, cells))
    return table
