from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from reports.aggregate import build_tables
from reports.figures.class_axis import ClassAxis
from reports.figures.drawing import Drawing
from reports.figures.groups import groups
from reports.figures.head_tail import head_tail, running_mean, smoothed, smoothing_window
from reports.figures.options import FigureOptions
from reports.figures.style import save
from reports.figures.texts import spread_out
from reports.table import Table
from results.schema import Record
from tests.results.factory import failed_record, fake_study, make_record, tail_counts

MANY = tail_counts(30)


def one_table(records: Sequence[Record]) -> Table:
    (table,) = build_tables(records)
    return table


def drawn(table: Table) -> Axes:
    """The main axes of the head-tail figure."""
    figure = head_tail(table)
    assert figure is not None
    return figure.axes[0]


def lines_of(axes: Axes) -> list[Line2D]:
    """The lines of rows, without the samples beside labels."""
    return [
        line for line in axes.lines
        if line.get_zorder() == 4 and line.get_transform() == axes.transData
    ]  # fmt: skip


def points_of(table: Table) -> list[Line2D]:
    """The points of few classes, in the order of the rows."""
    return lines_of(drawn(table))


# ---- smoothing ---------------------------------------------------------------------------------


def test_running_mean_shrinks_at_the_ends_and_leaves_gaps_out() -> None:
    values = np.array([0.0, 3.0, 6.0, np.nan, 12.0])
    np.testing.assert_allclose(running_mean(values, 3), [1.5, 3.0, 4.5, 9.0, 12.0])
    np.testing.assert_array_equal(running_mean(values, 1), values)
    np.testing.assert_array_equal(running_mean(np.full(3, np.nan), 3), np.full(3, np.nan))


@pytest.mark.parametrize(
    ("classes", "window"), [(1, 1), (10, 1), (19, 1), (20, 3), (100, 11), (365, 37), (1000, 101)]
)
def test_the_window_is_odd_and_about_a_tenth(classes: int, window: int) -> None:
    assert smoothing_window(classes) == window


def pieces(counts: Sequence[int]) -> list[tuple[int, int]]:
    axis = ClassAxis.of([make_record(counts=counts)])
    return [(piece.start, piece.stop) for piece in axis.pieces]


def test_lines_break_at_groups_and_at_steps_of_the_profile() -> None:
    assert pieces([300] * 10 + [50] * 10 + [5] * 10) == [(0, 10), (10, 20), (20, 30)]
    assert pieces([5000] * 10 + [500] * 10) == [(0, 10), (10, 20)]  # both are many
    assert pieces([500] * 4 + [480] * 16) == [(0, 20)]  # too small to be a step
    exponential = tail_counts(40)
    groups = ClassAxis.of([make_record(counts=exponential)]).runs
    assert pieces(exponential) == [(first, end) for _, first, end in groups]
    assert pieces(tail_counts(40, ratio=1000)) == [
        (first, end) for _, first, end in
        ClassAxis.of([make_record(counts=tail_counts(40, ratio=1000))]).runs
    ]  # fmt: skip


def test_smoothing_never_crosses_a_break() -> None:
    values = np.repeat([90.0, 10.0], 10)
    cut = smoothed(values, [slice(0, 10), slice(10, 20)], 5)
    np.testing.assert_allclose(cut, values)
    whole = smoothed(values, [slice(0, 20)], 5)
    assert 10 < whole[9] < 90


def test_no_line_is_drawn_across_a_break() -> None:
    table = one_table([make_record(counts=[300] * 15 + [5] * 15)])
    spans = [(line.get_xdata()[0], line.get_xdata()[-1]) for line in lines_of(drawn(table))]
    assert spans == [(1, 15), (16, 30)]


# ---- head to tail ------------------------------------------------------------------------------


def test_few_classes_are_points_with_names_from_head_to_tail() -> None:
    counts = (5, 300, 50)
    records = [
        make_record(seed=0, counts=counts, per_class=(10.0, 90.0, 50.0)),
        make_record(seed=1, counts=counts, per_class=(20.0, 70.0, None)),
    ]
    table = one_table(records)
    (points,) = points_of(table)
    np.testing.assert_allclose(points.get_xdata(), [1, 2, 3])
    np.testing.assert_allclose(points.get_ydata(), [80.0, 50.0, 15.0])
    assert points.get_linestyle() == "None"
    axes = drawn(table)
    names = [tick.get_text() for tick in axes.get_xticklabels()]
    assert names == ["class 1", "class 2", "class 0"]
    assert "neighbours" not in axes.get_xlabel()


