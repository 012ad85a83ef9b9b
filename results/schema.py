"""The record of one cell, and the only code that converts it to JSON and back.

Accuracies are percentages. A value that does not exist (the few-shot accuracy of a data set without
few-shot classes) is None, never 0 and never NaN. `benchmarks.metrics` declares the metrics.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from benchmarks.metrics import Metrics

SCHEMA_VERSION = 1

Status = Literal["done", "failed", "not_applicable"]


class RecordError(ValueError):
    """A record file is damaged, or of a schema that this version does not know."""


@dataclass(frozen=True)
class Groups:
    """Groups of classes: name of the rule, group of each class and sizes of the groups."""

    rule: str
    many: int
    medium: int
    few: int
    train_counts: tuple[int, ...]
    """(C,) training images of each class, in class order."""
    membership: tuple[str, ...]
    """(C,) "many", "medium" or "few"."""


@dataclass(frozen=True)
class Selection:
    """The epoch that is reported: `last`, or `val` with the source of the validation images."""

    rule: str
    source: str


@dataclass(frozen=True)
class Tuning:
    """The recipe that set hyper-parameters."""

    origin: str
    """Source of the values, for example "tuned-on-glyphs100_lt, 16 trials"."""
    trials: int
    """Configurations tried to find them; 0 for values from a paper."""
    fields: tuple[str, ...]
    """Hyper-parameters whose final value the recipe set."""

    def __str__(self) -> str:
        """The recipe as tables show it."""
        if not self.trials:
            return f"recipe: {self.origin}"
        return f"tuned, {self.trials} trial{'' if self.trials == 1 else 's'}"


@dataclass(frozen=True)
class Cost:
    """Cost of the cell. `peak_memory_mb` is that of the device, or of the process on a CPU."""

    trainable_params: int
    epochs: int
    images_seen: int
    tuning_trials: int
    fit_s: float
    eval_s: float
    peak_memory_mb: float
    gpu: str | None
    data_wait_s: float | None = None
    """Part of `fit_s` spent waiting for images; None on frozen features and in old records."""
    fitted_together: int = 1
    """Number of trainings batched into one problem, this one included; `fit_s` is its share."""


@dataclass(frozen=True)
class Provenance:
    """Code, hardware, weights and data that the numbers come from."""

    git: str
    dirty: bool
    versions: dict[str, str]
    hardware: str
    weights_id: str
    preprocess_hash: str
    text_hash: str
    split_hash: str
    fingerprint: str
    started: str
    finished: str
    deterministic_algorithms: bool = True
    """True if torch was restricted to algorithms that repeat their numbers."""


@dataclass(frozen=True)
class Record:
    """One cell: a method on a data set with a backbone and a seed."""

    key: str
    status: Status
    error: str | None
    method: str
    dataset: str
    task: str
    dataset_version: str
    recipe: str
    backbone: str
    seed: int
    split_seed: int
    protocol: str
    precision: str
    deterministic: bool
    """True if the method uses no randomness: one run serves every seed, and its ± prints as "–"."""
    config: dict[str, Any]
    """Resolved hyper-parameters of the method."""
    dataset_config: dict[str, Any]
    """Resolved knobs of the data set."""
    class_names: tuple[str, ...] = ()
    identity: str = ""
    """Hash of the specification without the method's source; a stale record has the same."""
    notes: tuple[str, ...] = ()
    """Footnotes: reconstructions, warnings, anything a reader of the table has to know."""
    metrics: Metrics | None = None
    groups: Groups | None = None
    selection: Selection | None = None
    transform: str = "checkpoint"
    """Name of the evaluation transform: the checkpoint's own, or that of a paper's code."""
    remark: str = ""
    """Remark of the sweep on all its numbers, printed after the caption of their table."""
    tuning: Tuning | None = None
    """None without a recipe: defaults, values of the protocol, or values that the sweep set."""
    cost: Cost | None = None
    provenance: Provenance | None = None
    schema_version: int = field(default=SCHEMA_VERSION)

    def to_json(self) -> dict[str, Any]:
        """The record as JSON types, with tuples as lists.

        Raises:
            RecordError: the record contains a NaN, an infinity or a value that JSON cannot hold.
        """
        data: dict[str, Any] = _to_json(dataclasses.asdict(self), "")
        return data

    @classmethod
    def from_json(cls, data: Any) -> Record:
        """Read the output of `to_json`; every list becomes a tuple.

        Raises:
            RecordError: the data are not a record, fields are missing, unknown or of a wrong type,
                fields by class differ in length, or the schema version is another.
        """
        if not isinstance(data, dict) or "schema_version" not in data:
            raise RecordError("not a record: it has no schema_version")
        version = data["schema_version"]
        if version != SCHEMA_VERSION:
            newer = isinstance(version, int) and version > SCHEMA_VERSION
            remedy = "update the suite" if newer else "run the cell again"
            raise RecordError(
                f"schema {version}, but this version reads {SCHEMA_VERSION}: {remedy}"
            )
        record: Record = _build(cls, data, "record")
        if record.status == "done":
            record._check_done()
        return record

    def _check_done(self) -> None:
        parts = (self.metrics, self.groups, self.selection, self.cost, self.provenance)
        if self.metrics is None or self.groups is None or None in parts:
            raise RecordError("the status is done, but a part of the record is missing")
        lengths = {
            "metrics.per_class": len(self.metrics.per_class),
            "groups.train_counts": len(self.groups.train_counts),
            "groups.membership": len(self.groups.membership),
        }
        if self.class_names:
            lengths["class_names"] = len(self.class_names)
        if len(set(lengths.values())) > 1:
            raise RecordError(f"fields by class have different lengths: {lengths}")


