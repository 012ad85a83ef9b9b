"""Studies over data sets as Markdown and as CSV."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reports.across.matrix import Cell, Line
from reports.across.runs import Estimate
from reports.across.study import Study, Versus
from reports.compare.intervals import LEVEL
from reports.csv_text import csv_text
from reports.layout import NONE, number
from reports.markdown_text import code, escape_markdown, pipes


def title(study: Study) -> str:
    """Metric and backbone of a study."""
    return f"{study.matrix.title} over {len(study.matrix.data_sets)} data sets / " + (
        study.matrix.backbone
    )


def heads(study: Study) -> list[str]:
    """Column heads: the data sets, then the summaries."""
    names = [data_set.name for data_set in study.matrix.data_sets]
    return ["method", *names, "mean", "mean rank", "IQM"]


def printed_rows(study: Study) -> list[tuple[str, list[tuple[str, bool]]]]:
    """Label, and each cell with whether it is marked; the best mean rank first, unranked last."""
    rows = []
    for i, one in enumerate(study.ranked):
        values = [(text, False) for text in _cells(one.line)]
        rank = (f"{one.rank:.2f}", i in study.best)
        values += [(number(one.mean), False), rank, (_ends(one.middle, 1), False)]
        rows.append((one.line.label, values))
    for line in study.unranked:
        texts = [*_cells(line), NONE, NONE, NONE]
        rows.append((line.label, [(text, False) for text in texts]))
    return rows


def markdown(studies: Sequence[Study]) -> str:
    """A section for each study: the table, its notes and the pairs."""
    return "\n".join(_section(study) for study in studies)


def _section(study: Study) -> str:
    names = heads(study)
    lines = [
        f"## {escape_markdown(title(study))}",
        "",
        pipes([escape_markdown(name) for name in names]),
        pipes([":--"] + ["--:"] * (len(names) - 1)),
    ]
    for label, cells in printed_rows(study):
        lines.append(pipes([code(label), *(f"**{t}**" if best else t for t, best in cells)]))
    lines += ["", *(f"- {escape_markdown(line)}" for line in study.notes)]
    if study.pairs:
        lines += ["", *_pairs(study)]
    return "\n".join(lines) + "\n"


def _pairs(study: Study) -> list[str]:
    names = ["A", "B", "P(run of A better)"]
    if study.tests is not None:
        names += ["p", "p, Holm"]
    if any(pair.posterior for pair in study.pairs):
        names += ["P(A better)", "P(equivalent)", "P(B better)"]
    lines = [pipes(names), pipes([":--", ":--"] + ["--:"] * (len(names) - 2))]
    for pair in study.pairs:
        cells = [code(pair.a.line.label), code(pair.b.line.label)]
        cells.append(_ends(pair.improvement, 2))
        if pair.test is not None:
            holm = f"{pair.test.holm:.3f}"
            cells += [f"{pair.test.p:.3f}", f"**{holm}**" if pair.test.holm <= LEVEL else holm]
        if pair.posterior is not None:
            p = pair.posterior
            cells += [f"{value:.2f}" for value in (p.a_better, p.equivalent, p.b_better)]
        lines.append(pipes(cells))
    return lines


def csv(studies: Sequence[Study]) -> str:
    """One line for each variant and data set, and one for each summary, unrounded."""
    return csv_text(_NAMES, [line for study in studies for line in _lines(study)])


_NAMES = (
    "backbone", "task", "metric", "variant", "dataset", "block", "mean", "runs", "missing",
    "low", "high",
)  # fmt: skip


def _lines(study: Study) -> list[dict[str, Any]]:
    matrix = study.matrix
    known = {"backbone": matrix.backbone, "task": matrix.task, "metric": matrix.metric}
    found: list[dict[str, Any]] = []
    for line in [*(r.line for r in study.ranked), *study.unranked]:
        for data_set, cell in zip(matrix.data_sets, line.cells, strict=True):
            value = cell.mean if cell.runs else None
            found.append(
                {**known, "variant": line.label, "dataset": data_set.name, "block": data_set.block,
                 "mean": value, "runs": len(cell.runs), "missing": cell.missing}
            )  # fmt: skip
    for r in study.ranked:
        own = {**known, "variant": r.line.label}
        middle = {"mean": r.middle.value, "low": r.middle.low, "high": r.middle.high}
        found += [
            {**own, "dataset": "mean", "mean": r.mean},
            {**own, "dataset": "mean rank", "mean": r.rank},
            {**own, "dataset": "interquartile mean", **middle},
        ]
    return found


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


def _cells(line: Line) -> list[str]:
    return [_value(cell) for cell in line.cells]


def _value(cell: Cell) -> str:
    return number(cell.mean if cell.runs else None)


def _ends(estimate: Estimate, digits: int) -> str:
    text = f"{estimate.value:.{digits}f}"
    if estimate.low is None or estimate.high is None:
        return text
    return f"{text} ({estimate.low:.{digits}f} to {estimate.high:.{digits}f})"
