"""The table of methods by data sets: its columns, means, ranks, order and notes."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from rich.console import Console

from reports.across import files
from reports.across.captions import caption, reader_notes
from reports.across.matrix import matrices
from reports.across.order import by_rank
from reports.across.overview import Overview, overview_grid, overviews
from reports.across.study import study
from reports.across.terminal import print_overview
from reports.aggregate import build_tables
from reports.settings import read_settings
from results.schema import Record, Tuning
from tests.reports.across.worlds import records, steps
from tests.results.factory import failed_record, make_record


def of(found: list[Record], **values: Any) -> Overview:
    view = read_settings(values, {}, None).view
    tables = build_tables(found, view=view)
    if view.sort == "rank":
        tables = by_rank(tables)
    (made,) = overviews(tables, [study(matrix) for matrix in matrices(tables, view.metric)])
    return made


def rows(made: Overview) -> list[list[str]]:
    """The texts of the grid, with its heads first."""
    grid = overview_grid(made)
    heads = [" ".join(filter(None, (h.group, h.on_one_line))) for h in grid.columns]
    lines = [[h.on_one_line, *(cell.text for cell in cells)] for h, cells in grid.lines]
    return [[grid.stub, *heads], *lines]


def single(method: str, dataset: str, value: float, **changes: Any) -> Record:
    known = {"dataset": dataset, "dataset_config": {}, "config": {"lr": 1}}
    return make_record(method, overall=value, **known | changes)


def multi(method: str, dataset: str, value: float, **changes: Any) -> Record:
    return single(method, dataset, value, task="multi", metrics_balanced=None, **changes)


def unfit(method: str, dataset: str, **changes: Any) -> Record:
    known = {"status": "not_applicable", "dataset": dataset, "dataset_config": {}, "task": "multi",
             "config": {"lr": 1}}  # fmt: skip
    return failed_record(method, error="serves single-label data only", **known | changes)


TWO = [
    single("ncm", "a", 40.0), single("ncm", "b", 60.0),
    single("lift", "a", 50.0), single("lift", "b", 56.0),
    single("sage", "a", 55.0),
]  # fmt: skip


def test_methods_by_data_sets_with_their_means_and_ranks() -> None:
    made = of(TWO)
    assert rows(made) == [
        ["method", "a", "b", "mean", "mean rank"],
        ["ncm", "40.0", "60.0", "50.0", "1.50"],
        ["lift", "50.0", "56.0", "53.0", "1.50"],
        ["sage", "55.0", "–", "–", "–"],
    ]
    assert reader_notes(made)[0] == "Not run on b, so no mean: sage."
    assert "Top-1 accuracy (%) on a, b with glyph. Columns: overall." in caption(made)
    assert "Mean: over the data sets; mean rank: 1 is best" in caption(made)


def test_deviations_and_marks_are_those_of_the_tables() -> None:
    found = [single(m, d, v + s, seed=s) for m, v in (("x", 50.0), ("y", 60.0))
             for d in "ab" for s in (0, 2)]  # fmt: skip
    text = files.markdown([of(found)], [])
    assert "| `x` | <u>51.0 ± 1.4</u> | <u>51.0 ± 1.4</u> | 51.0 | 2.00 |" in text
    assert "| `y` | **61.0 ± 1.4** | **61.0 ± 1.4** | 61.0 | 1.00 |" in text
    assert text.count("not tested, so the order may be chance") == 1


def test_means_are_those_of_the_statistics() -> None:
    found = records(steps(3, 6))
    (matrix,) = matrices(build_tables(found))
    one = study(matrix)
    made = of(found)
    known = {ranked.line.label: (ranked.mean, ranked.rank) for ranked in one.ranked}
    for entry in made.entries:
        assert entry.summary is not None
        assert (entry.summary.mean, entry.summary.rank) == pytest.approx(known[entry.variant.label])
    marks = {entry.variant.label: entry.mark for entry in made.entries}
    assert {label for label, mark in marks.items() if mark} == {
        one.ranked[i].line.label for i in one.best
    }


def test_columns_with_the_same_images_count_as_one() -> None:
    found = [
        single(m, d, v, dataset_config={"imbalance": ratio})
        for m, values in (("ncm", (10.0, 30.0, 50.0)), ("lift", (20.0, 40.0, 10.0)))
        for d, ratio, v in zip(
            ("cifar100_lt", "cifar100_lt_ir10", "glyphs100_lt"), (100, 10, 100), values, strict=True
        )
    ]
    made = of(found)
    assert [line[-2:] for line in rows(made)[1:]] == [["35.0", "1.50"], ["20.0", "1.50"]]
    assert "3 columns are 2 independent data sets" in caption(made)


# ---- columns -------------------------------------------------------------------------------------


def test_several_metrics_are_columns_of_each_data_set() -> None:
    made = of(TWO, columns="few,overall,params")
    assert rows(made)[0] == [
        "method", "a few (2)", "a overall", "a params", "b few (2)", "b overall", "b params",
        "mean overall", "mean rank",
    ]  # fmt: skip
    assert rows(made)[1] == ["ncm", *["40.0"] * 2, "65.0k", *["60.0"] * 2, "65.0k", "50.0", "1.50"]
    text = files.markdown([made], [])
    assert "| method | a few (2) | overall | params | b few (2) | overall | params | mean" in text


def test_the_mean_is_of_the_main_metric() -> None:
    found = [
        single(m, d, (2 * v + f) / 3, per_class=[v] * 4 + [f] * 2)
        for m, v, f in (("x", 50.0, 20.0), ("y", 40.0, 30.0))
        for d in "ab"
    ]
    for choice in ({"metric": "few"}, {"columns": "few"}):
        assert [line[-2:] for line in rows(of(found, **choice))[1:]] == [
            ["20.0", "2.00"], ["30.0", "1.00"],
        ]  # fmt: skip


def test_accuracy_and_average_precision_share_a_table_with_a_mean_rank_alone() -> None:
    found = [
        single("lift", "a", 50.0), multi("lift", "m", 20.0),
        single("ncm", "a", 40.0), multi("ncm", "m", 30.0),
        single("sage", "a", 60.0), unfit("sage", "m"),
    ]  # fmt: skip
    made = of(found, sort="overall")
    assert rows(made) == [
        ["method", "a overall", "m mAP", "mean rank"],
        ["ncm", "40.0", "30.0", "1.50"],
        ["lift", "50.0", "20.0", "1.50"],
        ["sage ‡", "60.0", "–", "–"],
    ]
    assert "there is no mean of accuracy and average precision" in caption(made)
    assert reader_notes(made)[0] == (
        "Not applicable (serves single-label data only) on m, so no mean rank: sage."
    )


def test_a_balanced_mean_if_a_test_set_is_not_balanced() -> None:
    found = [
        single("x", "a", 90.0, per_class=(100, 100, 100, 100, 0, 0)), single("x", "b", 50.0),
        single("y", "a", 80.0, per_class=[80] * 6), single("y", "b", 50.0),
    ]  # fmt: skip
    made = of(found)
    assert rows(made)[1:] == [
        ["x", "66.7", "50.0", "58.3", "1.75"],
        ["y", "80.0", "50.0", "65.0", "1.25"],
    ]
    assert "Columns: balanced." in caption(made)
    assert rows(of(found, columns="few"))[0][-2:] == ["mean balanced", "mean rank"]
    assert "The test set of a has more images of some classes" in caption(made)


# ---- rows ----------------------------------------------------------------------------------------


def test_a_row_that_does_not_apply_joins_the_variants_it_could_be_of() -> None:
    recipe = Tuning("tuned-on-a, 8 trials", 8, ("lr",))
    found = [
        single("la", "a", 50.0, config={"mode": "train", "lr": 3}, tuning=recipe),
        single("la", "a", 40.0, config={"mode": "fixed", "lr": 1}),
        unfit("la", "m", config={"mode": "train", "lr": 1}),
        unfit("la", "m", config={"mode": "fixed", "lr": 1}),
        unfit("la", "m", config={"mode": "other", "lr": 1}),
        single("ncm", "a", 30.0), multi("ncm", "m", 30.0),
    ]  # fmt: skip
    made = of(found)
    assert {line[0]: line[1:] for line in rows(made)[1:]} == {
        "ncm": ["30.0", "30.0"],  # one complete row has no rank
        "la (mode=fixed) ‡": ["40.0", "–"],
        "la (mode=train, tuned, 8 trials) ‡": ["50.0", "–"],
        "la (mode=other) ‡": ["–", "–"],
    }


ORDERED = [
    single(m, d, v, cost_trainable_params=p)
    for m, p, values in (("x", 3, (10.0, 80.0)), ("y", 1, (30.0, 50.0)), ("z", 2, (20.0, 90.0)))
    for d, v in zip("ab", values, strict=True)
]


@pytest.mark.parametrize(
    ("choice", "order"),
    [
        ({}, "xyz"),  # mean ranks 2.5, 2, 1.5
        ({"sort": "rank"}, "xyz"),
        ({"sort": "overall"}, "yxz"),  # means 40, 45, 55
        ({"sort": "few"}, "xzy"),  # no mean of it: the first data set
        ({"sort": "params"}, "yzx"),
        ({"sort": "asked"}, "xyz"),
    ],
)
def test_the_order_of_rows(choice: dict[str, str], order: str) -> None:
    assert [line[0] for line in rows(of(ORDERED, **choice))[1:]] == list(order)


def test_an_error_sorts_downwards() -> None:
    found = [single(m, d, 50.0, metrics_ece=e) for m, e in (("x", 3.0), ("y", 9.0)) for d in "ab"]
    assert [line[0] for line in rows(of(found, sort="ece"))[1:]] == ["y", "x"]


def test_rows_as_asked() -> None:
    made = of(ORDERED[::-1], sort="asked")
    assert [line[0] for line in rows(made)[1:]] == ["z", "y", "x"]


def test_the_rank_sorts_the_tables_alike() -> None:
    tables = by_rank(build_tables(ORDERED, view=read_settings({"sort": "rank"}, {}, None).view))
    assert [[row.label for row in table.rows] for table in tables] == [list("xyz")] * 2
    alone = by_rank(build_tables(ORDERED[::2]))
    assert [row.label for row in alone[0].rows] == ["x", "z", "y"]
    assert "not sorted by rank" in alone[0].warnings[0]


def test_printed_names() -> None:
    names = {"x": "X!", "a": "A*", "glyph": "G"}
    text = files.markdown([of(ORDERED, names=names)], [])
    assert text.startswith("## Methods on 2 data sets / G\n")
    assert r"| method | A\* | b | mean | mean rank |" in text
    assert "| X! | 10.0 |" in text and "| `y` | " in text
    written = files.csv([of(ORDERED, names=names)], [])
    assert "glyph,single,overall,x,X!,a,a,10.0,,1,," in written


def test_a_name_of_a_row_counts_if_all_tables_agree() -> None:
    found = [single("lift", d, 50.0, config={"text": t, "lr": 0.1}) for d in "ab"
             for t in ("names", "both")]  # fmt: skip
    made = of(found, names={"lift": "L", "lift (text=both, lr=0.1)": "L2"})
    assert [line[0] for line in rows(made)[1:]] == ["L2", "L (text=names)"]


def test_data_sets_can_be_rows() -> None:
    made = of(TWO, transpose=True)
    assert rows(made) == [
        ["data set", "ncm", "lift", "sage"],
        ["a", "40.0", "50.0", "55.0"],
        ["b", "60.0", "56.0", "–"],
        ["mean", "50.0", "53.0", "–"],
        ["mean rank", "1.50", "1.50", "–"],
    ]


def test_a_backbone_with_results_on_one_data_set_has_no_overview() -> None:
    found = [*TWO, single("ncm", "c", 50.0, backbone="other")]
    found += [failed_record("ncm", dataset="d", dataset_config={}, backbone="other")]
    made = overviews(build_tables(found), [])
    assert [one.tables[0].backbone for one in made] == ["glyph"]


# ---- notes and formats ---------------------------------------------------------------------------


def test_notes_are_said_once_and_with_their_data_set_if_they_differ() -> None:
    found = [
        single(m, d, 50.0, notes=("ours",) if m == "x" else (), cost_epochs=e)
        for m, d, e in (("x", "a", 1), ("y", "a", 2), ("x", "b", 1), ("y", "b", 3))
    ]
    lines = reader_notes(of(found))
    assert lines == [
        "a: Unequal epochs: 1 (x); 2 (y).",
        "b: Unequal epochs: 1 (x); 3 (y).",
        "x: ours",
    ]


def test_the_csv_has_every_value() -> None:
    found = records(steps(2, 3)) + records({"lift": [90.0]})
    tables = build_tables(found)
    studies = [study(matrix) for matrix in matrices(tables)]
    text = files.csv(overviews(tables, studies), studies)
    table = list(csv.DictReader(io.StringIO(text)))
    assert len(table) == 3 * 3 + 2 * 3
    missing = [line for line in table if line["missing"]]
    assert {(x["variant"], x["mean"], x["runs"]) for x in missing} == {("lift", "", "0")}
    rank = next(x for x in table if (x["variant"], x["dataset"]) == ("m0", "mean rank"))
    assert float(rank["mean"]) == 2.0
    assert {x["metric"] for x in table} == {"overall"}


def test_a_narrow_terminal_has_the_data_sets_in_several_parts() -> None:
    console = Console(file=io.StringIO(), width=80)
    print_overview(of(records(steps(2, 14))), console)
    text = console.file.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    heads = [line.split() for line in text.splitlines() if line.startswith(" method")]
    assert len(heads) > 1
    shown = [name for head in heads for name in head if name.startswith("set")]
    assert shown == sorted((f"set{d}" for d in range(14)), key=shown.index)
    assert len(set(shown)) == 14
