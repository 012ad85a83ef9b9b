"""The state of recipes: whether their method is still the one that was tuned."""

from __future__ import annotations

from benchmarks.plugins.values import apply_fields
from benchmarks.protocol import budget
from benchmarks.sweep.fingerprints import fingerprint
from benchmarks.sweep.recipe_files import Recipe
from methods.registry import METHODS

CURRENT, STALE, BY_HAND, UNKNOWN = "current", "stale", "by hand", "unknown method"


def state_of(recipe: Recipe) -> str:
    """Return the state of a recipe in words.

    It is `stale` if another version of the method's source was tuned, and `by hand` if the recipe
    does not say what was.

    Raises:
        UserError: a fixed field that the method does not have, or a value that it refuses.
    """
    if not recipe.source:
        return BY_HAND
    if recipe.method not in METHODS.entries():
        return UNKNOWN
    fields = METHODS.fields(recipe.method)
    # The fixed fields may name a loss, whose source counts.
    given = budget(recipe.protocol, fields) | recipe.fixed
    tuned = apply_fields(f"method {recipe.method} in {recipe.file}", fields, given)
    return CURRENT if recipe.source == fingerprint(recipe.method, tuned) else STALE


def is_stale(recipe: Recipe) -> bool:
    """Return True if another version of the method's source was tuned."""
    return state_of(recipe) == STALE
