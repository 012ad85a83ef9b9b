"""Conditions for records to share a table.

Numbers are comparable only if everything but the method is the same. The list of what must be the
same is here; whatever may differ (epochs, trainable parameters, ...) becomes a footnote.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.errors import UserError
from results.schema import Record

ABSENT = "unset"
WAY_OUT = (
    "To see the cells of one sweep alone, use `report --config` or the sweep's own command, which "
    "does not repeat finished cells; --allow-mixed shows all in one table and marks what differs."
)


class MixedRecords(UserError):
    """Records that differ in more than the method were to share a table."""


@dataclass(frozen=True)
class Difference:
    """A setting that differs between records of one table."""

    name: str
    """Name of the setting."""
    values: tuple[tuple[str, tuple[str, ...]], ...]
    """Each value with the methods that have it, both sorted."""

    def __str__(self) -> str:
        return f"{self.name} " + ", ".join(f"{v} ({', '.join(m)})" for v, m in self.values)


def differences(records: Sequence[Record]) -> list[Difference]:
    """Settings that differ between done records of one data set and backbone but must not."""
    done = [record for record in records if record.status == "done"]
    found = []
    settings = [(record, _settings(record)) for record in done]
    for name in dict.fromkeys(name for _, values in settings for name in values):
        # Two split seeds give two splits by design: not a mixture.
        per_split = name in _PER_SPLIT
        scopes: dict[int, dict[str, set[str]]] = {}
        for record, values in settings:
            scope = scopes.setdefault(record.split_seed if per_split else 0, {})
            scope.setdefault(values.get(name, ABSENT), set()).add(record.method)
        for split_seed, by_value in sorted(scopes.items()):
            if len(by_value) > 1:
                label = f"{name} (split seed {split_seed})" if per_split else name
                pairs = ((value, tuple(sorted(by_value[value]))) for value in sorted(by_value))
                found.append(Difference(label, tuple(pairs)))
    return found


def refuse_mixture(records: Sequence[Record], way_out: str = WAY_OUT) -> None:
    """Raise an error if the records may not share a table.

    Args:
        records: records of one data set and backbone.
        way_out: what the user can do.

    Raises:
        MixedRecords: settings differ; the message names them, their values, the methods that have
            these, and the way out.
    """
    refuse(records, differences(records), way_out)


def refuse(records: Sequence[Record], found: Sequence[Difference], way_out: str = WAY_OUT) -> None:
    """Raise an error if any differences were `found`.

    Raises:
        MixedRecords: see `refuse_mixture`.
    """
    if found:
        first = records[0]
        raise MixedRecords(
            f"{first.dataset} / {first.backbone}: these records cannot share a table. "
            f"Different: {'; '.join(map(str, found))}. {way_out}"
        )


def mixed_settings(record: Record, found: Sequence[Difference]) -> dict[str, str]:
    """The record's values of the settings that differ, by name: they distinguish its variants."""
    if not found:
        return {}
    values = _settings(record)
    suffix = f" (split seed {record.split_seed})"
    names = {difference.name.removesuffix(suffix) for difference in found}
    return {name: values[name] for name in values if name in names}


_PER_SPLIT = ("split", "class groups")


def _settings(record: Record) -> dict[str, str]:
    """Every setting that must be equal in a table, by name, as short text."""
    values = {
        "task": record.task,
        "data-set version": record.dataset_version,
        "long-tail draw": record.recipe,
        "protocol": record.protocol,
        "precision": record.precision,
        "transform": record.transform,
        "image size": str(record.image_size or "that of the weights"),
    }
    for name, value in sorted(record.dataset_config.items()):
        values[f"{record.dataset}.{name}"] = as_json(value)
    if record.selection is not None:
        values["selection rule"] = record.selection.rule
    if record.groups is not None:
        groups = record.groups
        values["group rule"] = groups.rule
        sizes = f"{groups.many}/{groups.medium}/{groups.few}"
        values["class groups"] = f"{sizes}, {_digest(groups.membership)}"
    if record.provenance is not None:
        values["weights"] = record.provenance.weights_id
        values["evaluation transform"] = _short(record.provenance.preprocess_hash)
        values["texts"] = _short(record.provenance.text_hash)
        values["split"] = _short(record.provenance.split_hash)
    return values


@functools.cache
def _digest(membership: tuple[str, ...]) -> str:
    return hashlib.sha256("".join(membership).encode()).hexdigest()[:6]


def as_json(value: Any) -> str:
    """A value of a configuration as JSON, equal for a tuple and a list."""
    known = repr(value)  # cached: a thousand records have the same few values
    if known not in _TEXTS:
        _TEXTS[known] = json.dumps(value, sort_keys=True)
    return _TEXTS[known]


_TEXTS: dict[str, str] = {}


def _short(digest: str) -> str:
    """The first digits of a hash, without the name of its kind ("sha256:")."""
    return digest.rpartition(":")[2][:12]
