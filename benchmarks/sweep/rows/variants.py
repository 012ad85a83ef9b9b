"""Variants: the records of one method with one configuration, and their label in a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from benchmarks.sweep.rows.comparability import ABSENT, Difference, as_json, mixed_settings
from results.schema import Record, Tuning
from results.store import preference


@dataclass(frozen=True)
class Variant:
    """The cells of one method with one configuration, on one data set with one backbone."""

    label: str
    """Name of the method, with the settings that distinguish the variant in brackets."""
    records: tuple[Record, ...]
    """One record for each run seed and split seed, in that order."""
    superseded: tuple[Record, ...]
    """Records of the same seeds that are not used: see `results.store.preference`."""


def variants(
    records: Sequence[Record], found: Sequence[Difference]
) -> tuple[list[Variant], list[str]]:
    """The variants of one table by label, and a line for each method whose label omits a setting.

    A label names a setting if its value is not the most common one among the variants of the
    method. If no value is the most common one, all variants name theirs. Values that a recipe set
    are not named; the recipe is.

    Args:
        records: records of one data set and backbone.
        found: settings that differ but must not; they distinguish variants as a configuration does.
    """
    by_method: dict[str, dict[Settings, list[Record]]] = {}
    for record in records:
        settings = _settings(record, found)
        by_method.setdefault(record.method, {}).setdefault(settings, []).append(record)
    result, lines = [], []
    for method, groups in sorted(by_method.items()):
        labels, usual = _distinct_labels(method, {s: _by_recipe(r[0]) for s, r in groups.items()})
        for settings, members in groups.items():
            kept, superseded = _latest(members)
            result.append(Variant(labels[settings], kept, superseded))
        if usual:
            shown = ", ".join(f"{name}={value}" for name, value in usual.items())
            lines.append(f"{method}: {shown} unless the row says otherwise.")
    return sorted(result, key=lambda variant: variant.label), lines


class Configured(Protocol):
    """A record, or a cell that has no record yet."""

    @property
    def method(self) -> str: ...

    @property
    def config(self) -> dict[str, Any]: ...

    @property
    def tuning(self) -> Tuning | None: ...


def table_labels(rows: Sequence[Configured]) -> list[str]:
    """The label of each row in the table of all these rows."""
    settings = [_own_settings(row) for row in rows]
    by_method: dict[str, dict[Settings, Collection[str]]] = {}
    for row, own in zip(rows, settings, strict=True):
        by_method.setdefault(row.method, {})[own] = _by_recipe(row)
    labels = {method: _distinct_labels(method, groups)[0] for method, groups in by_method.items()}
    return [labels[row.method][own] for row, own in zip(rows, settings, strict=True)]


Settings = tuple[tuple[str, str], ...]


def _settings(record: Record, found: Sequence[Difference]) -> Settings:
    return tuple(sorted({**dict(_own_settings(record)), **mixed_settings(record, found)}.items()))


def _own_settings(row: Configured) -> Settings:
    # As JSON: a record in memory may have a tuple where one read from a file has a list.
    config = {name: as_json(value) for name, value in row.config.items()}
    recipe = {RECIPE: str(row.tuning)} if row.tuning is not None else {}
    return tuple(sorted({**config, **recipe}.items()))


def _by_recipe(record: Configured) -> tuple[str, ...]:
    """Names of the fields that a recipe set."""
    return () if record.tuning is None else record.tuning.fields


RECIPE = "hyper-parameters"
"""Name of the setting that is the recipe; it cannot be the name of a field."""


def _distinct_labels(
    method: str, groups: Mapping[Settings, Collection[str]]
) -> tuple[dict[Settings, str], dict[str, str]]:
    """Labels by `_labels`, naming the fields of recipes as well if two labels would be equal."""
    labels, usual = _labels(method, groups)
    if len(set(labels.values())) < len(labels):  # two recipes of equally many trials
        return _labels(method, dict.fromkeys(groups, ()))
    return labels, usual


def _labels(
    method: str, groups: Mapping[Settings, Collection[str]]
) -> tuple[dict[Settings, str], dict[str, str]]:
    """A label for each group, and the values that labels omit although they vary.

    Args:
        method: start of every label.
        groups: settings of each group, with the names of those that its label omits.
    """
    tables = {
        group: {name: value for name, value in group if name not in hidden}
        for group, hidden in groups.items()
    }
    usual: dict[str, str] = {}
    varying = []
    for name in sorted({name for group in groups for name, _ in group}):
        having = [tables[group] for group, hidden in groups.items() if name not in hidden]
        counts = Counter(table.get(name, ABSENT) for table in having).most_common()
        if len(counts) > 1:
            varying.append(name)
            if counts[0][1] > counts[1][1] and name != RECIPE:
                usual[name] = counts[0][0]
    labels = {}
    for group, hidden in groups.items():
        table = tables[group]
        named = [
            f"{name}={_plain(table.get(name, ABSENT))}"
            for name in varying
            if name not in hidden and name != RECIPE and table.get(name, ABSENT) != usual.get(name)
        ]
        named += [table[RECIPE]] if RECIPE in varying and RECIPE in table else []
        labels[group] = f"{method} ({', '.join(named)})" if named else method
    return labels, {name: _plain(value) for name, value in usual.items()}


def shown(value: Any) -> str:
    """The value of a field as labels show it."""
    return _plain(as_json(value))


def _plain(text: str) -> str:
    """JSON text without the quotes of a string."""
    return text[1:-1] if text.startswith('"') else text


def _latest(records: Sequence[Record]) -> tuple[tuple[Record, ...], tuple[Record, ...]]:
    """The preferred record of each pair of seeds, and the others.

    One run of a deterministic method counts for every run seed.
    """
    by_seeds: dict[tuple[int, int], list[Record]] = {}
    for record in records:
        seed = 0 if record.deterministic else record.seed
        by_seeds.setdefault((record.split_seed, seed), []).append(record)
    kept, superseded = [], []
    for _, same in sorted(by_seeds.items()):
        *others, used = sorted(same, key=preference)
        kept.append(used)
        # The same file reached through two folders is not a second measurement.
        superseded += [record for record in others if record != used]
    return tuple(kept), tuple(superseded)
