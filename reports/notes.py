"""Caption and footnotes of a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from benchmarks.metrics import metrics_of
from benchmarks.sweep.rows.comparability import Difference
from reports.table import Row
from results.schema import Cost, Record

K = TypeVar("K", bound=Hashable)

STALE = "†"
INCOMPLETE = "‡"
TUNED_BEFORE = "tuned with another version of the method's source."


def caption(first: Record, rows: Sequence[Row]) -> str:
    """The measured quantity, the rules it was measured by, and the meaning of every ±."""
    done = [record for row in rows for record in row.done]
    what = "Average precision" if first.task == "multi" else "Top-1 accuracy"
    if first.task == "multi":
        raw = first.dataset_config.get("scores", "logits") == "logits"
        scores = "raw logits" if raw else "a softmax over the classes"
        over = f"mAP: mean over classes, on {scores}."
    else:
        over = "Overall: over images; balanced: over classes."
    parts = [f"{what} (%) on {first.dataset} with {first.backbone}. {over}"]
    if done:
        rules = sorted({r.groups.rule for r in done if r.groups is not None})
        parts.append(
            f"Groups (number of classes in brackets) by rule {' / '.join(rules)}: mean over their "
            "classes."
        )
        chosen = sorted(
            {
                s.rule if s.rule == "last" else f"best on validation images ({s.source})"
                for s in (r.selection for r in done)
                if s is not None
            }
        )
        transforms = _all(done, "transform")
        transform = "" if transforms == "checkpoint" else f"evaluation transform {transforms}, "
        parts.append(
            f"Long-tail draw {_all(done, 'recipe')}, protocol {_all(done, 'protocol')}, "
            f"precision {_all(done, 'precision')}, {transform}"
            f"epoch reported: {' / '.join(chosen)}."
        )
        parts.append(_spread_text(rows))
        if len(_by_texts(row for row in rows if row.done)) > 1:
            parts.append(
                "Rows use different class texts, which are part of the differences between them: "
                "see the footnote."
            )
    lower = [m.title_for(first.task) for m in metrics_of(first.task)
             if m.printed and not m.higher_is_better]  # fmt: skip
    if lower:
        parts.append(f"Lower is better: {', '.join(lower)}.")
    return " ".join(parts)


def _all(records: Iterable[Record], name: str) -> str:
    return " / ".join(sorted({getattr(record, name) for record in records}))


def _spread_text(rows: Sequence[Row]) -> str:
    """The meaning of ±, the number of runs behind it, and why some rows have none."""
    spreads = Counter(row.spread for row in rows if row.spread is not None)
    parts = []
    if spreads:
        usual = min(spreads, key=lambda spread: (-spreads[spread], spread))
        parts.append(f"±: sample standard deviation (ddof=1) over {usual}")
        for spread, labels in _by(rows, lambda row: row.spread).items():
            if spread not in (usual, None):
                parts[0] += f" ({', '.join(labels)}: {spread})"
    single = [row for row in rows if len(row.done) == 1]
    fixed = [row.label for row in single if row.done[0].deterministic]
    once = [row.label for row in single if not row.done[0].deterministic]
    if fixed:
        parts.append(f"no ± for deterministic methods ({', '.join(fixed)})")
    if once:
        parts.append(f"no ± for a single run ({', '.join(once)})")
    text = "; ".join(parts)
    return text[:1].upper() + text[1:] + "."


def footnotes(
    rows: Sequence[Row], found: Sequence[Difference], label_notes: Sequence[str]
) -> list[str]:
    """Everything a reader of the table has to know, one line each, the most serious first."""
    lines = [f"Mixed on request, so rows may not be comparable: {what}." for what in found]
    if any(row.stale for row in rows):
        lines.append(f"{STALE} made with another version of the method's source.")
    lines += [_failures(row) for row in rows if row.failed]
    for row in rows:
        sources = {r.provenance.fingerprint for r in row.done if r.provenance is not None}
        if len(sources) > 1:
            lines.append(
                f"{row.label}: its runs were made with {len(sources)} versions of the source."
            )
    tuned_before = [row.label for row in rows if row.stale_recipe]
    if tuned_before:
        who = "All rows" if len(tuned_before) == len(rows) > 1 else ", ".join(tuned_before)
        lines.append(f"{who}: {TUNED_BEFORE}")
    lines += label_notes
    finished = [row for row in rows if row.done]
    lines += _unequal(finished)
    texts: dict[str, list[str]] = {}
    for row in rows:
        for text in dict.fromkeys(t for r in (*row.done, *row.failed) for t in r.notes):
            texts.setdefault(text, []).append(row.label)
    everyone = len(rows) if len(rows) > 1 else None
    for text, labels in texts.items():
        who = "All rows" if len(labels) == everyone else ", ".join(labels)
        lines.append(f"{who}: {text}")
    return lines


def _failures(row: Row) -> str:
    """A line such as "lift ‡: 2 of 3 runs failed (seeds 1, 2): CUDA out of memory"."""
    reasons: dict[tuple[str, str], list[str]] = {}
    splits = {record.split_seed for record in (*row.done, *row.failed)}
    for record in row.failed:
        seed = f"{record.seed}" if len(splits) == 1 else f"{record.seed}/{record.split_seed}"
        reason = one_line(record.error or "no reason given")
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
    return f"{row.label} {INCOMPLETE}: {'; '.join(parts)}"


def _unequal(rows: Sequence[Row]) -> list[str]:
    """Budgets that differ between rows, which is allowed but must be reported."""
    lines = []
    for name, title in (
        ("epochs", "epochs"), ("images_seen", "training images seen"),
        ("tuning_trials", "tuning trials"),
    ):  # fmt: skip
        by_value = _by(rows, lambda row, name=name: row.values[name].mean)  # type: ignore[misc]
        if len(by_value) > 1:
            pairs = sorted(by_value.items(), key=lambda item: (item[0] or 0.0, item[1]))
            shown = "; ".join(f"{value:,.10g} ({', '.join(who)})" for value, who in pairs)
            lines.append(f"Unequal {title}: {shown}.")
    # A method on frozen features has no such field: it sees unaugmented images.
    augmented = _by(rows, lambda row: str(row.done[0].config.get("augment", "none")))
    if len(augmented) > 1:
        lines.append(f"Training augmentation: {_listed(augmented)}.")
    texts = _by_texts(rows)
    if len(texts) > 1:
        lines.append(f"Class texts used: {_listed(texts)}.")
    if len(_by(rows, lambda row: row.values["trainable_params"].mean)) > 1:
        lines.append("Trainable parameters differ: see their column.")
    sources: dict[str, list[str]] = {}
    for row in rows:
        chosen = (r.selection for r in row.done if r.selection is not None)
        for source in sorted({s.source for s in chosen if s.rule == "val"}):
            sources.setdefault(source, []).append(row.label)
    if len(sources) > 1:
        lines.append(f"Epoch selected on different images: {_listed(sources)}.")
    together = _by(rows, lambda row: max(cost.fitted_together for cost in _costs(row)))
    together.pop(1, None)
    if together:
        shown = "; ".join(f"up to {n:,} ({', '.join(w)})" for n, w in sorted(together.items()))
        lines.append(f"Fit times are shares of the time of fits made together: {shown}.")
    return lines


def _costs(row: Row) -> list[Cost]:
    return [record.cost for record in row.done if record.cost is not None]


def _by_texts(rows: Iterable[Row]) -> dict[str, list[str]]:
    """Labels of the rows by the class texts that they use; rows that take no choice are left out.

    A method may use one kind of text for its head and another elsewhere (`head_text`, `text`), so
    what counts is all that it sees.
    """
    used = _by(rows, lambda row: _texts(row.done[0].config))
    return {" and ".join(texts): labels for texts, labels in used.items() if texts}


def _texts(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The kinds of class text in the fields `text` and `…_text` of a method's configuration."""
    chosen = {
        str(value) for name, value in config.items() if name == "text" or name.endswith("_text")
    }
    return tuple(kind for kind in ("names", "descriptions") if chosen & {kind, "both"})


def _listed(labels: Mapping[str, Sequence[str]]) -> str:
    """Labels behind what they have in common, such as "names (lift); descriptions (sage)"."""
    return "; ".join(f"{value} ({', '.join(who)})" for value, who in sorted(labels.items()))


def _by(rows: Iterable[Row], key: Callable[[Row], K]) -> dict[K, list[str]]:
    """Labels of the rows by a property of the row."""
    result: dict[K, list[str]] = {}
    for row in rows:
        result.setdefault(key(row), []).append(row.label)
    return result


def one_line(text: str, limit: int = 160) -> str:
    """`text` without line breaks, cut to `limit` characters."""
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"
