from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reports.aggregate import build_tables
from reports.figures.group_bars import group_bars
from reports.figures.head_tail import head_tail, running_mean, smoothing_window, spread_out
from reports.figures.style import look, save
from reports.table import Table
from results.schema import Record
from tests.results.factory import failed_record, fake_study, make_record


def one_table(records: Sequence[Record]) -> Table:
    (table,) = build_tables(records)
    return table


def lines_of(table: Table) -> list[Line2D]:
    """The lines of the head-tail figure, in the order of the rows."""
    axes = head_tail(table).axes[0]
    return [line for line in axes.lines if line.get_zorder() == 4]


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


# ---- head to tail ------------------------------------------------------------------------------


def test_classes_stand_from_head_to_tail_averaged_over_seeds() -> None:
    counts = (5, 300, 50)
    records = [
        make_record(seed=0, counts=counts, per_class=(10.0, 90.0, 50.0)),
        make_record(seed=1, counts=counts, per_class=(20.0, 70.0, None)),
    ]
    (line,) = lines_of(one_table(records))
    np.testing.assert_allclose(line.get_xdata(), [1, 2, 3])
    np.testing.assert_allclose(line.get_ydata(), [80.0, 50.0, 15.0])


def test_splits_with_other_heads_are_averaged_by_rank() -> None:
    records = [
        make_record(split_seed=0, counts=(300, 5), per_class=(90.0, 10.0)),
        make_record(split_seed=1, counts=(5, 300), per_class=(20.0, 80.0)),
    ]
    (line,) = lines_of(one_table(records))
    np.testing.assert_allclose(line.get_ydata(), [85.0, 15.0])


def test_a_line_for_every_row_that_has_values_told_apart_without_colour() -> None:
    table = one_table([*fake_study(9, 30, 2), failed_record("broken")])
    lines = lines_of(table)
    assert len(lines) == 9
    shapes = {(line.get_marker(), str(line.get_linestyle()), line.get_color()) for line in lines}
    assert len(shapes) == 9
    texts = [text.get_text() for text in head_tail(table).axes[0].texts]
    assert texts == [row.label for row in table.rows[:9]]


def test_looks_stay_distinct_beyond_the_palette() -> None:
    looks = [look(i) for i in range(30)]
    assert len({(x.colour, x.marker) for x in looks}) == 30
    assert len({(x.colour, x.hatch) for x in looks}) == 30


def test_groups_are_named_with_their_sizes_and_empty_ones_left_out() -> None:
    def names(counts: Sequence[int]) -> list[str]:
        strip = head_tail(one_table([make_record(counts=counts)])).axes[1]
        return [text.get_text() for text in strip.texts]

    assert names((300, 200, 50, 5)) == ["many (2)", "medium (1)", "few (1)"]
    assert names((300, 200, 50)) == ["many (2)", "medium (1)"]


def test_labels_are_kept_apart_in_a_crowd() -> None:
    records = [make_record(f"m{i}", overall=50.0 + 0.01 * i) for i in range(12)]
    figure = head_tail(one_table(records))
    figure.draw_without_rendering()
    boxes = sorted(
        (text.get_window_extent() for text in figure.axes[0].texts), key=lambda box: box.y0
    )
    assert all(low.y1 <= high.y0 + 1 for low, high in pairwise(boxes))
    assert boxes[0].y0 >= 0
    assert boxes[-1].y1 <= figure.bbox.y1
    assert max(box.x1 for box in boxes) <= figure.bbox.x1 + 1


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


# ---- bars --------------------------------------------------------------------------------------


def test_bars_have_the_means_and_error_bars_the_deviations() -> None:
    counts = (300, 50, 5)
    records = [
        make_record(seed=0, overall=50.0, counts=counts, per_class=(60.0, 40.0, 20.0)),
        make_record(seed=1, overall=54.0, counts=counts, per_class=(70.0, 40.0, 10.0)),
    ]
    axes = group_bars(one_table(records)).axes[0]
    assert [bar.get_height() for bar in axes.patches] == [52.0, 65.0, 40.0, 15.0]
    # A white line under the black: half-lengths are the deviations.
    white, black = (np.array(lines.get_segments())[:, :, 1] for lines in axes.collections)
    np.testing.assert_array_equal(white, black)
    np.testing.assert_allclose(np.ptp(black, axis=1) / 2, [8**0.5, 50**0.5, 0.0, 50**0.5])
    np.testing.assert_allclose(black.mean(1), [52.0, 65.0, 40.0, 15.0])


