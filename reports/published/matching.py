"""Matches published values to the rows of a table that repeat them.

A published value is compared with a row only if both are the same variant: the same data set with
its split and ratio, backbone, evaluation transform, test-time ensembling and scores, no external
data, and every hyper-parameter of the row as published, that is the method's defaults under
protocol `paper` with the fields that the entry names. So nothing is compared with a row of protocol
`equal`, of fewer epochs, of tuned values or of an epoch chosen on validation images. Values of
groups are compared only under the same group rule. All other published values on the data set are
listed under the table with the reason why they are not compared. Facts that a source leaves open,
and those that we inferred, are named with the source.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.datasets import registry as datasets
from benchmarks.errors import UserError
from benchmarks.metrics import Metric, metrics_of
from benchmarks.plugins.values import apply_fields
from benchmarks.priors import KNOB
from benchmarks.protocol import budget
from benchmarks.sweep.rows.variants import shown
from methods.registry import METHODS
from reports.table import PublishedValue, PublishedValues, Row
from results.published import UNKNOWN, Published, published
from results.schema import Record

NAMED = 4
"""Largest number of values listed individually; of more, only the lowest and the highest are."""
_WORDS = {
    "tte": "test-time ensembling", "external_data": "external data", "dataset": "imbalance ratio",
    "fields": "hyper-parameters", "groups": "group rule",
}  # fmt: skip


def published_values(
    dataset: str,
    backbone: str,
    rows: Sequence[Row],
    entries: Iterable[Published] | None = None,
) -> PublishedValues | None:
    """Published values for a table; None if there are none for its data set and backbone.

    Args:
        dataset: name of the data set in the table, knobs included.
        backbone: name of the backbone.
        rows: rows of the table.
        entries: published results, by default all of `results/published.yaml`.
    """
    if any(KNOB in row.first.dataset_config for row in rows):
        return None  # published on the test images as they are
    name = dataset.partition(" (")[0]
    known = list(published() if entries is None else entries)
    fitting = [e for e in known if e.values is not None and on_data(e, name)]
    if not any(entry.backbone == backbone for entry in fitting):
        return None
    values: list[PublishedValue] = []
    apart: dict[str, list[Published]] = {}
    for entry in fitting:
        matches = [row for row in rows if row.done and not _reasons(entry, row)]
        for row in matches:
            values += _values(entry, row)
        # Calibration values of other backbones say nothing about this one.
        if not matches and (entry.backbone == backbone or entry.kind != "calibration"):
            apart.setdefault(_nearest_reason(entry, backbone, rows), []).append(entry)
    order = [row.label for row in rows]
    values.sort(key=lambda value: order.index(value.label))
    others = [f"{reason}: {_several(found)}" for reason, found in apart.items()]
    run = {row.method for row in rows}
    unread = [f"{e.method} ({e.source})" for e in known if e.values is None and e.method in run]
    return PublishedValues(tuple(values), tuple(others), tuple(unread))


def _values(entry: Published, row: Row) -> list[PublishedValue]:
    values, task = entry.values or {}, row.done[0].task
    metrics = [m.key for m in metrics_of(task) if m.key in values and _same(entry, m, row)]
    source, limit = _source(entry, metrics), entry.tolerance or 0.0
    return [
        PublishedValue(row.label, row.name, m, task, values[m], row.values[m], limit, source)
        for m in metrics
    ]


def on_data(entry: Published, name: str) -> bool:
    """True if an entry is on this data set; entries without training are on every ratio of it."""
    if entry.dataset is None or entry.dataset == name:
        return entry.dataset is not None
    return entry.split == "" and entry.dataset == _family_name(name)


def differences(entry: Published, record: Record) -> list[str]:
    """Differences between a record of the entry's method and backbone and the published variant."""
    found = []
    if record.protocol != "paper":
        found.append(f"protocol {record.protocol}")
    if record.selection is not None and record.selection.rule != "last":
        found += [] if record.deterministic else ["an epoch chosen on validation images"]
    found += _other_fields(entry, record)
    if entry.tte == UNKNOWN and "tte" in record.config:
        found.append("published test-time ensembling not read")
    if entry.transform == UNKNOWN:
        found.append("published transform not read")
    elif entry.transform != record.transform:
        found.append(f"transform {record.transform}, published with {entry.transform}")
    if record.image_size is not None:
        found.append(f"images of {record.image_size} pixels")
    return found + _other_data(entry, record)


def _reasons(entry: Published, row: Row) -> list[str]:
    """Reasons why an entry is not compared with a row that has results."""
    record = row.done[0]
    if entry.external_data is True:
        return ["external data"]
    if entry.backbone != record.backbone:
        return [f"other backbone ({entry.backbone})"]
    if entry.method != row.method:
        return ["not run here"]
    seeds = {r.split_seed for r in row.done} - {0}
    drawn = [f"split seed {min(seeds)}"] if seeds and entry.split.startswith("cao") else []
    return differences(entry, record) + drawn


