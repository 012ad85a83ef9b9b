"""The columns that tables can have, by the names that a user types."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from benchmarks.errors import UserError, did_you_mean
from benchmarks.metrics import METRICS, metrics_of

COSTS: Mapping[str, str] = {
    "trainable_params": "params",
    "epochs": "epochs",
    "images_seen": "images",
    "tuning_trials": "trials",
    "fit_s": "fit",
    "fitted_together": "together",
    "eval_s": "eval",
    "peak_memory_mb": "memory",
}
"""Costs of a row and the titles of their columns; the keys are fields of `results.schema.Cost`."""
USUAL_COSTS = ("trainable_params", "fit_s")
"""Costs that tables have unless other columns are asked for."""


def shown_keys(asked: Sequence[str], task: str) -> list[str]:
    """The keys of a table's columns: those asked for that its task has, or else the usual ones."""
    metrics = metrics_of(task)
    own = {*COSTS, *(metric.key for metric in metrics)}
    usual = [*(metric.key for metric in metrics if metric.printed), *USUAL_COSTS]
    return [key for key in asked if key in own] or usual


def metric_key(text: str, where: str) -> str:
    """The key of a metric, which may be typed as the title of its column.

    Raises:
        UserError: there is no such metric.
    """
    return _key("metric", text, where, _metrics())


def column_key(text: str, where: str) -> str:
    """The key of a metric or cost, which may be typed as the title of its column.

    Raises:
        UserError: there is no such column.
    """
    return _key("column", text, where, column_names())


def column_names() -> dict[str, str]:
    """The keys of all columns by what can be typed for them."""
    costs = {name: key for key, title in COSTS.items() for name in (key, title)}
    return {**costs, **_metrics()}


def _metrics() -> dict[str, str]:
    return {
        name: key
        for key, metric in METRICS.items()
        for name in (metric.multi_title, metric.title, key)
    }


def _key(kind: str, text: str, where: str, names: Mapping[str, str]) -> str:
    lower = {name.lower(): key for name, key in names.items()}
    if text.lower() not in lower:
        raise unknown(kind, text, where, names)
    return lower[text.lower()]


def unknown(kind: str, text: str, where: str, names: Iterable[str]) -> UserError:
    """The error for an unknown name, with its place unless that is a flag."""
    return did_you_mean(kind if where.startswith("--") else f"{kind} in {where}", text, names)
