"""Sweeps over a knob of a data set, found among tables: its effect on each method."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reports.aggregate import summarise
from reports.table import Row, Summary, Table
from results.schema import Record

THIRDS = ("head third", "middle third", "tail third")
SWAPPED = 0.05
"""Fraction of class pairs that may swap ranks before two rankings count as different."""
WORDS = {
    "imbalance": ("ratio", "imbalance ratio, largest to smallest class"),
    "head_share": ("share", "share of head classes"),
}
"""Words for a value of a knob and for its axis; other knobs use their own names."""


@dataclass(frozen=True)
class Line:
    """A variant of a method at several values of the knob."""

    label: str
    name: str
    """Printed name."""
    method: str
    points: tuple[tuple[float, Mapping[str, Summary]], ...]
    """Value of the knob with the overall value and those of THIRDS by name."""


@dataclass(frozen=True)
class KnobSweep:
    """Tables of one data set that differ in a single knob."""

    base: str
    """Data set with the knobs its tables share, for example glyphs100_lt (total=fixed)."""
    backbone: str
    task: str
    knob: str
    lines: tuple[Line, ...]
    """Lines of two or more points, sorted by the mean overall value over all tables of the data
    set, so that a variant looks the same in all figures of a report."""
    sizes: Mapping[str, str]
    """Number of classes in each of THIRDS."""
    notes: tuple[str, ...]
    """Notes for the reader: the classes in the thirds, the meaning of the bands."""

    @property
    def values(self) -> list[float]:
        """All values of the knob that a line has a point at."""
        return sorted({x for line in self.lines for x, _ in line.points})


def find_sweeps(tables: Sequence[Table]) -> list[KnobSweep]:
    """Every set of two or more tables that differ in one numeric knob and nothing else.

    A table whose own records have different knobs (mixed on request) belongs to no sweep.
    """
    worlds: dict[tuple[Any, ...], list[Table]] = {}
    for table in tables:
        records = [record for row in table.rows for record in row.done]
        if len({_text(record.dataset_config) for record in records}) == 1:
            worlds.setdefault(_world(table, records[0]), []).append(table)
    found = []
    for world in worlds.values():
        heights = _heights(world)
        for knob in sorted({name for table in world for name in _knobs(table)}):
            alike: dict[str, list[Table]] = {}
            for table in world:
                value = _knobs(table).get(knob)
                if isinstance(value, int | float) and not isinstance(value, bool):
                    others = {k: v for k, v in _knobs(table).items() if k != knob}
                    alike.setdefault(_text(others), []).append(table)
            for members in alike.values():
                sweep = _sweep(knob, members, world, heights)
                found += [sweep] if sweep.lines else []
    return sorted(found, key=lambda sweep: (sweep.base, sweep.knob, sweep.backbone))


def _first(table: Table) -> Record:
    return next(row for row in table.rows if row.done).done[0]


def _knobs(table: Table) -> Mapping[str, Any]:
    return _first(table).dataset_config


def _text(values: Any) -> str:
    return json.dumps(values, sort_keys=True)


def _world(table: Table, record: Record) -> tuple[Any, ...]:
    """Settings that tables of one sweep must share in addition to their other knobs."""
    assert record.selection is not None and record.provenance is not None
    return (
        _family(table), table.backbone, table.task, record.dataset_version, record.protocol,
        record.precision, record.selection.rule, record.provenance.weights_id,
        record.provenance.preprocess_hash,
    )  # fmt: skip


def _family(table: Table) -> str:
    """Name of the data set without its knobs."""
    name = table.dataset.partition(" (")[0]
    ratio = _knobs(table).get("imbalance")
    return name.removesuffix(f"_ir{ratio:g}") if isinstance(ratio, int | float) else name


Key = tuple[str, str]
"""Identity of a row across tables: method, and configuration without tuned fields."""


def _sweep(
    knob: str, tables: Sequence[Table], world: Sequence[Table], heights: Mapping[Key, float]
) -> KnobSweep:
    fixed = _same_ranks(tables, world)
    lines: dict[Key, dict[float, Row]] = {}
    for table in tables:
        for row in table.rows:
            if row.done:
                lines.setdefault(_identity(row), {})[float(_knobs(table)[knob])] = row
    several = sorted(
        (key for key, rows in lines.items() if len(rows) > 1), key=lambda key: (heights[key], key)
    )
    made = [
        _line([row for _, row in sorted(lines[key].items())], sorted(lines[key]), fixed)
        for key in several
    ]
    spreads = sorted({r.spread for key in several for r in lines[key].values() if r.spread})
    first = _first(tables[0])
    return KnobSweep(
        base=_base(tables, knob),
        backbone=first.backbone,
        task=first.task,
        knob=knob,
        lines=tuple(made),
        sizes=_sizes(tables),
        notes=tuple(_notes(tables, knob, fixed is not None, spreads)),
    )


def _identity(row: Row) -> Key:
    """The method of a row with all fields except those that a recipe set.

    A recipe may have tuned these for each data set separately.
    """
    record = row.done[0]
    tuned = record.tuning.fields if record.tuning is not None else ()
    config = {name: value for name, value in record.config.items() if name not in tuned}
    return row.method, _text([config, str(record.tuning)])


def _line(rows: Sequence[Row], values: Sequence[float], fixed: NDArray[np.int64] | None) -> Line:
    # A label depends on the neighbours of its row, so it may differ between tables.
    often = Counter((row.label, row.name) for row in rows)
    label, name = max(often, key=lambda pair: (often[pair], len(pair[0])))
    points = []
    for value, row in zip(values, rows, strict=True):
        runs = [_thirds_of(record, fixed) for record in row.done]
        thirds = {name: summarise(run[name] for run in runs) for name in THIRDS}
        points.append((value, {"overall": row.values["overall"], **thirds}))
    return Line(label, name, rows[0].method, tuple(points))


def _heights(world: Sequence[Table]) -> dict[Key, float]:
    """Mean overall value of each variant, for sorting."""
    found: dict[Key, list[float | None]] = {}
    for row in (row for table in world for row in table.rows if row.done):
        found.setdefault(_identity(row), []).append(row.values["overall"].mean)
    means = {key: summarise(values).mean for key, values in found.items()}
    return {key: -1.0 if mean is None else mean for key, mean in means.items()}


def _thirds_of(record: Record, fixed: NDArray[np.int64] | None) -> dict[str, float | None]:
    """Mean class value of each third: the `fixed` thirds, or by rank within the record."""
    assert record.metrics is not None and record.groups is not None
    thirds = fixed
    if thirds is None:
        counts = np.array(record.groups.train_counts)
        thirds = _into_thirds(np.argsort(-counts, kind="stable"))
    values = np.array([np.nan if v is None else v for v in record.metrics.per_class], float)
    result: dict[str, float | None] = {}
    for i, name in enumerate(THIRDS):
        own = values[thirds == i]
        own = own[~np.isnan(own)]
        result[name] = float(own.mean()) if own.size else None
    return result


# ---- thirds --------------------------------------------------------------------------------------


def _same_ranks(tables: Sequence[Table], world: Sequence[Table]) -> NDArray[np.int64] | None:
    """(C,) third of each class if the ranking is the same in all `tables`, otherwise None.

    A single setting leaves ties (all classes at ratio 1, two levels in a step), so ranks are
    averaged over all settings of the same classes, in the sweep or elsewhere in the `world`.
    """
    names = _first(tables[0]).class_names
    counts = [_counts(table) for table in tables]
    if any(_first(t).class_names != names or len(c) != len(counts[0]) for t, c in
           zip(tables, counts, strict=True)):  # fmt: skip
        return None
    every = [_counts(table) for table in world if _first(table).class_names == names]
    ranks = np.mean([_ranks(own) for own in every if len(own) == len(counts[0])], axis=0)
    order = np.argsort(ranks, kind="stable")
    pairs = len(order) * (len(order) - 1) / 2
    for own in counts:
        ranked = own[order]
        swapped = sum(int((ranked[i + 1 :] > n).sum()) for i, n in enumerate(ranked))
        if swapped > SWAPPED * pairs:
            return None
    return _into_thirds(order)


def _counts(table: Table) -> NDArray[np.int64]:
    groups = _first(table).groups
    assert groups is not None
    return np.array(groups.train_counts)


def _ranks(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """(C,) ranks from the largest count to the smallest; equal counts get their mean rank."""
    _, level, number = np.unique(-counts, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(number) - (number + 1) / 2)[level])


def _into_thirds(order: NDArray[np.int64]) -> NDArray[np.int64]:
    """(C,) 0, 1 or 2 by the position in `order`; the larger thirds come first."""
    thirds = np.empty(len(order), dtype=np.int64)
    thirds[order] = np.arange(len(order)) * 3 // len(order)
    return thirds


# ---- words ---------------------------------------------------------------------------------------


def _base(tables: Sequence[Table], knob: str) -> str:
    """Name of the data set with the knobs that all tables name."""
    name = _family(tables[0])
    if knob != "imbalance":
        name = tables[0].dataset.partition(" (")[0]
    named = [table.dataset.partition(" (")[2].rstrip(")").split(", ") for table in tables]
    common = [item for item in named[0] if item and all(item in items for items in named)]
    return f"{name} ({', '.join(common)})" if common else name


def _sizes(tables: Sequence[Table]) -> dict[str, str]:
    every = []
    for table in tables:
        classes = len(_counts(table))
        every.append(np.bincount(np.arange(classes) * 3 // classes, minlength=3))
    low, high = np.min(every, axis=0), np.max(every, axis=0)
    return {
        name: f"{a}" if a == b else f"{a}–{b}" for name, a, b in zip(THIRDS, low, high, strict=True)
    }


def _notes(tables: Sequence[Table], knob: str, same: bool, spreads: Sequence[str]) -> Iterator[str]:
    word = WORDS.get(knob, (knob, ""))[0]
    which = "the same classes at every" if same else "separately at each"
    note = f"Groups: thirds by rank, {which} {word}"
    if tables[0].task == "single":
        totals = sorted({int(_counts(table).sum()) for table in tables})
        images = f"{totals[0]:,}" if len(totals) == 1 else f"{totals[0]:,} to {totals[-1]:,}"
        note += f"; {images} training images" + (" at each" if len(totals) == 1 else "")
    yield note + "."
    if spreads:
        yield f"Bands: standard deviation (ddof=1) over {' / '.join(spreads)}."
