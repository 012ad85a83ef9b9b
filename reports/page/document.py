"""The whole page: its data, and the HTML file that holds them."""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reports.across.overview import Overview
from reports.across.study import Study
from reports.compare.comparison import Comparer
from reports.compare.runs import Read
from reports.conformal_tables import ConformalTable
from reports.figures.looks import assign
from reports.knob_sweeps import KnobSweep
from reports.page.cards import descriptions, method_cards
from reports.page.packing import Pool, script_json
from reports.page.pairs import pairs_data
from reports.page.predicted import Predicted
from reports.page.records import records_data
from reports.page.tables import (
    conformal_data,
    described,
    overview_data,
    study_data,
    study_pairs,
    sweep_data,
    table_data,
)
from reports.table import Table
from results.schema import Record

ASSETS = Path(__file__).with_name("assets")
SCRIPTS = (
    "numbers", "data", "elements", "statistics", "state", "leaderboard", "export", "pair",
    "classes", "moves", "charts", "figures", "class_figures", "curve_figures", "records",
    "methods", "main",
)  # fmt: skip
"""The scripts in `assets/`, in the order in which the page has them."""


@dataclass(frozen=True)
class Content:
    """Tables, figures and records of a page."""

    tables: Sequence[Table]
    sweeps: Sequence[KnobSweep] = ()
    overviews: Sequence[Overview] = ()
    studies: Sequence[Study] = ()
    records: Sequence[Record] = ()
    """All records of the tables, and any others of the same folders."""
    read: Read | None = None
    """Returns the predictions of a record; None if there are none."""
    sets: Sequence[ConformalTable] = ()
    """Conformal prediction sets of some of the tables."""


def page_data(content: Content) -> dict[str, Any]:
    """The data of a page, in JSON types."""
    pool, predicted = Pool(), Predicted(content.read)
    ordered = sorted(content.records, key=lambda record: record.key)
    places = {record.key: place for place, record in enumerate(ordered)}
    records = records_data(ordered, pool, predicted)
    looks = assign((row.method, row.label) for table in content.tables for row in table.rows)
    sets = {id(found.table): conformal_data(found) for found in content.sets}
    tables = []
    for table in content.tables:
        data = table_data(table, places, pool, looks)
        data["conformal"] = sets.get(id(table))
        if content.read is not None and table.task == "multi":
            data["pairs"] = pairs_data(table, Comparer(content.read), pool)
        first = next((record for row in table.rows for record in row.done), None)
        if first is not None:
            data["descriptions"] = pool.add(descriptions(first))
        tables.append(data)
    return {
        "title": described(content.tables),
        "tables": tables,
        "sweeps": [sweep_data(sweep, looks) for sweep in content.sweeps],
        "across": [
            *map(overview_data, content.overviews),
            *(study_data(study, looks) for study in content.studies),
            *(study_pairs(study) for study in content.studies if study.pairs),
        ],
        "records": records,
        "images": predicted.sets(),
        "weights": predicted.weights,
        "leftOut": predicted.left_out,
        "methods": method_cards(record.method for record in ordered),
        "pool": pool.values,
    }


def document(data: dict[str, Any]) -> str:
    """The HTML file of a page's data.

    Its policy allows the page's own script and style and nothing else: it loads nothing, and what
    a name contains cannot run.

    Args:
        data: from `page_data`. With `live`, the page asks the server that it came from for newer
            data, with so many seconds between two questions.
    """
    script = "".join(_asset(f"{name}.js") for name in SCRIPTS)
    style = _asset("page.css")
    server = "'self'" if "live" in data else "'none'"
    policy = (
        f"default-src 'none'; script-src 'sha256-{_digest(script)}'; img-src data:; "
        f"style-src 'sha256-{_digest(style)}'; connect-src {server}; "
        "base-uri 'none'; form-action 'none'"
    )
    filled = {
        "POLICY": policy,
        "TITLE": html.escape(str(data["title"])),
        "STYLE": style,
        "DATA": script_json(data),
        "SCRIPT": script,
    }
    parts = _asset("page.html").split("@@")  # text, name, text, name, …, text
    return "".join(filled[part] if i % 2 else part for i, part in enumerate(parts))


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