def _nearest_reason(entry: Published, backbone: str, rows: Sequence[Row]) -> str:
    """Reason why an entry is compared with no row: that of the row that differs least."""
    if entry.external_data is True:
        return "external data"
    if entry.backbone != backbone:
        return f"other backbone ({entry.backbone})"
    if entry.method is None:
        return "not in the suite"
    own = [row for row in rows if row.method == entry.method]
    if not own:
        return "not run here"
    reasons = [_reasons(entry, row) for row in own if row.done]
    if not reasons:
        return "no result here"
    nearest: list[str] = min(reasons, key=len)
    return f"ours with {', '.join(nearest)}"


def _other_fields(entry: Published, record: Record) -> list[str]:
    """Hyper-parameters that differ from the published ones."""
    fields = METHODS.fields(record.method)
    published_fields = budget("paper", fields) | dict(entry.fields)
    wanted = apply_fields(f"method {record.method}", fields, published_fields)
    other = [
        f"{name}={shown(record.config[name])}"
        for name, value in wanted.items()
        if name in record.config and shown(record.config[name]) != shown(value)
    ]
    return [*other[:3], "…"] if len(other) > 3 else other


def _other_data(entry: Published, record: Record) -> list[str]:
    """Properties of the data that differ from the published ones."""
    family, _ = datasets.resolve(record.dataset.partition(" (")[0])
    found = []
    if record.dataset_version != family.version:
        found.append("other images than the official ones")
    if entry.split.startswith("cao") and record.recipe != entry.split:
        found.append(f"another split ({record.recipe})")
    knobs = record.dataset_config
    if entry.scores not in ("", UNKNOWN, knobs.get("scores", entry.scores)):
        found.append(f"average precision on {knobs['scores']}")
    # Without training only the texts matter; the counts of groups do not change the split.
    free = {"imbalance", "recipe", "group_counts", "scores"}
    if record.config.get("text") == "names":
        free.add("descriptions")
    for field in dataclasses.fields(family):  # type: ignore[arg-type]
        value = knobs.get(field.name, field.default)
        counts = field.name == "texts" if entry.split == "" else field.name not in free
        if counts and value != field.default:
            found.append(f"{field.name}={value}")
    return found


def _same(entry: Published, metric: Metric, row: Row) -> bool:
    """True if a metric means the same; that of a group needs the same rule and counts."""
    groups = row.done[0].groups
    own = row.done[0].dataset_config.get("group_counts", "own") == "own"
    return metric.group is None or (groups is not None and groups.rule == entry.groups and own)


def _source(entry: Published, compared: Sequence[str]) -> str:
    """Source of the values of an entry, with the facts that a reader has to know."""
    parts = [f"{entry.name}, {entry.kind}: {entry.source} (tolerance {entry.tolerance:g})"]
    if entry.inferred:
        parts.append(f"inferred: {_words(entry.inferred)}")
    if entry.unread:
        parts.append(f"not read: {_words(entry.unread)}")
    if len(compared) < len(entry.values or {}):
        rule = "not read" if entry.groups == UNKNOWN else entry.groups
        parts.append(f"its groups (rule: {rule}) are not compared")
    return "; ".join([*parts, *([entry.note] if entry.note else [])]) + "."


def _words(names: Iterable[str]) -> str:
    return ", ".join(_WORDS.get(name, name) for name in names)


def _several(entries: Sequence[Published]) -> str:
    """Several entries in a few words."""
    texts = list(dict.fromkeys(f"{e.name} {_first(e.values or {})}" for e in entries))
    if len(texts) <= NAMED:
        return ", ".join(texts)
    ranked = sorted(entries, key=lambda e: next(iter((e.values or {}).values())))
    low, high = ranked[0], ranked[-1]
    return (
        f"{len(texts)} values, {_first(low.values or {})} ({low.name}) to "
        f"{_first(high.values or {})} ({high.name})"
    )


def _first(values: Mapping[str, float]) -> str:
    metric = next(iter(values))
    return decimals(values[metric]) if metric == "overall" else f"{metric} {values[metric]}"


def decimals(value: float, like: float | None = None) -> str:
    """A percentage with as many decimals as `like` (by default the value itself) was published."""
    like = value if like is None else like
    return f"{value:.2f}" if abs(like * 10 - round(like * 10)) > 1e-6 else f"{value:.1f}"


def _family_name(name: str) -> Any:
    try:
        return datasets.resolve(name)[0].name
    except UserError:  # a data set that no longer exists
        return None
