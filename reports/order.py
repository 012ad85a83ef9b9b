"""The main metric of a table, and the order of its rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from benchmarks.metrics import METRICS
from benchmarks.priors import KNOB
from reports.table import Row
from reports.view import ORDERS, View
from results.schema import Record


def main_metric(view: View, rows: Sequence[Row], *, balanced: bool) -> str:
    """The key of the metric that sorts a table and is compared over data sets.

    On a test set that is not balanced, a method that knows the frequent classes alone has a high
    overall accuracy; there the usual metric is balanced accuracy. Elsewhere it is the overall one,
    or the first column if the user has left that out.

    Args:
        view: the user's choice, which counts if a row has the metric.
        rows: those of the table.
        balanced: whether the test set has equally many images of each class.
    """

    def known(key: str) -> bool:
        return key in METRICS and any(row.values[key].n for row in rows)

    if view.metric and known(view.metric):
        return view.metric
    if not balanced:
        return "balanced"
    asked = [key for key in view.columns if known(key)]
    return asked[0] if asked and "overall" not in asked else "overall"


def is_balanced(rows: Iterable[Row]) -> bool:
    """True unless a run has another balanced than overall accuracy, which weights show."""
    runs = (record.metrics for row in rows for record in row.done if record.task == "single")
    return not any(
        run is not None
        and run.overall is not None
        and run.balanced is not None
        and abs(run.overall - run.balanced) > 1e-6
        for run in runs
    )


def sorted_rows(rows: Sequence[Row], sort: str, main: str, asked: Mapping[str, int]) -> list[Row]:
    """The rows of a table in the order of a view.

    By a metric the best row is the last one, by a cost the smallest is the first one; rows without
    a value are at the end. The order by `rank` is left to `across.order`.

    Args:
        rows: in any order.
        sort: as in a view.
        main: key of the main metric.
        asked: place of each record, by its key.
    """
    if sort == "asked":
        return sorted(rows, key=lambda row: min(asked[r.key] for r in (*row.done, *row.failed)))
    has = sort not in ORDERS and any(row.values[sort].n for row in rows if sort)
    key = sort if has else main
    sign = -1.0 if key in METRICS and not METRICS[key].higher_is_better else 1.0

    def place(row: Row) -> tuple[bool, float, str]:
        mean = row.values[key].mean
        return mean is None, sign * (mean or 0.0), row.label

    return sorted(rows, key=place)


def without_prior(record: Record) -> tuple[str, str]:
    """Data set, without a prior among its knobs, and backbone."""
    knob = f"{KNOB}={record.dataset_config.get(KNOB, '')}"
    name = record.dataset.replace(f", {knob})", ")").replace(f" ({knob})", "")
    return name, record.backbone