def test_points_of_a_class_lie_beside_each_other() -> None:
    table = one_table([make_record(name) for name in ("a", "b", "c")])
    x = np.array([points.get_xdata() for points in points_of(table)])
    assert (np.diff(x, axis=0) > 0.1).all()
    assert (np.abs(x - np.arange(1, 7)) < 0.5).all()


def test_splits_with_other_heads_are_averaged_by_rank() -> None:
    records = [
        make_record(split_seed=0, counts=(300, 5), per_class=(90.0, 10.0)),
        make_record(split_seed=1, counts=(5, 300), per_class=(20.0, 80.0)),
    ]
    table = one_table(records)
    (points,) = points_of(table)
    np.testing.assert_allclose(points.get_ydata(), [85.0, 15.0])
    # No name fits both.
    assert [tick.get_text() for tick in drawn(table).get_xticklabels()] == ["1", "2"]


def test_a_line_for_every_row_that_has_values_told_apart_without_colour() -> None:
    table = one_table([*fake_study(9, 30, 2), failed_record("broken")])
    lines = lines_of(drawn(table))
    shapes = {
        (line.get_marker(), line.get_markerfacecolor() == "white", str(line.get_linestyle()))
        for line in lines
    }
    assert len(shapes) == 9
    texts = [text.get_text() for text in drawn(table).texts]
    assert texts == [row.label for row in table.rows[:9]]


def test_groups_are_named_with_their_sizes_and_empty_ones_left_out() -> None:
    def names(counts: Sequence[int]) -> list[str]:
        figure = head_tail(one_table([make_record(counts=counts)]))
        assert figure is not None
        return [text.get_text() for text in figure.axes[1].texts]

    assert names((300, 200, 50, 5)) == ["many (2)", "medium (1)", "few (1)"]
    assert names((300, 200, 50)) == ["many (2)", "medium (1)"]


def test_labels_are_kept_apart_in_a_crowd() -> None:
    records = [make_record(f"m{i}", overall=50.0 + 0.01 * i, counts=MANY) for i in range(10)]
    figure = head_tail(one_table(records))
    assert figure is not None
    figure.draw_without_rendering()
    boxes = sorted(
        (text.get_window_extent() for text in figure.axes[0].texts), key=lambda box: box.y0
    )
    assert len(boxes) == 10
    assert all(low.y1 <= high.y0 + 1 for low, high in pairwise(boxes))
    assert boxes[0].y0 >= 0
    assert boxes[-1].y1 <= figure.bbox.y1
    assert max(box.x1 for box in boxes) <= figure.bbox.x1 + 1


def test_one_column_has_a_legend_in_place_of_labels_beside_the_lines() -> None:
    table = one_table(fake_study(9, 30, 1))
    figure = head_tail(table, Drawing(FigureOptions(width=3.3)))
    assert figure is not None
    (legend,) = figure.legends
    assert not figure.axes[0].texts
    assert [text.get_text() for text in legend.texts] != []
    figure.draw_without_rendering()
    assert legend.get_window_extent().y0 >= figure.axes[1].get_window_extent().y1
    # By the places of the samples: a text's box depends on its letters and matplotlib's version.
    boxes = [handle.get_window_extent() for handle in legend.legend_handles]
    named = zip(boxes, legend.texts, strict=True)
    by_place = sorted(named, key=lambda pair: (-round((pair[0].y0 + pair[0].y1) / 20), pair[0].x0))
    assert [text.get_text() for _, text in by_place] == [row.label for row in table.rows]


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0.01, 0.2)), min_size=1, max_size=12))
def test_spread_out_keeps_order_and_distance(items: list[tuple[float, float]]) -> None:
    wanted, sizes = zip(*items, strict=True)
    places = spread_out(wanted, sizes)
    order = sorted(range(len(items)), key=lambda i: wanted[i])
    for a, b in pairwise(order):
        assert places[b] - places[a] >= (sizes[a] + sizes[b]) / 2 - 1e-9
    if sum(sizes) <= 1:
        assert all(
            s / 2 - 1e-9 <= p <= 1 - s / 2 + 1e-9 for p, s in zip(places, sizes, strict=True)
        )


