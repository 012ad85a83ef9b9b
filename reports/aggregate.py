"""Tables built from records.

Nothing is dropped silently: failed and inapplicable cells keep their rows and reasons, and
whatever a reader has to know is in the caption or a footnote.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Iterable, Mapping, Sequence

from benchmarks.datasets.partitions import Partition
from benchmarks.metrics import METRICS, Metric
from benchmarks.priors import KNOB
from benchmarks.protocol import GROUPS
from benchmarks.sweep.rows.comparability import Difference, differences, refuse
from benchmarks.sweep.rows.labels import Named
from benchmarks.sweep.rows.variants import Variant, variants
from reports import notes
from reports.columns import COSTS, shown_keys
from reports.footnotes import footnotes
from reports.named_groups import key_of, metrics_over, partition_for, value_of
from reports.order import is_balanced, main_metric, sorted_rows, without_prior
from reports.published.matching import published_values
from reports.table import Row, Summary, Table
from reports.view import USUAL, View
from results.schema import Record


def build_tables(
    records: Iterable[Record],
    *,
    stale: Collection[str] = (),
    allow_mixed: bool = False,
    view: View = USUAL,
) -> list[Table]:
    """One table for each data set and backbone, sorted by their names or as they are asked for.

    Args:
        records: records in any order, on which only the order `asked` of tables and rows depends.
        stale: keys of records made with another version of the method's source.
        allow_mixed: build a table even from records that differ in more than the method. The
            differences become part of the variants and footnotes.
        view: the user's choice of columns, order and names. The order by `rank` needs all tables:
            see `across.order`.

    Raises:
        MixedRecords: records of a table differ in more than the method, and `allow_mixed` is off.
        UserError: names of rows are ambiguous or not distinct.
    """
    records = list(records)
    asked = {record.key: place for place, record in enumerate(records)}
    by_table: dict[tuple[str, str], list[Record]] = {}
    for record in sorted(records, key=lambda record: record.key):
        by_table.setdefault((record.dataset, record.backbone), []).append(record)
    found = {where: differences(members) for where, members in by_table.items()}
    if not allow_mixed:
        for where, members in by_table.items():
            refuse(members, found[where])
    places = {where: min(asked[r.key] for r in members) for where, members in by_table.items()}
    # Priors of one data set are in the order asked for.
    order = sorted(by_table, key=lambda where: (*without_prior(by_table[where][0]), places[where]))
    if view.sort == "asked":
        order.sort(key=places.__getitem__)
    return [_table(by_table[where], found[where], stale, view, asked) for where in order]


def _table(
    records: Sequence[Record],
    found: Sequence[Difference],
    stale: Collection[str],
    view: View,
    asked: Mapping[str, int],
) -> Table:
    first = records[0]
    grouped, label_notes = variants(records, found)
    partition = partition_for(records, view.groups)
    named = {metric.key: metric for metric in metrics_over(partition)}
    unsorted = _named([_row(variant, stale, named) for variant in grouped], view, first.dataset)
    balanced, prior = is_balanced(unsorted), first.dataset_config.get(KNOB, "")
    main = main_metric(view, unsorted, balanced=balanced or bool(prior))
    rows = sorted_rows(unsorted, view.sort, main, asked)
    warnings = [
        f"{variant.label}: {len(variant.superseded)} other record(s) of the same seeds left out; "
        "the newest finished run is used. "
        f"Left out: {', '.join(r.key for r in variant.superseded)}."
        for variant in grouped
        if variant.superseded
    ]
    if view.metric and main != view.metric:
        warnings.append(f"no row has '{view.metric}', so '{main}' sorts the rows.")
    shown = shown_keys(view.columns, first.task)
    if view.columns and not set(view.columns) & set(shown):
        warnings.append(
            f"{first.task}-label data have none of the columns asked for; these are the usual ones."
        )
    table = Table(
        dataset=first.dataset,
        backbone=first.backbone,
        name=view.names.data_set(first.dataset),
        backbone_name=view.names.backbone(first.backbone),
        task=first.task,
        main=main,
        balanced=balanced,
        prior=prior,
        rows=tuple(rows),
        sizes=_sizes(rows) | _named_sizes(partition),
        caption="",
        footnotes=tuple(footnotes(rows, found, _renamed(label_notes, view), shown)),
        warnings=tuple(warnings),
        view=view,
        remark=" ".join(sorted({record.remark for record in records} - {""})),
        published=published_values(first.dataset, first.backbone, rows),
        partition=partition,
        named=named,
    )
    return dataclasses.replace(table, caption=notes.caption(table))


def _renamed(lines: Sequence[str], view: View) -> list[str]:
    """Lines that begin with a method, with its printed name."""
    return [view.names.method(line, line.partition(":")[0]) for line in lines]


def _named(rows: Sequence[Row], view: View, where: str) -> list[Row]:
    """The rows with the names that the user prints them with."""
    if not view.names.given:
        return list(rows)
    known = [
        Named(row.method, row.first.config, row.first.tuning, row.first.protocol, row.label)
        for row in rows
    ]
    names = view.names.rows(known, where)
    return [dataclasses.replace(row, name=name) for row, name in zip(rows, names, strict=True)]


def _named_sizes(partition: Partition | None) -> dict[str, str]:
    if partition is None:
        return {}
    return {key_of(group): str(partition.membership.count(group)) for group in partition.groups}


def _row(variant: Variant, stale: Collection[str], named: Mapping[str, Metric]) -> Row:
    done = tuple(record for record in variant.records if record.status == "done")
    columns: dict[str, list[float | None]] = {name: [] for name in (*METRICS, *COSTS)}
    for record in done:
        for names, part in ((METRICS, record.metrics), (COSTS, record.cost)):
            for name in names:
                columns[name].append(getattr(part, name))
    for key, metric in named.items():
        columns[key] = [value_of(metric, record) for record in done]
    return Row(
        label=variant.label,
        name=variant.label,
        method=variant.records[0].method,
        values={name: summarise(column) for name, column in columns.items()},
        spread=_spread(done),
        done=done,
        failed=tuple(record for record in variant.records if record.status != "done"),
        stale=any(record.key in stale for record in done),
    )


def summarise(values: Iterable[float | None]) -> Summary:
    """Mean, sample standard deviation (ddof=1) and number of the values that are not None."""
    present = [value for value in values if value is not None]
    n = len(present)
    if not n:
        return Summary(None, None, 0)
    mean = math.fsum(present) / n
    squares = math.fsum((value - mean) ** 2 for value in present)
    return Summary(mean, math.sqrt(squares / (n - 1)) if n > 1 else None, n)


def _spread(done: Sequence[Record]) -> str | None:
    if len(done) < 2:
        return None
    splits = len({record.split_seed for record in done})
    # A deterministic method has one run for each split, whatever seed it was given.
    seeds = 1 if done[0].deterministic else len({record.seed for record in done})
    if splits == 1:
        return f"{seeds} run seeds"
    if seeds == 1:
        return f"{splits} split seeds"
    if len(done) == seeds * splits:
        return f"{seeds} run seeds × {splits} split seeds"
    return f"{len(done)} pairs of a run seed and a split seed"


def _sizes(rows: Iterable[Row]) -> dict[str, str]:
    groups = [r.groups for row in rows for r in row.done if r.groups is not None]
    sizes = {}
    for name in GROUPS:
        counts = sorted({getattr(group, name) for group in groups})
        sizes[name] = "–".join(str(count) for count in dict.fromkeys((*counts[:1], *counts[-1:])))
    return sizes
