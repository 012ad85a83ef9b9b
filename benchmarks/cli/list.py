"""The verb `list`: methods, data sets, backbones and recipes, without importing any of them."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.cli.parts.flags import add_json, add_plugin

if TYPE_CHECKING:
    from rich.console import Console

    from benchmarks.cli.parts.narrow import NarrowTable
    from benchmarks.plugins.entries import Entry

HELP = "list methods, data sets and backbones, or recipes"
EXAMPLES = {
    "list methods": "names for --methods",
    "list methods --plugin FILE": "with your own",
    "list recipes": "which are stale",
    "list backbones --runs lift": "weights that it runs on",
    "list backbones --arch RN50": "methods that run on it",
}

BACKBONES = {
    "glyph": "the embedded one, for the embedded world",
    "ViT-B-16-quickgelu/openai": "the default; any open_clip ARCH/TAG",
    "ARCH/FILE": "an open_clip architecture with a checkpoint file, also OpenAI's .pt files",
    "ARCH/random": "seeded random weights, for trying things out",
    "hf-hub:ORG/MODEL": "an open_clip model on the Hugging Face hub",
    "timm:NAME.TAG": "an image encoder of timm, without texts; also timm:NAME/random and /FILE",
    "local-dir:PATH": "a folder with open_clip_config.json and weights",
}

Items = Sequence[dict[str, Any]]
"""Things of one kind, each with its properties by name."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take a kind of things, or all kinds."""
    parser.add_argument(
        "what",
        nargs="?",
        choices=("methods", "datasets", "backbones", "recipes"),
        help="list only these (recipes of configs/recipes are listed only on request)",
    )
    of_backbones = parser.add_mutually_exclusive_group()
    of_backbones.add_argument(
        "--runs", metavar="METHOD", help="list the pretrained weights that a method runs on"
    )
    of_backbones.add_argument(
        "--arch", metavar="NAME", help="list the methods that run on an architecture of open_clip"
    )
    add_json(parser)
    add_plugin(parser)


def execute(options: argparse.Namespace, console: Console) -> int:
    """Print a table of each kind.

    Raises:
        UserError: `--runs` or `--arch` with other things than backbones, an unknown name, or a
            plug-in that cannot be used.
    """
    from benchmarks.cli.parts.json_answer import print_json
    from methods.registry import METHODS

    if options.runs or options.arch:
        from benchmarks.cli.parts.backbone_lists import print_arch, print_runs
        from benchmarks.errors import UserError
        from benchmarks.processes import staying_here

        if options.what not in (None, "backbones"):
            raise UserError("--runs and --arch list backbones: `list backbones --runs METHOD`.")
        with staying_here():  # methods are fitted to find out, those of plug-ins as well
            for file in options.plugin:
                METHODS.load_file(file)
            if options.runs:
                print_runs(options.runs, console, as_json=options.json)
            else:
                print_arch(options.arch, console, as_json=options.json)
        return 0
    for file in options.plugin:
        METHODS.load_file(file)
    chosen = [options.what] if options.what else ["methods", "datasets", "backbones"]
    if options.json:
        print_json({kind: _KINDS[kind][0](console) for kind in chosen})
        return 0
    for kind in chosen:
        gather, table = _KINDS[kind]
        console.print(table(gather(console)))
        if kind in ("methods", "datasets"):
            console.print()
    return 0


def _methods(console: Console) -> Items:
    from methods.registry import METHODS

    return [
        {
            "name": name,
            "needs": str(entry.options.get("needs", "")),
            "tasks": list(entry.options.get("tasks", ("single",))),
            "deterministic": bool(entry.options.get("deterministic", False)),
            "summary": entry.summary,
            "source": _source(entry),
        }
        for name, entry in sorted(METHODS.entries().items())
    ]


def _methods_table(items: Items) -> NarrowTable:
    from benchmarks.cli.parts.narrow import Head, NarrowTable

    heads = (Head("method", whole=True), Head("needs", drop=1), Head("tasks", drop=2), Head(""))
    table = NarrowTable(heads, "Methods")
    for item in items:
        table.add(item["name"], item["needs"], ", ".join(item["tasks"]), _said(item))
    return table


def _source(entry: Entry) -> str | None:
    """The plug-in file or the installed package that an entry comes from; None for the suite."""
    from benchmarks.visible import one_visible_line

    return None if entry.origin is None else one_visible_line(entry.origin.source)


def _said(item: dict[str, Any]) -> str:
    """The summary of a thing, and where it comes from unless it is a part of the suite."""
    return item["summary"] if item["source"] is None else f"{item['summary']} [{item['source']}]"


def _datasets(console: Console) -> Items:
    from benchmarks.datasets.registry import DATASETS

    return [
        {
            "name": name,
            "task": str(entry.options.get("task", "")),
            "summary": entry.summary,
            "source": _source(entry),
        }
        for name, entry in sorted(DATASETS.entries().items())
    ]


def _datasets_table(items: Items) -> NarrowTable:
    from benchmarks.cli.parts.narrow import Head, NarrowTable

    title = "Data sets (NAME_irR: imbalance ratio R)"
    table = NarrowTable((Head("data set", whole=True), Head("task", drop=1), Head("")), title)
    for item in items:
        table.add(item["name"], item["task"], _said(item))
    table.add("FILE.yaml", "single, multi", "your own data (docs/own_data.md)")
    return table


def _backbones(console: Console) -> Items:
    return [{"name": name, "summary": what} for name, what in BACKBONES.items()]


def _backbones_table(items: Items) -> NarrowTable:
    from benchmarks.cli.parts.narrow import Head, NarrowTable

    table = NarrowTable((Head("backbone", whole=True), Head("")), "Backbones")
    for item in items:
        table.add(item["name"], item["summary"])
    return table


def _recipes(console: Console) -> Items:
    """The recipes of `configs/recipes`; a file that cannot be read is a line of its own."""
    from benchmarks.cli.parts.messages import warn
    from benchmarks.errors import UserError
    from benchmarks.sweep.recipe_files import read_recipe, recipe_files
    from benchmarks.sweep.recipe_state import state_of

    found = []
    for file in recipe_files():
        try:
            recipe = read_recipe(file)
            state = state_of(recipe)
        except UserError as error:
            warn(console, str(error))
            continue
        found.append(
            {
                "file": str(file),
                "name": file.name,
                "method": recipe.method,
                "dataset": recipe.dataset,
                "backbone": recipe.backbone,
                "protocol": recipe.protocol or "any",
                "trials": recipe.trials,
                "state": state,
            }
        )
    return found


def _recipes_table(items: Items) -> NarrowTable:
    from benchmarks.cli.parts.narrow import Head, NarrowTable
    from benchmarks.sweep.recipe_files import FOLDER

    title = f"Recipes in {FOLDER} (`tune --again` renews the stale ones)"
    heads = (Head("recipe", whole=True), Head("protocol", drop=1), Head("trials", drop=2))
    table = NarrowTable((*heads, Head("state")), title)
    for item in items:
        table.add(item["name"], item["protocol"], str(item["trials"]), item["state"])
    return table


_KINDS: dict[str, tuple[Callable[[Console], Items], Callable[[Items], NarrowTable]]] = {
    "methods": (_methods, _methods_table),
    "datasets": (_datasets, _datasets_table),
    "backbones": (_backbones, _backbones_table),
    "recipes": (_recipes, _recipes_table),
}
"""Functions that find the things of each kind, and that make a table of them."""