def cell_key(identity: str, fingerprint: str) -> str:
    """Key of a cell, 16 hexadecimal digits.

    Args:
        identity: hash of its specification without the method's source.
        fingerprint: of the method's source.
    """
    text = json.dumps(
        {"identity": identity, "fingerprint": fingerprint}, separators=(",", ":"), sort_keys=True
    )
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class _Wrong(Exception):
    """Wrong type; the caller adds the path of the field."""


Reader = Callable[[Any, str], Any]
"""Converts a JSON value to the value of a field; the text is the path of its part for messages."""


def _build(cls: Any, data: Any, path: str) -> Any:
    """`cls(**data)` with the type of every field checked; messages start with `path`."""
    if not isinstance(data, dict):
        raise RecordError(f"{path} is not a mapping")
    readers, required = _readers(cls)
    if not required <= data.keys() <= readers.keys():
        unknown, missing = sorted(data.keys() - readers.keys()), sorted(required - data.keys())
        raise RecordError(f"{path}: unknown fields {unknown}, missing fields {missing}")
    values = {}
    for name, value in data.items():
        try:
            values[name] = readers[name](value, path)
        except _Wrong:
            shown = f"{str(value)[:60]!r}"
            raise RecordError(f"{path}.{name} has a wrong type or value: {shown}") from None
    return cls(**values)


@functools.cache
def _readers(cls: type) -> tuple[dict[str, Reader], set[str]]:
    """A reader for each field of a dataclass, and the names of the fields without a default."""
    hints = typing.get_type_hints(cls)
    fields = dataclasses.fields(cls)
    required = {
        f.name for f in fields
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    }  # fmt: skip
    return {f.name: _reader(hints[f.name], f.name) for f in fields}, required


def _reader(hint: Any, name: str) -> Reader:
    """The reader of a field `name` annotated `hint`."""
    origin = typing.get_origin(hint)
    arms = typing.get_args(hint) if origin in (types.UnionType, typing.Union) else (hint,)
    if dataclasses.is_dataclass(arms[0]):
        part, optional = arms[0], types.NoneType in arms
        return lambda value, path: (
            None if value is None and optional else _build(part, value, f"{path}.{name}")
        )
    if origin is tuple:
        return _reader_of_tuples(_types(typing.get_args(hint)[0]))
    if origin is dict:
        return _reader_of_mappings(typing.get_args(hint)[1])
    if origin is Literal:
        options = typing.get_args(hint)
        return lambda value, _: value if value in options else _wrong()
    allowed = _types(hint)
    return lambda value, _: value if type(value) in allowed else _wrong()


def _reader_of_tuples(allowed: set[Any]) -> Reader:
    known: dict[Any, Any] = {}

    def read(value: Any, _: str) -> Any:
        # Sets of types, because a thousand records may hold a thousand classes each.
        if not isinstance(value, list) or not set(map(type, value)) <= allowed:
            raise _Wrong
        found = tuple(value)
        # Records of one data set have the same names and groups; keep one copy in memory.
        return known.setdefault(found, found) if str in allowed else found

    return read


def _reader_of_mappings(item: Any) -> Reader:
    allowed = None if item is Any else _types(item)

    def read(value: Any, _: str) -> Any:
        if not isinstance(value, dict):
            raise _Wrong
        if allowed is not None and not set(map(type, value.values())) <= allowed:
            raise _Wrong
        return _tuples(value)

    return read


def _wrong() -> Any:
    raise _Wrong


def _types(hint: Any) -> set[Any]:
    """Types that JSON may contain for a scalar annotated `hint`; an int is valid as a float."""
    arms = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    return {*arms, int} if float in arms else set(arms)


def _tuples(value: Any) -> Any:
    """`value` with all lists as tuples at any depth: configurations are frozen."""
    if isinstance(value, list):
        return tuple(_tuples(item) for item in value)
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return value


def _to_json(value: Any, path: str) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        raise RecordError(f"{path} is {value}")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _to_json(item, f"{path}.{key}".lstrip(".")) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_to_json(item, f"{path}[{i}]") for i, item in enumerate(value)]
    raise RecordError(f"{path} holds a {type(value).__name__}, which JSON cannot represent")
