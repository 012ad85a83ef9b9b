"""The choice that a user makes of the tables: columns, order, printed names and orientation.

A choice is read and checked once. `aggregate` applies it to the tables and `across` to the table
over data sets, so every output has the same columns, order and names.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.datasets.partitions import KNOWN, is_partition
from benchmarks.errors import UserError, did_you_mean
from benchmarks.file_names import expanded
from benchmarks.plugins.values import GROUP_RULES, coerce
from benchmarks.yaml_files import yaml_mapping
from reports.columns import column_key, column_names, metric_key, unknown
from reports.names import PLAIN, Names

ORDERS = ("asked", "rank")
"""Orders of rows beside those by a column."""


@dataclass(frozen=True)
class View:
    """A user's choice; each field is a key of `report:` in a sweep and a flag."""

    columns: tuple[str, ...] = ()
    """Keys of metrics and costs; empty for the usual columns."""
    sort: str = ""
    """Key of a metric or cost, or one of ORDERS; empty for the main metric of each table."""
    names: Names = PLAIN
    transpose: bool = False
    """Methods in columns, and metrics or data sets in rows."""
    metric: str = ""
    """Metric that sorts the tables and is compared over data sets; empty for the usual one."""
    groups: str = ""
    """Partition of the classes beside many, medium and few: a name or a file of
    `benchmarks.datasets.partitions`; empty for none."""


USUAL = View()
KEYS = tuple(field.name for field in dataclasses.fields(View))


def read_view(given: Mapping[str, tuple[Any, str]]) -> View:
    """The view of typed values.

    Args:
        given: field of `View` -> its value from a flag or a YAML file, and where it was typed.

    Raises:
        UserError: an unknown column, metric or order, a wrong type, or an unreadable file of names.
    """
    return View(**{name: _READERS[name](value, where) for name, (value, where) in given.items()})


def _columns(value: Any, where: str) -> tuple[str, ...]:
    texts = value.split(",") if isinstance(value, str) else value
    if not isinstance(texts, list | tuple):
        raise UserError(f"{where}: write columns such as overall,few, not {value!r}.")
    found = [column_key(str(text).strip(), where) for text in texts if str(text).strip()]
    if not found:
        raise UserError(f"{where}: no column given; write, for example, overall,many,few.")
    return tuple(dict.fromkeys(found))


def _sort(value: Any, where: str) -> str:
    text: str = coerce(value, str, where)
    if text.lower() in ORDERS:
        return text.lower()
    if text.lower() not in map(str.lower, column_names()):
        raise unknown("order", text, where, {*ORDERS, *column_names()})
    return column_key(text, where)


def _names(value: Any, where: str) -> Names:
    """Read names from a mapping, or from the YAML file that is named."""
    if isinstance(value, Mapping):
        pairs = {str(key): printed for key, printed in value.items()}
    elif not isinstance(value, str | Path):
        raise UserError(f"{where}: write a YAML file or 'method: printed name', not {value!r}.")
    else:
        file = expanded(value, where)
        where = f"{where} {file}"
        pairs = yaml_mapping(file, "names are a mapping such as 'lift: LIFT'")
    for key, printed in pairs.items():
        if not isinstance(printed, str) or not printed.strip():
            raise UserError(f"{where}: the name of '{key}' is not a text: {printed!r}.")
    return Names({key: " ".join(printed.split()) for key, printed in pairs.items()})


def _transpose(value: Any, where: str) -> bool:
    found: bool = coerce(value, bool, where)
    return found


def _metric(value: Any, where: str) -> str:
    return metric_key(coerce(value, str, where), where)


def _groups(value: Any, where: str) -> str:
    """Read a partition; a rule by training frequency is that of runs and changes nothing here."""
    text: str = coerce(value, str, where)
    if text in GROUP_RULES:
        return ""
    if not is_partition(text):
        raise did_you_mean(
            f"groups in {where} (or a .yaml or .csv file)", text, [*GROUP_RULES, *KNOWN]
        )
    return text


_READERS: Mapping[str, Callable[[Any, str], Any]] = {
    "columns": _columns,
    "sort": _sort,
    "names": _names,
    "transpose": _transpose,
    "metric": _metric,
    "groups": _groups,
}