def test_single_runs_have_no_error_bars_and_an_empty_group_a_dash() -> None:
    axes = group_bars(one_table([make_record(counts=(300, 50))])).axes[0]
    assert len(axes.collections) == 0
    assert len(axes.patches) == 3
    assert [text.get_text() for text in axes.texts] == ["–"]
    ticks = [tick.get_text() for tick in axes.get_xticklabels()]
    assert ticks == ["overall", "many (1)", "medium (1)", "few (0)"]


def test_of_more_rows_than_can_be_told_apart_the_highest_are_drawn() -> None:
    records = [make_record(f"m{i:02}", overall=float(i)) for i in range(30)]
    table = one_table(records)
    assert len(table.rows) == 30
    drawn = [line.get_ydata()[0] for line in lines_of(table)]
    assert drawn == [float(i) for i in range(6, 30)]
    assert "the 24 highest of 30 rows" in head_tail(table).axes[0].get_xlabel()
    bars = group_bars(table)
    (legend,) = bars.legends
    assert {t.get_text() for t in legend.texts} == {f"m{i:02}" for i in range(6, 30)}
    assert "the 24 highest of 30 rows" in bars.axes[0].get_xlabel()
    assert "rows" not in group_bars(one_table(records[:24])).axes[0].get_xlabel()


def test_the_legend_names_every_row_left_to_right_and_leaves_the_bars_free() -> None:
    table = one_table(fake_study(9, 30, 1))
    figure = group_bars(table)
    figure.draw_without_rendering()
    (legend,) = figure.legends
    assert sorted(t.get_text() for t in legend.texts) == sorted(r.label for r in table.rows)
    # By the places of the patches: a text's box depends on its letters and on matplotlib's version.
    boxes = [handle.get_window_extent() for handle in legend.legend_handles]
    named = zip(boxes, legend.texts, strict=True)
    by_place = sorted(named, key=lambda pair: (-(pair[0].y0 // pair[0].height), pair[0].x0))
    assert [text.get_text() for _, text in by_place] == [row.label for row in table.rows]
    assert legend.get_window_extent().y0 >= figure.axes[0].get_window_extent().y1
    assert legend.get_window_extent().x0 >= 0


def test_multi_label_figures_speak_of_precision() -> None:
    table = one_table([make_record(task="multi", metrics_balanced=None)])
    assert head_tail(table).axes[0].get_ylabel() == "Average precision (%)"
    axes = group_bars(table).axes[0]
    assert axes.get_ylabel() == "Average precision (%)"
    assert axes.get_xticklabels()[0].get_text() == "mAP"


# ---- files -------------------------------------------------------------------------------------


@pytest.mark.parametrize("draw", [head_tail, group_bars])
def test_equal_tables_give_equal_files_whatever_the_settings(
    tmp_path: Path, draw: Callable[[Table], Figure | None]
) -> None:
    table = one_table(fake_study(3, 25, 2))
    first = save(draw(table), tmp_path / "a.b")
    assert [file.name for file in first] == ["a.b.png", "a.b.pdf"]
    with mpl.rc_context({"font.size": 20, "lines.linewidth": 9}):
        before = dict(mpl.rcParams)
        second = save(draw(table), tmp_path / "c")
        assert dict(mpl.rcParams) == before
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
    assert first[0].read_bytes().startswith(b"\x89PNG")
    assert first[1].read_bytes().startswith(b"%PDF")


@pytest.mark.real_figures
def test_pdf_figures_embed_fonts_that_publishers_accept(tmp_path: Path) -> None:
    (_, pdf) = save(group_bars(one_table(fake_study(2, 6))), tmp_path / "figure")
    content = pdf.read_bytes()
    assert b"/FontFile2" in content and b"/Type3" not in content
