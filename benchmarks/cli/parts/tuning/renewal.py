"""Recipes tuned again, with the settings that they were tuned with."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.cli.parts.sweeps import refuse_unfit_places
from benchmarks.cli.parts.tuning.search import SearchOptions, tune
from benchmarks.errors import UserError, counted, did_you_mean
from benchmarks.sweep.recipe_files import FOLDER, Recipe, read_recipe, recipe_files
from benchmarks.sweep.recipe_state import is_stale
from benchmarks.sweep.settings import Sweep, read_sweep

_OF_THE_MACHINE = (
    "data_root", "out", "device", "offline", "jobs", "gpus", "per_gpu", "ray", "cell_timeout",
)  # fmt: skip
"""Flags that change no number, so that a renewal may have others than the first search."""
_STORED = ("datasets", "backbone", "precision", "set", "plugin")
"""Flags that a recipe holds under `tuning: flags`."""


def renew(files: Sequence[Path], options: argparse.Namespace, console: Console) -> int:
    """Tune recipes again and say whether their winners changed.

    Args:
        files: the recipes; without any, all in `configs/recipes` that are stale.
        options: parsed flags, of which those of the machine count.
        console: where to print.

    Returns:
        The exit status: 1 if a search had no trial that finished, 130 after an interruption.

    Raises:
        UserError: a recipe that no search wrote, or whose search cannot be repeated here.
    """
    recipes = [read_recipe(file) for file in files] or _stale_ones()
    if not recipes:
        console.print(f"No recipe in {FOLDER} is stale.")
        return 0
    given = {name: getattr(options, name, None) for name in _OF_THE_MACHINE}
    sweeps = [sweep_of(recipe, given) for recipe in recipes]
    for sweep in sweeps:
        refuse_unfit_places(sweep, debug=options.debug)
    lines: list[str] = []
    status = 0
    for recipe, sweep in zip(recipes, sweeps, strict=True):
        search = SearchOptions(recipe.trials, tuple(recipe.fields), recipe.folds, recipe.file)
        ended = tune(sweep, search, console, debug=options.debug)
        if ended == 130:
            status = 130
            break
        status = max(status, ended)
        lines.append(_change(recipe, read_recipe(recipe.file)) if not ended else _kept(recipe))
    console.print(f"\nTuned again: {len(lines)} of {counted(len(recipes), 'recipe')}.")
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)
    return status


def sweep_of(recipe: Recipe, given: dict[str, Any]) -> Sweep:
    """The sweep of the search that a recipe comes from.

    Args:
        recipe: the recipe.
        given: flags that change no number.

    Raises:
        UserError: the recipe does not come from a search, or says too little about it.
    """
    if not recipe.trials or not recipe.source:
        raise UserError(f"{recipe.file} is not the result of a search, so nothing is tuned again.")
    flags = recipe.tuning.get("flags", {})
    if not isinstance(flags, dict) or not isinstance(flags.get("set", {}), dict):
        raise UserError(f"{recipe.file}, tuning, flags: write a mapping.")
    for name in flags:
        if name not in _STORED:
            raise did_you_mean(f"key in {recipe.file}, tuning, flags,", str(name), _STORED)
    if "datasets" not in flags and " (" in recipe.dataset:
        raise UserError(
            f"{recipe.file} does not say with which flags {recipe.dataset} was made: tune it anew."
        )
    stored = {"datasets": recipe.dataset, "backbone": recipe.backbone, **flags}
    return read_sweep(
        None,
        {
            **given,
            **stored,
            "methods": [recipe.method],
            "datasets": [stored["datasets"]],  # a path may contain a comma
            "protocol": recipe.protocol or None,
            "seeds": recipe.tuning.get("seeds", [0]),
            "set": {recipe.method: recipe.fixed, **stored.get("set", {})},
        },
    )


def _stale_ones() -> list[Recipe]:
    found = [read_recipe(file) for file in recipe_files()]
    return [recipe for recipe in found if is_stale(recipe)]


def _change(old: Recipe, new: Recipe) -> str:
    """A line on the winners of the two searches."""
    if old.fields == new.fields:
        return f"{new.file}: the winner is the same, {_winner(new)}."
    return f"{new.file}: the winner is another, {_winner(new)} instead of {_winner(old)}."


def _winner(recipe: Recipe) -> str:
    values = ", ".join(f"{name}={value}" for name, value in recipe.fields.items())
    return f"trial {recipe.tuning.get('best', '?')} ({values})"


def _kept(recipe: Recipe) -> str:
    return f"{recipe.file}: no trial finished, so the recipe is as it was."
