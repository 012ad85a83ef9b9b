"""The caption of a table, and the signs of its footnotes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from benchmarks.metrics import METRICS
from benchmarks.priors import UNIFORM
from reports.columns import shown_keys
from reports.table import Row, Table
from results.schema import Record

K = TypeVar("K", bound=Hashable)

STALE = "†"
INCOMPLETE = "‡"
TUNED_BEFORE = "tuned with another version of the method's source."


def caption(table: Table) -> str:
    """The measured quantity, the rules it was measured by, and the meaning of every ±."""
    return " ".join(caption_parts(table))


def caption_parts(table: Table) -> list[str]:
    """The caption in parts, of which the first is the measured quantity."""
    rows = table.rows
    first = rows[0].first
    done = [record for row in rows for record in row.done]
    what = "Average precision" if first.task == "multi" else "Top-1 accuracy"
    if first.task == "multi":
        raw = first.dataset_config.get("scores", "logits") == "logits"
        scores = "raw logits" if raw else "a softmax over the classes of uncalibrated logits"
        over = f"mAP: mean over classes, on {scores}."
    elif table.prior:
        over = f"Overall: {under(table.prior)}; balanced: over classes."
    else:
        over = "Overall: over images; balanced: over classes."
    parts = [f"{what} (%) on {table.name} with {table.backbone_name}.", over]
    if not table.by_overall:
        parts.append(_unbalanced(table))
    if done:
        rules = sorted({r.groups.rule for r in done if r.groups is not None})
        parts.append(
            f"Groups (number of classes in brackets) by rule {' / '.join(rules)}: mean over their "
            "classes."
        )
        if table.partition is not None:
            parts.append(f"Also groups of {table.partition}: {', '.join(table.partition.groups)}.")
        chosen = sorted(
            {
                s.rule if s.rule == "last" else f"best on validation images ({s.source})"
                for s in (r.selection for r in done)
                if s is not None
            }
        )
        transforms = _all(done, "transform")
        transform = "" if transforms == "checkpoint" else f"evaluation transform {transforms}, "
        sizes = sorted({r.image_size for r in done if r.image_size is not None})
        if sizes:
            transform += f"images of {' / '.join(map(str, sizes))} pixels, "
        parts.append(
            f"Long-tail draw {_all(done, 'recipe')}, protocol {_all(done, 'protocol')}, "
            f"precision {_all(done, 'precision')}, {transform}"
            f"epoch reported: {' / '.join(chosen)}."
        )
        parts.append(spread_text(rows))
        if len(by_texts(row for row in rows if row.done)) > 1:
            parts.append(
                "Rows use different class texts, which are part of the differences between them: "
                "see the footnote."
            )
    shown = [METRICS[k] for k in shown_keys(table.view.columns, table.task) if k in METRICS]
    lower = [metric.title_for(table.task) for metric in shown if not metric.higher_is_better]
    if lower:
        parts.append(f"Lower is better: {', '.join(lower)}.")
    return parts


def under(prior: str) -> str:
    """Meaning of overall accuracy under a class prior."""
    expected = f"expected under the test distribution {prior} (stored predictions re-weighted"
    if prior == UNIFORM:
        return f"{expected}, all classes alike)"
    direction = "backward" if prior.startswith("backward") else "forward"
    first, last = "most frequent", "rarest"
    if direction == "backward":
        first, last = last, first
    ratio = prior.removeprefix(direction)
    return f"{expected}, the {first} training class is {ratio} times as likely as the {last})"


def _unbalanced(table: Table) -> str:
    """Why overall accuracy neither sorts nor marks the rows."""
    sort = table.view.sort or table.main
    how = "sorted and marked" if sort == "balanced" else "marked"
    return (
        f"The test set has more images of some classes than of others: rows are {how} by balanced "
        "accuracy, and the best overall accuracy has no mark."
    )


def _all(records: Iterable[Record], name: str) -> str:
    return " / ".join(sorted({getattr(record, name) for record in records}))


def spread_text(rows: Sequence[Row], *, named: bool = True) -> str:
    """The meaning of ±, the number of runs behind it, and why some rows have none.

    Args:
        rows: of one table or several.
        named: name the rows without ±, which should then be rows of one table.
    """
    spreads = Counter(row.spread for row in rows if row.spread is not None)
    parts = []
    if spreads:
        usual = min(spreads, key=lambda spread: (-spreads[spread], spread))
        parts.append(f"±: sample standard deviation (ddof=1) over {usual}")
        for spread, labels in labels_by(rows, lambda row: row.spread).items():
            if spread not in (usual, None):
                parts[0] += f" ({', '.join(labels)}: {spread})"
    kinds = labels_by(rows, _kind)
    for kind, text in _SINGLE.items():
        if kind in kinds:
            parts.append(f"{text} ({', '.join(kinds[kind])})" if named else text)
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


_SINGLE = {
    "interval": "in brackets: half of the 95 % interval over test images, or its ends, where "
    "nothing is random",
    "fixed": "no ± where nothing is random",
    "once": "no ± for a single run",
}
"""Words on the cells of rows with one run, by the kind of the row."""


def _kind(row: Row) -> str:
    if len(row.done) != 1:
        return ""
    if not row.fixed:
        return "once"
    return "interval" if row.intervals else "fixed"


def by_texts(rows: Iterable[Row]) -> dict[str, list[str]]:
    """Names of the rows by the class texts that they use; rows that take no choice are left out.

    A method may use one kind of text for its head and another elsewhere (`head_text`, `text`), so
    what counts is all that it sees.
    """
    used = labels_by(rows, lambda row: _texts(row.done[0].config))
    return {" and ".join(texts): labels for texts, labels in used.items() if texts}


def _texts(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The kinds of class text in the fields `text` and `…_text` of a method's configuration."""
    chosen = {
        str(value) for name, value in config.items() if name == "text" or name.endswith("_text")
    }
    return tuple(kind for kind in ("names", "descriptions") if chosen & {kind, "both"})


def labels_by(rows: Iterable[Row], key: Callable[[Row], K]) -> dict[K, list[str]]:
    """Names of the rows by a property of the row, each name once."""
    result: dict[K, dict[str, None]] = {}
    for row in rows:
        result.setdefault(key(row), {})[row.name] = None
    return {value: list(names) for value, names in result.items()}
