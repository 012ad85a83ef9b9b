"""Overviews and studies over data sets as Markdown and as CSV."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from reports.across.captions import caption, reader_notes
from reports.across.matrix import Line
from reports.across.overview import Overview, overview_grid
from reports.across.runs import Estimate
from reports.across.study import Study, Versus
from reports.across.variants import absence, block_of
from reports.compare.intervals import LEVEL
from reports.csv_text import csv_text
from reports.grid import Grid, Head
from reports.layout import Cell, number
from reports.markdown_grid import markdown_grid
from reports.markdown_text import escape_markdown
from reports.table import Mark, Summary


def title(study: Study) -> str:
    """Metric and backbone of a study."""
    return f"{study.matrix.title} over {len(study.matrix.data_sets)} data sets / " + (
        study.matrix.backbone_name
    )


def statistics(study: Study) -> Grid:
    """Mean, mean rank and interquartile mean of each variant, the best mean rank last."""
    heads = (Head("mean"), Head("mean rank"), Head("IQM"))
    lines = []
    for place, one in reversed(list(enumerate(study.ranked))):
        mark: Mark | None = "best" if place in study.best else None
        cells = (
            Cell(number(one.mean)),
            Cell(f"{one.rank:.2f}", mark=mark),
            Cell(_ends(one.middle, 1)),
        )
        lines.append((_head(one.line), cells))
    return Grid("method", heads, tuple(lines))


def _head(line: Line) -> Head:
    return Head(line.name, flags=line.flags, is_label=line.name == line.label)


def markdown(overviews: Sequence[Overview], studies: Sequence[Study]) -> str:
    """A section for each overview, then one with statistics for each study."""
    return "\n".join([*map(_overview, overviews), *map(_section, studies)])


def _overview(overview: Overview) -> str:
    legend = overview.legend("**bold**", "<u>underlined</u>")
    lines = [
        f"## {escape_markdown(overview.title)}",
        "",
        " ".join(filter(None, (escape_markdown(caption(overview)), legend))),
        "",
        *markdown_grid(overview_grid(overview)),
        "",
        *(f"- {escape_markdown(line)}" for line in reader_notes(overview)),
    ]
    return "\n".join(lines) + "\n"


def _section(study: Study) -> str:
    lines = [f"## {escape_markdown(title(study))}", "", *markdown_grid(statistics(study))]
    lines += ["", *(f"- {escape_markdown(line)}" for line in study.notes)]
    if study.pairs:
        lines += ["", *markdown_grid(pairs(study))]
        lines += ["", legend] if (legend := pairs_legend(study)) else []
    return "\n".join(lines) + "\n"


def pairs(study: Study) -> Grid:
    """The comparison of each pair of ranked variants.

    P values with Holm's correction up to LEVEL are marked as the best.
    """
    names = ["P(run of A better)"]
    if study.tests is not None:
        names += ["p", "p, Holm"]
    if any(pair.posterior for pair in study.pairs):
        names += ["P(A better)", "P(equivalent)", "P(B better)"]
    lines = [
        (Head(f"{pair.a.line.name} (A), {pair.b.line.name} (B)"), tuple(_compared(pair)))
        for pair in study.pairs
    ]
    return Grid("pair", tuple(map(Head, names)), tuple(lines))


def pairs_legend(study: Study) -> str:
    """The meaning of the marks in `pairs`; empty without a test."""
    return "" if study.tests is None else f"Bold: p ≤ {LEVEL:g} with Holm's correction."


def _compared(pair: Versus) -> Iterator[Cell]:
    yield Cell(_ends(pair.improvement, 2))
    if pair.test is not None:
        yield Cell(f"{pair.test.p:.3f}")
        yield Cell(f"{pair.test.holm:.3f}", mark="best" if pair.test.holm <= LEVEL else None)
    if pair.posterior is not None:
        p = pair.posterior
        yield from (Cell(f"{value:.2f}") for value in (p.a_better, p.equivalent, p.b_better))


def csv(overviews: Sequence[Overview], studies: Sequence[Study]) -> str:
    """One line for each variant, data set and column, and one for each summary, unrounded."""
    lines = [line for overview in overviews for line in _cells(overview)]
    return csv_text(_NAMES, [*lines, *(line for study in studies for line in _summaries(study))])


_NAMES = (
    "backbone", "task", "metric", "variant", "name", "dataset", "block", "mean", "std", "runs",
    "missing", "low", "high",
)  # fmt: skip


def _cells(overview: Overview) -> Iterator[dict[str, Any]]:
    for entry in overview.entries:
        one = entry.variant
        own = zip(overview.tables, overview.columns, one.rows, strict=True)
        for table, columns, row in own:
            for column in columns:
                value = Summary(None, None, 0) if row is None else row.values[column.key]
                low, high = (None, None)
                if row is not None:
                    low, high = row.intervals.get(column.key, (None, None))
                yield {
                    "backbone": table.backbone, "task": table.task, "metric": column.key,
                    "variant": one.label, "name": one.name, "dataset": table.dataset,
                    "block": block_of(table), "mean": value.mean, "std": value.std,
                    "runs": value.n, "missing": absence(row, column.key), "low": low, "high": high,
                }  # fmt: skip


def _summaries(study: Study) -> Iterator[dict[str, Any]]:
    matrix = study.matrix
    for r in study.ranked:
        own = {"backbone": matrix.backbone, "task": matrix.task, "metric": matrix.metric,
               "variant": r.line.label, "name": r.line.name}  # fmt: skip
        middle = {"mean": r.middle.value, "low": r.middle.low, "high": r.middle.high}
        yield {**own, "dataset": "mean", "mean": r.mean}
        yield {**own, "dataset": "mean rank", "mean": r.rank}
        yield {**own, "dataset": "interquartile mean", **middle}


def pairs_csv(studies: Sequence[Study]) -> str:
    """One line for each pair of ranked variants, unrounded."""
    return csv_text(_PAIR_NAMES, [_pair(study, pair) for study in studies for pair in study.pairs])


_PAIR_NAMES = (
    "backbone", "task", "metric", "a", "b", "improvement", "low", "high", "p", "p_holm", "rope",
    "a_better", "equivalent", "b_better",
)  # fmt: skip


def _pair(study: Study, pair: Versus) -> dict[str, Any]:
    line: dict[str, Any] = {
        "backbone": study.matrix.backbone, "task": study.matrix.task,
        "metric": study.matrix.metric, "a": pair.a.line.label, "b": pair.b.line.label,
        "improvement": pair.improvement.value, "low": pair.improvement.low,
        "high": pair.improvement.high,
    }  # fmt: skip
    if pair.test is not None:
        line |= {"p": pair.test.p, "p_holm": pair.test.holm}
    if pair.posterior is not None:
        line |= {"rope": study.rope, **vars(pair.posterior)}
    return line


def _ends(estimate: Estimate, digits: int) -> str:
    text = f"{estimate.value:.{digits}f}"
    if estimate.low is None or estimate.high is None:
        return text
    return f"{text} ({estimate.low:.{digits}f} to {estimate.high:.{digits}f})"
