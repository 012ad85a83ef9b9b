"""Sweeps over a knob of a data set: how they are found, their thirds and their figure."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from reports import report
from reports.aggregate import build_tables
from reports.figures.knob_panels import PANELS, knob_panels
from reports.formats.sweep_csv import sweep_csv
from reports.knob_sweeps import THIRDS, KnobSweep, find_sweeps
from reports.report import sweep_stems, write_report
from results.schema import Record
from tests.results.factory import failed_record, make_record

STEEP = (400, 300, 200, 100, 50, 20)
FLAT = (179, 179, 178, 178, 178, 178)
GENTLE = (250, 220, 190, 160, 130, 120)


def world(
    imbalance: float,
    counts: Sequence[int],
    methods: Sequence[str] = ("ncm", "lift"),
    seeds: Sequence[int] = (0, 1),
    **changes: Any,
) -> list[Record]:
    """The records of a table: class i has `imbalance + 10 i + seed` percent with every method."""
    knobs = {"imbalance": float(imbalance), "profile": "exp", "total": "fixed"}
    name = "glyphs100_lt" if imbalance == 100 else f"glyphs100_lt_ir{imbalance:g}"
    changes = {"dataset": f"{name} (total=fixed)", "dataset_config": knobs} | changes
    return [
        make_record(
            method, seed, counts=counts, overall=30.0 + 5 * m + seed,
            per_class=[0.1 * imbalance + 10.0 * i + seed for i in range(len(counts))],
            deterministic=method == "ncm", **changes,
        )
        for m, method in enumerate(methods)
        for seed in (seeds[:1] if method == "ncm" else seeds)
    ]  # fmt: skip


def one(records: Sequence[Record], **options: Any) -> KnobSweep:
    (sweep,) = find_sweeps(build_tables(records, **options))
    return sweep


def ratios() -> list[Record]:
    return [*world(100, STEEP), *world(1, FLAT), *world(10, GENTLE)]


# ---- finding -------------------------------------------------------------------------------------


def test_a_line_for_each_variant_over_the_values_in_order() -> None:
    sweep = one(ratios())
    assert (sweep.base, sweep.knob, sweep.backbone) == (
        "glyphs100_lt (total=fixed)", "imbalance", "glyph"
    )  # fmt: skip
    assert sweep.values == [1, 10, 100]
    assert [line.label for line in sweep.lines] == ["ncm", "lift"]  # the lowest first
    for line, overall in zip(sweep.lines, (30.0, 35.5), strict=True):
        assert [x for x, _ in line.points] == [1, 10, 100]
        for x, values in line.points:
            assert values["overall"].mean == pytest.approx(overall)
            by_class = 0.1 * x + np.arange(0, 60, 10) + (0.5 if line.label == "lift" else 0)
            for i, name in enumerate(THIRDS):
                assert values[name].mean == pytest.approx(by_class[2 * i : 2 * i + 2].mean())
    spread = sweep.lines[1].points[0][1]["tail third"]
    assert (spread.std, spread.n) == (pytest.approx(np.sqrt(0.5)), 2)
    assert sweep.lines[0].points[0][1]["tail third"].std is None


def test_one_value_is_no_sweep_and_neither_are_two_data_sets() -> None:
    assert find_sweeps(build_tables(world(100, STEEP))) == []
    other = world(10, GENTLE, dataset="cifar100_lt_ir10")
    assert find_sweeps(build_tables([*world(100, STEEP), *other])) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"backbone": "ViT-B-16/openai"},
        {"protocol": "paper"},
        {"precision": "bf16"},
        {"dataset_version": "2"},
        {"selection_rule": "val"},
        {"provenance_weights_id": "other"},
        {"provenance_preprocess_hash": "other"},
        {"dataset": "glyphs100_lt_ir10 (total=fixed, n_max=50)",
         "dataset_config": {"imbalance": 10.0, "profile": "exp", "total": "fixed", "n_max": 50}},
    ],
)  # fmt: skip
def test_tables_that_differ_in_more_than_the_knob_do_not_meet(changes: dict[str, Any]) -> None:
    records = [*world(100, STEEP), *world(10, GENTLE, **changes)]
    assert find_sweeps(build_tables(records)) == []


def test_texts_and_switches_are_no_axes() -> None:
    def named(**knobs: Any) -> list[Record]:
        shown = ", ".join(f"{k}={v}" for k, v in knobs.items())
        return world(100, STEEP, dataset=f"glyphs100_lt ({shown})",
                     dataset_config={"imbalance": 100.0} | knobs)  # fmt: skip

    assert find_sweeps(build_tables([*named(total="free"), *named(total="fixed")])) == []
    assert find_sweeps(build_tables([*named(odd=True), *named(odd=False)])) == []
    assert one([*named(n_max=50), *named(n_max=60)]).knob == "n_max"


def test_two_knobs_make_two_sweeps() -> None:
    def step(share: float) -> list[Record]:
        knobs = {"imbalance": 100.0, "profile": "step", "total": "fixed", "head_share": share}
        counts = (300,) * round(6 * share) + (3,) * (6 - round(6 * share))
        named = "profile=step, " + (f"head_share={share}, " if share != 0.5 else "") + "total=fixed"
        return world(100, counts, dataset=f"glyphs100_lt ({named})", dataset_config=knobs)

    records = [r for share in (0.17, 0.5, 0.83) for r in step(share)]
    exp = [
        replace(r, dataset_config=r.dataset_config | {"head_share": 0.5}) for r in ratios()
    ]  # fmt: skip
    found = {s.knob: s for s in find_sweeps(build_tables([*records, *exp]))}
    assert found.keys() == {"imbalance", "head_share"}
    assert found["head_share"].values == [0.17, 0.5, 0.83]
    assert found["head_share"].base == "glyphs100_lt (profile=step, total=fixed)"
    assert found["imbalance"].values == [1, 10, 100]
    assert "every share" in found["head_share"].notes[0]


def test_a_variant_that_only_one_table_has_makes_no_line() -> None:
    records = [*ratios(), *world(100, STEEP, ("sage",)), failed_record("coop")]
    assert [line.label for line in one(records).lines] == ["ncm", "lift"]


def test_variants_are_joined_by_their_fields_and_not_by_their_labels() -> None:
    """A variant alone in its table has the name of its method as label."""

    def sage(guidance: str, imbalance: float, counts: Sequence[int]) -> list[Record]:
        return world(imbalance, counts, ("sage",), config={"guidance": guidance})

    records = [*sage("cross", 100, STEEP), *sage("none", 10, GENTLE)]
    assert find_sweeps(build_tables(records)) == []
    (line,) = one([*records, *sage("cross", 10, GENTLE)]).lines
    assert line.label == "sage (guidance=cross)"


def test_tables_of_mixed_knobs_are_left_out() -> None:
    odd = {"imbalance": 100.0, "profile": "step", "total": "fixed"}
    records = [*ratios(), *world(100, STEEP, ("sage",), dataset_config=odd)]
    assert one(records, allow_mixed=True).values == [1, 10]


# ---- thirds --------------------------------------------------------------------------------------


def turned(records: Sequence[Record]) -> list[Record]:
    """The records with the class order reversed: the tail has the first index."""
    return [
        replace(
            r,
            metrics=replace(r.metrics, per_class=r.metrics.per_class[::-1]),
            groups=replace(r.groups, train_counts=r.groups.train_counts[::-1]),
        )
        for r in records
    ]


def test_thirds_are_the_same_classes_even_where_counts_are_equal() -> None:
    """At ratio 1 the ranks come from the other ratio."""
    records = [*world(100, STEEP), *world(1, (178,) * 6)]
    plain, back = one(records), one(turned(records))
    assert plain.lines == back.lines
    assert plain.notes[0] == back.notes[0]
    assert "the same classes at every ratio" in plain.notes[0]


def test_ranks_that_a_sweep_leaves_open_come_from_the_tables_beside_it() -> None:
    """Steps have two levels of counts; the exponential profile of the same classes has ranks."""
    records = world(100, STEEP)
    for share, heads in ((0.5, 3), (0.83, 5)):
        knobs = {"imbalance": 100.0, "profile": "step", "total": "fixed", "head_share": share}
        name = f"glyphs100_lt (profile=step, head_share={share}, total=fixed)"
        counts = (300,) * heads + (3,) * (6 - heads)
        records += world(100, counts, dataset=name, dataset_config=knobs)
    assert one(records).lines == one(turned(records)).lines
    assert one(records).knob == "head_share"


def test_where_a_knob_changes_the_ranks_each_setting_has_its_own_thirds() -> None:
    records = []
    for value, counts in ((0.0, STEEP), (1.0, STEEP[::-1])):
        knobs = {"imbalance": 100.0, "rank_coverage": value}
        name = "glyphs100_lt" + (" (rank_coverage=1.0)" if value else "")
        records += world(100, counts, dataset=name, dataset_config=knobs)
    sweep = one(records)
    assert "separately at each rank_coverage" in sweep.notes[0]
    (_, first), (_, second) = sweep.lines[0].points
    assert first["tail third"].mean == second["head third"].mean
    assert first["tail third"].mean != second["tail third"].mean


def test_where_classes_differ_each_setting_has_its_own_thirds() -> None:
    few = world(10, (100, 50, 5), dataset_config={"imbalance": 10.0, "classes": 3})
    many = world(10, STEEP, dataset="glyphs100_lt_ir10 (classes=6)",
                 dataset_config={"imbalance": 10.0, "classes": 6})  # fmt: skip
    sweep = one([*few, *many])
    assert sweep.sizes == {name: "1–2" for name in THIRDS}
    assert "separately at each classes" in sweep.notes[0]
    assert sweep.lines[0].points[0][1]["tail third"].mean == pytest.approx(1.0 + 20)


def test_the_note_says_how_many_images_and_what_the_bands_are() -> None:
    assert one(ratios()).notes == (
        "Groups: thirds by rank, the same classes at every ratio; 1,070 training images at each.",
        "Bands: standard deviation (ddof=1) over 2 run seeds.",
    )
    growing = [*world(100, STEEP), *world(10, (900, 300, 200, 100, 95, 90))]
    assert "1,070 to 1,685 training images." in one(growing).notes[0]
    assert len(one([*world(100, STEEP, ("ncm",)), *world(10, GENTLE, ("ncm",))]).notes) == 1


# ---- figure and files ----------------------------------------------------------------------------


def lines_in(axes: Axes) -> list[Line2D]:
    return [line for line in axes.lines if line.get_zorder() == 4]


def test_a_panel_has_a_line_a_variant_and_a_band_where_something_is_random() -> None:
    sweep = one(ratios())
    figure = knob_panels(sweep)
    assert len(figure.axes) == len(PANELS)
    for axes, name in zip(figure.axes, PANELS, strict=True):
        for drawn, line in zip(lines_in(axes), sweep.lines, strict=True):
            np.testing.assert_allclose(drawn.get_xdata(), [1, 10, 100])
            means = [values[name].mean for _, values in line.points]
            np.testing.assert_allclose(drawn.get_ydata(), means)
        (band,) = axes.collections  # of lift: ncm is not random
        low, high = np.array(band.get_paths()[0].vertices)[:, 1].min(), sweep.lines[1].points[0]
        assert low == pytest.approx(high[1][name].mean - high[1][name].std)
    assert [axes.get_title() for axes in figure.axes] == [
        "overall", "head third (2 classes)", "tail third (2 classes)"
    ]  # fmt: skip


def test_ratios_are_on_a_logarithmic_axis_and_shares_are_not() -> None:
    figure = knob_panels(one(ratios()))
    assert {axes.get_xscale() for axes in figure.axes} == {"log"}
    ticks = [text.get_text() for text in figure.axes[0].get_xticklabels()]
    assert ticks == ["1", "10", "100"]
    assert "(log scale)" in figure.get_supxlabel()
    shares = []
    for value in (0.1, 0.9):
        knobs = {"imbalance": 100.0, "head_share": value}
        shares += world(100, STEEP, dataset=f"glyphs100_lt (head_share={value})",
                        dataset_config=knobs)  # fmt: skip
    figure = knob_panels(one(shares))
    assert figure.axes[0].get_xscale() == "linear"
    assert figure.get_supxlabel().startswith("share of head classes\n")


def test_everything_lies_within_the_figure_and_apart() -> None:
    methods = [f"method_{i} (with=a long label)" for i in range(10)]
    records = [*world(100, STEEP, methods), *world(1, FLAT, methods), *world(10, GENTLE, methods)]
    figure = knob_panels(one(records))
    figure.draw_without_rendering()
    (legend,) = figure.legends
    assert {" ".join(text.get_text().split()) for text in legend.texts} == set(methods)
    top = max(axes.get_tightbbox().y1 for axes in figure.axes)
    bottom = min(axes.get_tightbbox().y0 for axes in figure.axes)
    below = figure._supxlabel.get_window_extent()
    assert legend.get_window_extent().y0 >= top - 1
    assert below.y1 <= bottom + 1
    for box in (legend.get_window_extent(), below, *(a.get_tightbbox() for a in figure.axes)):
        assert box.x0 >= -1
        assert box.x1 <= figure.bbox.x1 + 1
        assert box.y0 >= -1
        assert box.y1 <= figure.bbox.y1 + 1


def test_multi_label_sweeps_speak_of_precision_and_count_no_images() -> None:
    records = [
        replace(r, task="multi", metrics=replace(r.metrics, balanced=None)) for r in ratios()
    ]
    sweep = one(records)
    figure = knob_panels(sweep)
    assert figure.axes[0].get_ylabel() == "average precision (%)"
    assert figure.axes[0].get_title() == "mAP"
    assert "images" not in sweep.notes[0]


def test_the_csv_has_every_number() -> None:
    sweep = one(ratios())
    lines = list(csv.DictReader(io.StringIO(sweep_csv(sweep))))
    assert len(lines) == 2 * 3 * 4
    (line,) = (
        line for line in lines
        if (line["variant"], line["value"], line["metric"]) == ("lift", "10", "tail third")
    )  # fmt: skip
    assert float(line["mean"]) == pytest.approx(1 + 45 + 0.5)
    assert float(line["std"]) == pytest.approx(np.sqrt(0.5))
    assert line["n"] == "2"
    assert {line["std"] for line in lines if line["variant"] == "ncm"} == {""}


@pytest.mark.figures
def test_a_report_has_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "TABLE_FIGURES", {})
    stem = "glyphs100_lt-total-fixed__imbalance__glyph"
    files = {file.name for file in write_report(ratios(), tmp_path)}
    assert {f"{stem}.{ending}" for ending in ("png", "pdf", "csv")} <= files
    assert (tmp_path / f"{stem}.png").stat().st_size > 5_000
    alone = {file.name for file in write_report(world(100, STEEP), tmp_path / "alone")}
    assert not any("__imbalance__" in name for name in alone)


def test_names_that_would_collide_are_told_apart() -> None:
    sweep = one(ratios())
    other = replace(sweep, notes=("another",))
    stems = sweep_stems([sweep, other, replace(sweep, knob="n_max")])
    assert len(set(stems)) == 3
    assert stems[2] == "glyphs100_lt-total-fixed__n_max__glyph"
    assert stems[0].startswith("glyphs100_lt-total-fixed__imbalance__glyph-")
