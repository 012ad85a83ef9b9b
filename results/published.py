"""Strict reader of the published results in `published.yaml`: a mistake is one clear line."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from benchmarks.errors import UserError, did_you_mean
from benchmarks.metrics import METRICS
from benchmarks.protocol import GroupRule
from benchmarks.yaml_files import yaml_mapping

FILE = Path(__file__).with_name("published.yaml")
UNKNOWN = "unknown"
KINDS = ("paper", "authors' code", "third party", "calibration")
GROUPS = ("", *get_args(GroupRule), UNKNOWN)
TRANSFORMS = ("checkpoint", "lift", "lift_plus", "lmpt", UNKNOWN)
SCORES = ("", "logits", "softmax", UNKNOWN)


@dataclass(frozen=True)
class Published:
    """One published result, with the facts that decide which of our rows it is compared with."""

    source: str
    """Publication that the values were read in."""
    kind: str
    """One of KINDS."""
    name: str
    """Name of the method in the publication."""
    dataset: str | None
    """Name in `list`, with the ratio; None if it was not read."""
    method: str | None
    """Our name of the method; None if the suite does not have it."""
    backbone: str
    """Our name of the backbone, or a description if the suite does not have it."""
    values: Mapping[str, float] | None
    """Percentages by the name of the metric; None if nothing could be read."""
    tte: bool | str
    """Test-time ensembling; UNKNOWN if that was not read."""
    external_data: bool | str
    """Images or texts beyond the training set; UNKNOWN if that was not read."""
    split: str
    """Draw of the training subset; empty if nothing is trained."""
    groups: str
    """Rule of the groups, one of GROUPS; empty without values of groups."""
    transform: str
    """Evaluation transform, one of TRANSFORMS."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Fields of our method that differ from the defaults."""
    scores: str = ""
    """Multi-label: scores that average precision was computed from, one of SCORES."""
    inferred: tuple[str, ...] = ()
    """Names of the fields above that we inferred because the source does not state them."""
    test_images: int | None = None
    """Size of the complete test set, for `calibrate`."""
    tolerance: float | None = None
    """Points within which a repetition counts as the same; None without values."""
    note: str | None = None

    @property
    def unread(self) -> tuple[str, ...]:
        """Names of the facts about the variant that could not be read."""
        return tuple(n for n in ("tte", "split", "transform") if getattr(self, n) == UNKNOWN)


@functools.cache
def published(file: Path = FILE) -> tuple[Published, ...]:
    """Every published result of a file, in the order of the file.

    Raises:
        UserError: the file cannot be read, or an entry has an unknown key, lacks a key or has a
            value of the wrong type; the message names the entry.
    """
    data = yaml_mapping(file, "published results are a mapping with the key 'tables'")
    tables = data.get("tables")
    if list(data) != ["tables"] or not isinstance(tables, list):
        raise UserError(f"{file}: expected one key, 'tables', with a list.")
    return tuple(entry for i, table in enumerate(tables, 1) for entry in _table(file, i, table))


def _table(file: Path, number: int, table: Any) -> list[Published]:
    where = f"{file}, table {number}"
    if not isinstance(table, dict):
        raise UserError(f"{where}: expected a mapping, not {table!r}.")
    if isinstance(table.get("source"), str):
        where += f" ({table['source'][:40]})"
    for key in table:
        if key not in ("source", "kind", "shared", "rows"):
            raise did_you_mean(f"key in {where}", str(key), ("source", "kind", "shared", "rows"))
    shared, rows = table.get("shared", {}), table.get("rows")
    if not isinstance(shared, dict) or not isinstance(rows, list) or not rows:
        raise UserError(f"{where}: 'shared' must be a mapping and 'rows' a list of mappings.")
    entries = []
    for i, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise UserError(f"{where}, row {i}: expected a mapping, not {row!r}.")
        own = {"source": table.get("source"), "kind": table.get("kind")} | shared | row
        entries.append(_entry(own, f"{where}, row {i} ({own.get('name')}, {own.get('dataset')})"))
    return entries


def _entry(data: dict[str, Any], where: str) -> Published:
    known = {f.name: f for f in dataclasses.fields(Published)}
    for key in data:
        if key not in known:
            raise did_you_mean(f"key in {where}", str(key), known)
    for key, f in known.items():
        optional = not (f.default is f.default_factory is dataclasses.MISSING)
        if key not in data and not optional:
            raise UserError(f"{where}: '{key}' is missing.")
    for key, fits in _FITS.items():
        if key in data and not fits(data[key]):
            raise UserError(f"{where}: {key}: {data[key]!r} is not {_WANTED[key]}.")
    values = data["values"]
    if values is not None and (data["dataset"] is None or data.get("tolerance") is None):
        raise UserError(f"{where}: values need a data set and a tolerance.")
    if data["groups"] == "" and any(METRICS[name].group for name in values or ()):
        raise UserError(f"{where}: values by group need the group rule in 'groups'.")
    return Published(**data | {"inferred": tuple(data.get("inferred", ()))})


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _percentages(value: Any) -> bool:
    return value is None or (
        isinstance(value, dict)
        and bool(value)
        and set(value) <= set(METRICS)
        and all(type(v) in (int, float) and 0 < v < 100 for v in value.values())
    )


_FITS: dict[str, Callable[[Any], bool]] = {
    "source": _text,
    "kind": lambda value: value in KINDS,
    "name": _text,
    "dataset": lambda value: value is None or _text(value),
    "method": lambda value: value is None or _text(value),
    "backbone": _text,
    "values": _percentages,
    "tte": lambda value: isinstance(value, bool) or value == UNKNOWN,
    "external_data": lambda value: isinstance(value, bool) or value == UNKNOWN,
    "split": lambda value: isinstance(value, str),
    "groups": lambda value: value in GROUPS,
    "transform": lambda value: value in TRANSFORMS,
    "fields": lambda value: isinstance(value, dict),
    "scores": lambda value: value in SCORES,
    "inferred": lambda value: (
        isinstance(value, list)
        and all(isinstance(key, str) and key in Published.__dataclass_fields__ for key in value)
    ),
    "test_images": lambda value: value is None or (type(value) is int and 0 < value <= 10**9),
    "tolerance": lambda value: value is None or (type(value) in (int, float) and 0 < value < 100),
    "note": lambda value: value is None or _text(value),
}
_WANTED = {
    "kind": f"one of {', '.join(KINDS)}",
    "values": f"a mapping of percentages by {', '.join(METRICS)}, or null",
    "tte": "yes, no or unknown",
    "external_data": "yes, no or unknown",
    "groups": f"one of {', '.join(GROUPS[1:])} or empty",
    "transform": f"one of {', '.join(TRANSFORMS)}",
    "scores": f"one of {', '.join(SCORES[1:])} or empty",
    "fields": "a mapping",
    "inferred": "a list of keys",
    "test_images": "a whole number",
    "tolerance": "a number of points",
} | dict.fromkeys(("source", "name", "backbone", "split", "dataset", "method", "note"), "a text")
