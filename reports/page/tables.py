"""Tables, sweeps over a knob and summaries over data sets as a page shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reports.across import captions
from reports.across import files as across_files
from reports.across.overview import Overview, overview_grid
from reports.across.study import Study
from reports.columns import COSTS
from reports.conformal_tables import ConformalTable
from reports.figures.looks import Look, Name
from reports.grid import Grid, Head
from reports.knob_sweeps import WORDS, KnobSweep
from reports.latex.text import escape_latex
from reports.layout import column, columns, cost, flags, legend, marks, spread
from reports.markdown_text import code, escape_markdown
from reports.page.packing import Pool
from reports.published.tables import BEYOND, LEGEND
from reports.table import PublishedValues, Row, Summary, Table


def table_data(
    table: Table, places: Mapping[str, int], pool: Pool, looks: Mapping[Name, Look]
) -> dict[str, Any]:
    """A table with all its metrics and costs; rows refer to records by their place in the page.

    Args:
        table: the table.
        places: place of each record by its key.
        pool: gets what rows share.
        looks: of the rows.
    """
    metrics = table.metrics
    marked = {metric.key: marks(table, metric.key) for metric in metrics}
    heads = [column(table, metric).head for metric in metrics]
    names = [_text(row) for row in table.rows]
    title = f"{table.name} / {table.backbone_name}"
    return {
        "dataset": table.dataset,
        "backbone": table.backbone,
        "title": title,
        "name": table.name,
        "task": table.task,
        "main": table.main,
        "asked": table.view.sort == "asked",
        "knobs": pool.add(table.rows[0].first.dataset_config),
        "caption": f"{table.caption} {legend(table, 'bold', 'underlined')} {table.remark}".rstrip(),
        "footnotes": list(table.footnotes),
        "warnings": list(table.warnings),
        "columns": _columns(table),
        "rows": [
            _row(
                row,
                looks[row.method, row.label],
                {key: found[i] for key, found in marked.items()},
                places,
            )
            for i, row in enumerate(table.rows)
        ],
        # Texts of exported tables, as Markdown and as LaTeX.
        "written": pool.add(
            {
                **{text: [escape_markdown(text), escape_latex(text)] for text in (title, *heads)},
                **{text: [code(text), escape_latex(text)] for text in names},
            }
        ),
        "published": None if table.published is None else _published(table.published),
    }


def _columns(table: Table) -> list[dict[str, Any]]:
    """All columns that the table can have, those of its view first."""
    asked = [own.key for own in columns(table)]
    found: dict[str, dict[str, Any]] = {
        metric.key: {
            "key": metric.key,
            "title": metric.title_for(table.task),
            "size": column(table, metric).size,
            "higher": metric.higher_is_better,
            "group": metric.group,
        }
        for metric in table.metrics
    }
    found |= {
        key: {"key": key, "title": title, "size": "", "higher": False, "cost": True}
        for key, title in COSTS.items()
    }
    order = [*asked, *(key for key in found if key not in asked)]
    return [{**found[key], "printed": key in asked} for key in order]


def _text(row: Row) -> str:
    return f"{row.name} {flags(row)}".rstrip()


def _row(
    row: Row, look: Look, marked: Mapping[str, Any], places: Mapping[str, int]
) -> dict[str, Any]:
    return {
        "label": row.label,
        "name": row.name,
        "text": _text(row),
        "method": row.method,
        "values": {
            key: [
                *_summary(row.values[key]),
                *row.intervals.get(key, (None, None)),
                mark,
                spread(row, key),
            ]
            for key, mark in marked.items()
        },
        "costs": {key: [row.values[key].mean, cost(key, row.values[key])] for key in COSTS},
        "done": [places[record.key] for record in row.done],
        "failed": [places[record.key] for record in row.failed],
        "look": _look(look),
    }


def _summary(summary: Summary) -> list[Any]:
    return [summary.mean, summary.std, summary.n]


def _look(look: Look) -> dict[str, Any]:
    return {
        "colour": look.colour,
        "dashes": look.dashes[1],
        "marker": look.marker,
        "filled": look.filled,
    }


def _published(found: PublishedValues) -> dict[str, Any]:
    return {
        "values": [
            {
                "name": value.name,
                "metric": value.title,
                "published": value.published,
                "ours": value.ours.mean,
                "std": value.ours.std,
                "difference": value.difference,
                "beyond": value.beyond,
                "source": value.source,
            }
            for value in found.values
        ],
        "others": list(found.others),
        "unread": list(found.unread),
        "legend": LEGEND,
        "sign": BEYOND,
    }


def sweep_data(sweep: KnobSweep, looks: Mapping[Name, Look]) -> dict[str, Any]:
    """A sweep over a knob of a data set: for each line its points, with mean and deviation."""
    return {
        "base": sweep.base,
        "backbone": sweep.backbone,
        "knob": sweep.knob,
        "title": WORDS.get(sweep.knob, ("", sweep.knob))[1],
        "sizes": dict(sweep.sizes),
        "notes": list(sweep.notes),
        "lines": [
            {
                "label": line.name,
                "look": _look(looks[line.method, line.label]),
                "points": [
                    [x, {name: _summary(summary) for name, summary in values.items()}]
                    for x, values in line.points
                ],
            }
            for line in sweep.lines
        ],
    }


def conformal_data(found: ConformalTable) -> dict[str, Any]:
    """The conformal sets of a table's rows, as they are printed."""
    return {"title": found.title, "caption": "", "notes": found.notes, **_grid(found.grid)}


def overview_data(overview: Overview) -> dict[str, Any]:
    """The table of methods by data sets, as it is printed."""
    return {
        "title": overview.title,
        "caption": f"{captions.caption(overview)} {overview.legend('bold', 'underlined')}".rstrip(),
        "notes": captions.reader_notes(overview),
        **_grid(overview_grid(overview)),
    }


def study_data(study: Study, looks: Mapping[Name, Look]) -> dict[str, Any]:
    """Statistics over data sets, as they are printed, and the diagram of critical differences.

    Args:
        study: the statistics.
        looks: of the rows.
    """
    found = {
        "title": across_files.title(study),
        "caption": "",
        "notes": list(study.notes),
        **_grid(across_files.statistics(study)),
    }
    if study.tests is not None:
        found["ranks"] = [
            [one.line.name, one.rank, _look(looks[one.line.method, one.line.label])]
            for one in study.ranked
        ]
        found["alike"] = study.alike
    return found


def study_pairs(study: Study) -> dict[str, Any]:
    """The comparisons of pairs over data sets, as they are printed."""
    return {
        "title": f"Pairs, {across_files.title(study)}",
        "caption": across_files.pairs_legend(study),
        "notes": [],
        **_grid(across_files.pairs(study)),
    }


def _grid(grid: Grid) -> dict[str, Any]:
    return {
        "heads": [grid.stub, *map(_head, grid.columns)],
        "lines": [
            [_head(head), *([cell.text, cell.mark] for cell in own)] for head, own in grid.lines
        ],
    }


def _head(head: Head) -> str:
    return f"{head.group} {head.on_one_line}".strip()


def described(tables: Sequence[Table]) -> str:
    """A title for a page of tables."""
    names = list(dict.fromkeys(table.name for table in tables))
    if not names:
        return "No results yet"
    return names[0] if len(names) == 1 else f"{len(names)} data sets"
