"""Cards of methods and data sets: for programs as `show --json` prints them, and in words."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.datasets import registry as datasets
from benchmarks.datasets.skew import skew_facts
from benchmarks.errors import UserError, did_you_mean
from benchmarks.plugins.entries import first_line
from benchmarks.plugins.fields import MISSING, fields_of
from benchmarks.plugins.static_reader import read_docs
from benchmarks.plugins.values import choices
from benchmarks.sweep.fingerprints import fingerprint
from benchmarks.sweep.method_card import method_card
from benchmarks.sweep.recipe_files import read_recipe, recipe_files
from benchmarks.sweep.recipe_state import state_of
from methods.registry import METHODS, info_of

if TYPE_CHECKING:
    from benchmarks.plugins.fields import Fields


def method_card_of(name: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the card of a method for programs, and its facts in words."""
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
        "fields": field_answers(fields, defaults, read_docs(entry.file, entry.class_name)),
    }
    facts = {
        **method_card(name).facts,
        "recipes": ", ".join(f"{file} ({state})" for file, state in recipes.items()),
        "source": f"{entry.file} (fingerprint {answer['fingerprint']})",
    }
    return answer, facts


def _recipes(method: str) -> dict[str, str]:
    """The recipes of a method in `configs/recipes` by the name of their file, with their state."""
    found = {}
    for file in recipe_files():
        with suppress(UserError):  # `list recipes` names those that cannot be read
            recipe = read_recipe(file)
            if recipe.method == method:
                found[file.name] = state_of(recipe)
    return found


def dataset_card_of(name: str, data_root: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the card of a data set for programs, and its facts in words.

    Raises:
        UserError: neither a method nor a data set, or a description that cannot be used.
    """
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
        "fields": field_answers(fields, values, docs),
    }
    return answer, card


def field_answers(
    fields: Fields, values: Mapping[str, Any], docs: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return the fields with their values, choices, ranges and documentation."""
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
