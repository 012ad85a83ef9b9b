"""Test sets with more images of some classes than of others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.metrics import single_label_metrics
from reports.aggregate import build_tables
from reports.from_predictions import with_predictions
from reports.layout import columns, legend, marks
from reports.settings import read_settings
from reports.table import Table
from results.schema import Record
from tests.results.factory import make_record

LABELS = np.repeat([0, 1], [80, 20])
GROUPS = np.array(["many", "few"])
COUNTS = (300, 5)


def run(method: str, predicted: NDArray[Any], seed: int = 0, **changes: Any) -> Record:
    metrics = single_label_metrics(predicted, np.full(100, 0.9), LABELS, GROUPS)
    return make_record(
        method, seed, counts=COUNTS, per_class=metrics.per_class, metrics=metrics,
        class_names=("frequent", "rare"), **changes,
    )  # fmt: skip


ONE_CLASS = np.zeros(100, dtype=np.int64)
BETTER = np.where(np.arange(100) % 10 < 6, LABELS, 1 - LABELS)  # 60 % of each class
RECORDS = [run("probe", ONE_CLASS), run("better", BETTER)]


def table(**values: Any) -> Table:
    (found,) = build_tables(RECORDS, view=read_settings(values, {}, None).view)
    return found


def found_marks(found: Table) -> dict[str, list[str | None]]:
    return {c.title: marks(found, c.key) for c in columns(found) if c.key in METRICS}


METRICS = ("overall", "many", "few", "balanced")


def test_balanced_accuracy_sorts_and_marks_and_the_caption_says_so() -> None:
    found = table()
    assert [row.label for row in found.rows] == ["probe", "better"]
    means = {row.label: (row.values["overall"].mean, row.values["balanced"].mean)
             for row in found.rows}  # fmt: skip
    assert means == {"probe": (80.0, 50.0), "better": (60.0, 60.0)}
    assert found_marks(found) == {
        "overall": [None, None], "many": ["best", "second"], "few": ["second", "best"],
        "balanced": ["second", "best"],
    }  # fmt: skip
    assert "rows are sorted and marked by balanced accuracy" in found.caption


def test_another_order_is_the_users() -> None:
    found = table(sort="overall")
    assert [row.label for row in found.rows] == ["better", "probe"]
    assert found_marks(found)["overall"] == [None, None]
    assert "rows are marked by balanced accuracy" in found.caption
    assert table(metric="few").main == "few"


def test_the_best_may_be_marked_nowhere() -> None:
    found = table(columns="overall,params")
    assert legend(found, "bold", "underlined") == ""
    assert found.main == "balanced"


def test_a_row_that_is_right_on_one_class_alone_says_so() -> None:
    notes = [line for line in table().footnotes if "no class but one" in line]
    assert notes == [
        "probe: no class but one is ever right (frequent), as if it predicted no other."
    ]
    several = [run("probe", ONE_CLASS), run("probe", 1 - ONE_CLASS, 1), run("probe", BETTER, 2)]
    (found,) = build_tables(several)
    assert (
        "probe: no class but one is ever right in 2 of 3 runs (frequent, rare), as if it "
        "predicted no other." in found.footnotes
    )


@pytest.mark.parametrize("values", [(100.0, 0.0, 1.0), (99.0, 0.0, 0.0), (0.0, 0.0, 0.0)])
def test_other_rows_do_not(values: tuple[float, ...]) -> None:
    records = [make_record(counts=(300, 50, 5), overall=33.3, per_class=values)]
    (found,) = build_tables(records)
    assert not [line for line in found.footnotes if "no class but one" in line]


def test_tests_do_not_mark_overall_accuracy_either() -> None:
    ids = np.array([f"image {i}" for i in range(100)])
    runs = [run("probe", ONE_CLASS, deterministic=True), run("better", BETTER, deterministic=True)]
    top = {"probe": ONE_CLASS, "better": BETTER}

    def read(record: Record) -> dict[str, NDArray[Any]]:
        return {"ids": ids, "labels": LABELS, "top5": top[record.method][:, None]}

    (found,) = with_predictions(build_tables(runs), read)
    assert found.tested is not None
    assert marks(found, "overall") == [None, None]
    assert "best" in marks(found, "few")
    (line,) = [line for line in found.footnotes if line.startswith("95 % intervals of balanced")]
    assert "probe" in line and "better" in line


def test_a_balanced_test_set_is_not_called_otherwise() -> None:
    # Rounding alone makes them differ.
    records = [make_record(per_class=[100 / 3] * 6, overall=100 / 3 + 1e-12)]
    (found,) = build_tables(records)
    assert found.balanced and found.main == "overall"
    assert "balanced accuracy" not in found.caption