def test_spread_out_moves_nothing_that_has_room() -> None:
    assert spread_out([0.8, 0.2, 0.5], [0.1, 0.1, 0.1]) == pytest.approx([0.8, 0.2, 0.5])
    assert spread_out([0.5, 0.5], [0.1, 0.1]) == pytest.approx([0.45, 0.55])


# ---- groups ------------------------------------------------------------------------------------


def test_dots_have_the_means_and_bars_the_deviations() -> None:
    counts = (300, 50, 5)
    records = [
        make_record(seed=0, overall=50.0, counts=counts, per_class=(60.0, 40.0, 20.0)),
        make_record(seed=1, overall=54.0, counts=counts, per_class=(70.0, 40.0, 10.0)),
    ]
    figure = groups(one_table(records))
    assert figure is not None
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["overall", "many\n(1)", "medium\n(1)", "few\n(1)"]
    for axes, mean, std in zip(
        figure.axes, (52.0, 65.0, 40.0, 15.0), (8**0.5, 50**0.5, 0.0, 50**0.5), strict=True
    ):
        (dot,) = [line for line in axes.lines if line.get_marker() != "None"]
        assert dot.get_xdata()[0] == mean
        ends = [segment[:, 0] for bar in axes.collections for segment in bar.get_segments()]
        np.testing.assert_allclose(np.ravel(ends), [mean - std, mean + std] if std else [])


def test_rows_are_named_from_top_to_bottom_as_in_the_table() -> None:
    table = one_table(fake_study(9, 30, 1))
    figure = groups(table)
    assert figure is not None
    axes = figure.axes[0]
    names = [tick.get_text() for tick in axes.get_yticklabels()]
    assert names == [row.label for row in table.rows]
    assert (np.diff(axes.get_yticks()) > 0).all() and axes.yaxis_inverted()
    figure.draw_without_rendering()
    boxes = [tick.get_window_extent() for tick in axes.get_yticklabels()]
    assert all(low.y1 <= high.y0 + 1 for high, low in pairwise(boxes))


def test_an_empty_group_is_a_dash() -> None:
    figure = groups(one_table([make_record(counts=(300, 50))]))
    assert figure is not None
    assert [[text.get_text() for text in axes.texts] for axes in figure.axes] == [[], [], [], ["–"]]
    assert not any(axes.collections for axes in figure.axes)  # a single run has no deviation


def test_multi_label_figures_speak_of_precision() -> None:
    table = one_table([make_record(task="multi", metrics_balanced=None)])
    assert drawn(table).get_ylabel() == "average precision (%)"
    figure = groups(table)
    assert figure is not None
    assert figure.get_supxlabel() == "average precision (%)"
    assert figure.axes[0].get_title() == "mAP"


# ---- files -------------------------------------------------------------------------------------


def test_equal_tables_give_equal_files_whatever_the_settings(tmp_path: Path) -> None:
    table = one_table(fake_study(3, 25, 2))

    def draw(name: str) -> list[Path]:
        figure = head_tail(table)
        assert figure is not None
        return save(figure, tmp_path / name)

    first = draw("a.b")
    assert [file.name for file in first] == ["a.b.pdf", "a.b.png"]
    with mpl.rc_context({"font.size": 20, "lines.linewidth": 9}):
        before = dict(mpl.rcParams)
        second = draw("c")
        assert dict(mpl.rcParams) == before
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
    assert first[1].read_bytes().startswith(b"\x89PNG")
    assert first[0].read_bytes().startswith(b"%PDF")


@pytest.mark.real_figures
def test_pdf_figures_embed_fonts_that_publishers_accept(tmp_path: Path) -> None:
    figure = groups(one_table(fake_study(2, 6)))
    assert figure is not None
    (pdf, _) = save(figure, tmp_path / "figure")
    content = pdf.read_bytes()
    assert b"/FontFile2" in content and b"/Type3" not in content
