"""The footnotes of a table: what its readers have to know.

Remarks for the author of a method (`Record.details`) are not among them. The record has them, and
`run` prints them at the cell.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from benchmarks.sweep.rows.comparability import Difference
from reports.layout import cost
from reports.merging import merged
from reports.notes import INCOMPLETE, STALE, TUNED_BEFORE, by_texts, labels_by
from reports.table import Row, Summary
from results.schema import Cost, Record, recipe_note

_LOG = re.compile(r" \(see logs/[^()]*\)$")
"""End of the error of a failed cell, which names a file of its run."""


def footnotes(
    rows: Sequence[Row],
    found: Sequence[Difference],
    label_notes: Sequence[str],
    shown: Collection[str],
) -> list[str]:
    """Everything a reader of the table has to know, one line each, the most serious first.

    Args:
        rows: those of the table.
        found: settings that differ and must not.
        label_notes: what labels leave out.
        shown: keys of the table's columns.
    """
    lines = [f"Mixed on request, so rows may not be comparable: {what}." for what in found]
    return [*lines, *doubts(rows), *label_notes, *unequal(rows, shown), *notes_of(rows)]


def doubts(rows: Sequence[Row]) -> list[str]:
    """Failed runs, and versions of the source."""
    lines = [f"{STALE} made with another version of the method's source."]
    lines = lines if any(row.stale for row in rows) else []
    failures: dict[str, dict[str, None]] = {}
    for row in rows:
        if row.failed:
            failures.setdefault(_failures(row), {})[row.name] = None
    lines += [f"{', '.join(names)} {INCOMPLETE}: {text}" for text, names in failures.items()]
    for row in rows:
        sources = {r.provenance.fingerprint for r in row.done if r.provenance is not None}
        if len(sources) > 1:
            lines.append(
                f"{row.name}: its runs were made with {len(sources)} versions of the source."
            )
    alone: dict[str, dict[str, None]] = {}
    for row in rows:
        if text := _one_class(row):
            alone.setdefault(text, {})[row.name] = None
    lines += [f"{', '.join(names)}: {text}" for text, names in alone.items()]
    tuned_before = [row.name for row in rows if row.stale_recipe]
    if tuned_before:
        lines.append(f"{_who(tuned_before, rows)}: {TUNED_BEFORE}")
    return lines


def _one_class(row: Row) -> str:
    """A text on runs that are right on all images of one class and on no other; "" without any.

    With two classes, such a run predicts one of them alone. With more, it may predict others, but
    none of them is ever right.
    """
    found: dict[str, int] = {}
    for record in row.done:
        values = record.metrics.per_class if record.metrics and record.task == "single" else ()
        tested = [(value, place) for place, value in enumerate(values) if value is not None]
        right = [place for value, place in tested if value > 0]
        if len(tested) > 1 and len(right) == 1 and values[right[0]] == 100:
            name = record.class_names[right[0]] if record.class_names else f"number {right[0]}"
            found[name] = found.get(name, 0) + 1
    if not found:
        return ""
    runs = sum(found.values())
    some = "" if runs == len(row.done) else f" in {runs} of {len(row.done)} runs"
    which = ", ".join(found)
    return f"no class but one is ever right{some} ({which}), as if it predicted no other."


def notes_of(rows: Sequence[Row]) -> list[str]:
    """The notes of the records, each with the rows that have it."""
    texts: dict[str, list[str]] = {}
    for row in rows:
        runs = merged([_own_notes(record) for record in (*row.done, *row.failed)])
        for text in dict.fromkeys(text for run in runs for text in run):
            texts.setdefault(text, []).append(row.name)
    lines = [f"{_who(names, rows)}: {text}" for text, names in texts.items()]
    return [*lines, *_recipes(rows)]


def _own_notes(record: Record) -> list[str]:
    """The notes of a record without the one on its recipe, which `_recipes` tells."""
    told = None if record.tuning is None else recipe_note(record.tuning)
    return [note for note in record.notes if note != told]


def _recipes(rows: Sequence[Row]) -> list[str]:
    """A line for each source of recipes, with the fields that they set."""
    found: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        for tuning in dict.fromkeys(r.tuning for r in row.done if r.tuning):
            fields = ", ".join(tuning.fields)
            found.setdefault(tuning.origin, {}).setdefault(fields, []).append(row.name)
    return [
        f"From recipes ({origin}): {_listed(by_fields)}." for origin, by_fields in found.items()
    ]


def _who(names: Sequence[str], rows: Sequence[Row]) -> str:
    distinct = dict.fromkeys(names)
    everyone = {row.name for row in rows}
    return "All rows" if len(distinct) == len(everyone) > 1 else ", ".join(distinct)


def _failures(row: Row) -> str:
    """A text such as "2 of 3 runs failed (seeds 1, 2): CUDA out of memory"."""
    errors = [_LOG.sub("", one_line(r.error or "no reason given")) for r in row.failed]
    reasons: dict[tuple[str, str], list[str]] = {}
    splits = {record.split_seed for record in (*row.done, *row.failed)}
    for record, (reason,) in zip(row.failed, merged([[error] for error in errors]), strict=True):
        seed = f"{record.seed}" if len(splits) == 1 else f"{record.seed}/{record.split_seed}"
        reasons.setdefault((record.status, reason), []).append(seed)
    parts = []
    for (status, reason), seeds in reasons.items():
        if status == "not_applicable":
            parts.append(f"not applicable: {reason}")
            continue
        plural = "s" if len(seeds) > 1 else ""
        kind = f"seed{plural}" if len(splits) == 1 else f"run/split seed{plural}"
        parts.append(
            f"{len(seeds)} of {row.cells} runs failed ({kind} {', '.join(seeds)}): {reason}"
        )
    return "; ".join(parts)


# ---- budgets -------------------------------------------------------------------------------------


def unequal(rows: Sequence[Row], shown: Collection[str]) -> list[str]:
    """Budgets that differ between rows, which is allowed but must be reported.

    Args:
        rows: those of a table.
        shown: keys of the table's columns.
    """
    rows = [row for row in rows if row.done]
    lines = []
    for name, title in (
        ("epochs", "epochs"), ("images_seen", "training images seen"),
        ("tuning_trials", "tuning trials"),
    ):  # fmt: skip
        by_value = labels_by(rows, lambda row, name=name: row.values[name].mean)  # type: ignore[misc]
        if len(by_value) > 1:
            pairs = sorted(by_value.items(), key=lambda item: (item[0] or 0.0, item[1]))
            lines.append(f"Unequal {title}: {_divided({f'{v:,.10g}': who for v, who in pairs})}.")
    # A method on frozen features has no such field: it sees unaugmented images.
    augmented = labels_by(rows, lambda row: str(row.done[0].config.get("augment", "none")))
    if len(augmented) > 1:
        lines.append(f"Training augmentation: {_divided(dict(sorted(augmented.items())))}.")
    texts = by_texts(rows)
    if len(texts) > 1:
        lines.append(f"Class texts used: {_listed(dict(sorted(texts.items())))}.")
    sizes = sorted({row.values["trainable_params"].mean or 0.0 for row in rows})
    if len(sizes) > 1:
        ends = [cost("trainable_params", Summary(size, None, 1)) for size in (sizes[0], sizes[-1])]
        where = "see their column" if "trainable_params" in shown else " to ".join(ends)
        lines.append(f"Trainable parameters differ: {where}.")
    sources: dict[str, list[str]] = {}
    for row in rows:
        chosen = (r.selection for r in row.done if r.selection is not None)
        for source in sorted({s.source for s in chosen if s.rule == "val"}):
            sources.setdefault(source, []).append(row.name)
    if len(sources) > 1:
        lines.append(
            f"Epoch selected on different images: {_listed(dict(sorted(sources.items())))}."
        )
    together = labels_by(rows, lambda row: max(cost.fitted_together for cost in _costs(row)))
    together.pop(1, None)
    if together and "fit_s" in shown:
        by_number = {f"up to {n:,}": who for n, who in sorted(together.items())}
        lines.append(
            f"Fit times are shares of the time of fits made together: {_listed(by_number)}."
        )
    return lines


def _costs(row: Row) -> list[Cost]:
    return [record.cost for record in row.done if record.cost is not None]


def _listed(labels: Mapping[str, Sequence[str]]) -> str:
    """Names behind what they have in common, such as "names (lift); descriptions (sage)"."""
    return "; ".join(f"{value} ({', '.join(who)})" for value, who in labels.items())


def _divided(labels: Mapping[str, Sequence[str]]) -> str:
    """The same for groups that are all rows together, of which the largest one may be the rest."""
    sizes = sorted(map(len, labels.values()))
    rest = sizes[-1] if sizes[-1] > max(sizes[-2], _FEW) else None
    return _listed({v: ["all others"] if len(w) == rest else w for v, w in labels.items()})


_FEW = 3
"""Rows that are named one by one in any case."""


def one_line(text: str, limit: int = 160) -> str:
    """`text` without line breaks, cut to `limit` characters."""
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"
