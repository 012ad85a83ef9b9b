"""Trade-off, costs, tail images, calibration, differences and curves: the numbers they draw."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.priors import class_prior
from benchmarks.protocol import GROUPS
from reports.aggregate import build_tables
from reports.figures.calibration import adaptive_bins, calibration
from reports.figures.class_difference import best_two, class_differences, difference
from reports.figures.cost import costs
from reports.figures.curves import epochs, mean_curve
from reports.figures.destinations import PARTS, nearest_share, shares, tail_images
from reports.figures.drawing import PLAIN, Drawing
from reports.figures.options import FigureOptions
from reports.figures.outcomes import Outcomes, Run
from reports.figures.registry import TABLE_FIGURES
from reports.figures.trade_off import pareto_front, trade_off
from reports.recast import under_priors
from reports.table import Table
from results.schema import Record
from tests.reports.figures.made import CLASSES, IMAGES, Made, full, labels, noisy
from tests.results.factory import make_record


def one(*records: Record) -> Table:
    (table,) = build_tables(records)
    return table


def made_of(figure: Figure | None) -> Figure:
    assert figure is not None
    return figure


def markers(axes: Axes) -> list[tuple[float, float]]:
    """The points of rows, in the order of the rows."""
    return [(float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in axes.lines
            if line.get_zorder() == 4]  # fmt: skip


# ---- trade-off ---------------------------------------------------------------------------------


def test_the_front_has_the_points_that_no_other_beats() -> None:
    assert pareto_front([(1, 5), (2, 4), (2, 3), (0, 5), (3, 1), (1, 1)]) == [
        (1, 5),
        (2, 4),
        (3, 1),
    ]
    assert pareto_front([(1, 1), (1, 1)]) == [(1, 1)]
    assert pareto_front([(1, 2), (1, 3), (2, 3)]) == [(2, 3)]


def test_head_and_tail_of_each_row_with_lines_of_equal_overall() -> None:
    counts = (300, 200, 50, 5)
    table = one(
        make_record("a", counts=counts, overall=40.0, per_class=(80.0, 60.0, 50.0, 10.0)),
        make_record("b", counts=counts, overall=60.0, per_class=(50.0, 50.0, 50.0, 40.0)),
    )
    figure = made_of(trade_off(table))
    (axes,) = figure.axes
    assert markers(axes) == [(50.0, 40.0), (70.0, 10.0)]
    iso = [line for line in axes.lines if line.get_zorder() == 1]
    assert iso
    for line in iso:  # two classes of many, one of few
        x, y = line.get_xdata(), line.get_ydata()
        assert 2 * x[0] + y[0] == pytest.approx(2 * x[1] + y[1])
    # Test images are unequal here: 40 and 60 are not the means of classes.
    assert "dotted: equal balanced if medium is equal" in " ".join(axes.get_xlabel().split())
    (front,) = [line for line in axes.lines if line.get_zorder() == 2]
    corners = list(zip(front.get_xdata(), front.get_ydata(), strict=True))
    assert (50.0, 40.0) in corners and (50.0, 10.0) in corners and (70.0, 10.0) in corners


def test_without_few_shot_classes_the_medium_ones_are_the_tail() -> None:
    rows = [
        make_record(name, counts=(300, 50), overall=v, per_class=(v + 1, v - 1))
        for name, v in (("a", 50.0), ("b", 60.0))
    ]
    figure = made_of(trade_off(one(*rows)))
    assert figure.axes[0].get_ylabel().startswith("medium (1)")
    assert figure.axes[0].get_xlabel().endswith("dotted: equal overall")
    assert trade_off(one(make_record("a"))) is None
    assert trade_off(one(*(make_record(n, counts=(300, 200)) for n in "ab"))) is None


# ---- costs -------------------------------------------------------------------------------------


def test_costs_that_differ_have_a_panel_and_zero_has_a_place() -> None:
    rows = [
        make_record("a", overall=40.0, cost_trainable_params=0, cost_fit_s=1.0),
        make_record("b", overall=50.0, cost_trainable_params=1000, cost_fit_s=100.0),
        make_record("c", overall=60.0, cost_trainable_params=100_000, cost_fit_s=10.0),
    ]
    figure = made_of(costs(one(*rows)))
    parameters, time = figure.axes  # all saw as many images
    assert [axes.get_xlabel() for axes in figure.axes] == [
        "trainable parameters",
        "time of the fit",
    ]
    (zero, y), *others = markers(parameters)
    assert y == 40.0 and others == [(3.0, 50.0), (5.0, 60.0)]
    assert zero == parameters.get_xticks()[0] < 3.0
    assert parameters.get_xlim()[0] > 0  # near the others
    names = [tick.get_text() for tick in parameters.get_xticklabels()]
    assert names[0] == "0" and "1k" in names and "100k" in names
    assert dict(zip(names, parameters.get_xticks(), strict=True))["1k"] == 3.0
    assert markers(time) == [(0.0, 40.0), (2.0, 50.0), (1.0, 60.0)]
    assert "1 s" in [tick.get_text() for tick in time.get_xticklabels()]


def test_times_that_cannot_be_compared_are_said() -> None:
    rows = [
        make_record("a", cost_fit_s=1.0),
        make_record("b", cost_fit_s=2.0, provenance_hardware="a GPU", cost_fitted_together=3),
    ]
    text = made_of(costs(one(*rows))).get_supxlabel()
    assert "2 kinds of machines" in text and "made together are shares" in text
    assert costs(one(make_record("a"), make_record("b"))) is None
    assert costs(one(make_record("a"))) is None


# ---- tail images -------------------------------------------------------------------------------


def run_of(predicted: np.ndarray, nearest: np.ndarray | None = None) -> Run:
    group = np.array([0, 0, 1, 1, 2, 2], dtype=np.int8)
    return Run(
        labels(), predicted, np.full(len(labels()), 0.5, np.float32), group, nearest, np.ones(6)
    )


def test_shares_of_the_tail_by_the_group_they_go_to() -> None:
    predicted = labels()
    predicted[:80] = 5  # of the head: these do not count
    predicted[80:85] = 5  # class 4, to the other class of the tail
    predicted[100:101] = 2  # class 5, to medium
    predicted[101:103] = 0  # and to many
    found = dict(zip(PARTS, shares(run_of(predicted)), strict=True))
    assert found == pytest.approx({"right": 80.0, "other few": 12.5, "medium": 2.5, "many": 5.0})
    assert nearest_share(run_of(predicted)) is None
    # Class 4 is near to 5, class 5 to 0.
    assert nearest_share(run_of(predicted, np.array([1, 0, 3, 2, 5, 0]))) == pytest.approx(17.5)


def test_bars_of_tail_images_are_means_over_runs() -> None:
    made = Made()
    for seed, wrong in enumerate((4, 8)):
        predicted = labels()
        predicted[80 : 80 + wrong] = 0
        made.add("a", predicted, seed=seed, nearest=(1, 0, 3, 2, 0, 4))
    made.add("b", labels(), nearest=(1, 0, 3, 2, 0, 4))
    figure = made_of(tail_images(made.table(), made.drawing()))
    bars, near = figure.axes
    widths = np.array([patch.get_width() for patch in bars.patches]).reshape(len(PARTS), 2)
    np.testing.assert_allclose(widths, [[85, 100], [0, 0], [0, 0], [15, 0]])
    np.testing.assert_allclose(widths.sum(0), 100)
    assert [x for x, _ in markers(near)] == [15.0, 0.0]
    made.records = [r for r in made.records if r.method == "b"]
    assert len(made_of(tail_images(made.table(), made.drawing())).axes) == 2


def test_without_the_nearest_class_there_is_one_panel() -> None:
    made = Made()
    made.add("a", labels())
    assert len(made_of(tail_images(made.table(), made.drawing())).axes) == 1


# ---- calibration -------------------------------------------------------------------------------


def test_bins_are_of_equal_size_and_the_error_is_the_mean_gap() -> None:
    confidence = np.linspace(0, 1, 60).astype(np.float32)
    right = np.arange(60) >= 45
    bins = adaptive_bins(confidence, right, np.ones(60))
    np.testing.assert_allclose(bins.share, [0.5, 0.5])
    np.testing.assert_allclose(bins.accuracy, [0.0, 50.0])
    np.testing.assert_allclose(bins.confidence, [100 * 14.5 / 59, 100 * 44.5 / 59], rtol=1e-5)
    assert bins.error == pytest.approx(0.5 * 100 * 14.5 / 59 + 0.5 * (100 * 44.5 / 59 - 50))
    mixed = np.random.default_rng(0).permutation(60)
    np.testing.assert_allclose(adaptive_bins(confidence[mixed], right[mixed], np.ones(60)), bins)
    for images, number in ((5, 1), (10_000, 15)):
        ones = np.ones(images)
        assert len(adaptive_bins(ones.astype(np.float32), ones > 0, ones).share) == number


def test_bins_count_each_image_by_its_weight() -> None:
    """An image of weight 2 counts as if it were there twice, in a bin of the same images."""
    confidence = np.linspace(0, 1, 60).astype(np.float32)
    right = np.arange(60) % 3 > 0
    weights = np.where(np.arange(60) % 2, 2.0, 1.0)
    bins = adaptive_bins(confidence, right, weights)
    for i, part in enumerate((slice(0, 30), slice(30, 60))):
        twice = np.repeat(np.arange(60)[part], weights[part].astype(int))
        assert bins.confidence[i] == pytest.approx(100 * confidence[twice].mean(), rel=1e-5)
        assert bins.accuracy[i] == pytest.approx(100 * right[twice].mean())
        assert bins.share[i] == pytest.approx(45 / 90)


def test_figures_of_a_prior_weigh_the_images_of_a_class() -> None:
    made = Made()
    predicted = labels()
    predicted[80:85] = 0  # of class 4
    made.add("a", predicted, nearest=(1, 0, 3, 2, 0, 4))
    cast = under_priors(made.records, (), made.read, ["forward50"])
    (table,) = build_tables(cast.records)
    own = Outcomes(cast.read).runs(table.rows[0])
    assert own[0].weight[labels()].mean() == pytest.approx(1.0)
    counts = made.records[0].groups.train_counts
    prior = class_prior("forward50", np.array(counts))
    images = np.bincount(labels())
    lost = 100 * (prior[4] * 5 / images[4]) / (prior[4] + prior[5])
    assert abs(lost - 100 * 5 / images[4:].sum()) > 1  # so that the weights are seen
    assert shares(own[0])[0] == pytest.approx(100 - lost)
    assert nearest_share(own[0]) == pytest.approx(lost)
    drawing = Drawing.of([table], FigureOptions(), Outcomes(cast.read))
    few = made_of(calibration(table, drawing)).axes[-1]
    confidence = own[0].confidence[0]
    assert (own[0].confidence == confidence).all()
    assert [x for x, _ in markers(few)] == [pytest.approx(abs(100 * confidence - (100 - lost)))]


def test_calibration_of_each_group_with_deviations_over_runs() -> None:
    made = Made()
    for seed, confidence in enumerate((0.5, 0.7)):
        predicted = labels()
        predicted[:20] = 1  # half of many
        made.add("a", predicted, confidence, seed)
    figure = made_of(calibration(made.table(), made.drawing()))
    above, below = figure.axes[:3], figure.axes[3:]
    assert [axes.get_title() for axes in above] == ["many (2)", "medium (2)", "few (2)"]
    assert [x for axes in below for x, _ in markers(axes)] == pytest.approx([10.0, 40.0, 40.0])
    (bar,) = below[0].collections
    low, high = bar.get_segments()[0][:, 0]
    assert (high - low) / 2 == pytest.approx(200**0.5)
    (line,) = [line for line in above[0].lines if line.get_zorder() == 4]
    # Both runs in two bins by confidence.
    np.testing.assert_allclose(line.get_xdata(), [50.0, 70.0], rtol=1e-5)
    np.testing.assert_allclose(line.get_ydata(), [50.0, 50.0])


# ---- predictions -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["__calibration", "__tail_images"])
def test_rows_without_predictions_are_counted_and_not_drawn(name: str) -> None:
    made = full()
    made.records.append(make_record("absent", class_names=made.records[0].class_names))
    table, drawing = made.table(), made.drawing()
    figure = made_of(TABLE_FIGURES[name](table, drawing))
    text = f"{figure.get_supxlabel()} {figure.axes[0].get_xlabel()}"
    assert "no predictions of 1 row" in text
    assert TABLE_FIGURES[name](table, PLAIN) is None
    only = one(make_record("absent"))
    assert TABLE_FIGURES[name](only, made.drawing()) is None


def test_a_row_needs_the_predictions_of_all_its_runs() -> None:
    made = full()
    rest = {"config": {"f": "lift"}, "class_names": made.records[0].class_names}
    made.records.append(make_record("m", 2, **rest))
    for draw in (calibration, tail_images):
        figure = made_of(draw(made.table(), made.drawing()))
        ticks = {tick.get_text() for axes in figure.axes for tick in axes.get_yticklabels()}
        assert {tick for tick in ticks if tick.startswith("m")} == {"m (f=sage)"}


def test_correctness_alone_is_not_enough_for_them() -> None:
    made = full()
    bits = {"ids", "labels"}
    drawing = made.drawing()
    assert drawing.outcomes is not None
    original = made.read
    made.read = lambda r: (
        {k: v for k, v in original(r).items() if k in bits}
        | {  # type: ignore[method-assign]
            "right": original(r)["top5"][:, 0] == labels()
        }
    )
    drawing = made.drawing()
    assert calibration(made.table(), drawing) is None
    assert tail_images(made.table(), drawing) is None
    assert made_of(best_two(made.table(), drawing)).axes[0].collections  # intervals need no more


# ---- differences -------------------------------------------------------------------------------


def test_differences_are_of_runs_of_one_seed_by_falling_frequency() -> None:
    counts = (5, 300, 50)
    rows = [
        make_record("a", 0, counts=counts, per_class=(10.0, 90.0, 50.0)),
        make_record("a", 1, counts=counts, per_class=(30.0, 90.0, 50.0)),
        make_record("b", 1, counts=counts, per_class=(20.0, 60.0, None)),
        make_record("b", 2, counts=counts, per_class=(99.0, 99.0, 99.0)),
    ]
    table = one(*rows)
    by = {row.method: row for row in table.rows}
    found = class_differences(by["a"], by["b"])
    np.testing.assert_allclose(found, [30.0, np.nan, 10.0])
    figure = made_of(difference(table, by["a"], by["b"]))
    heights = [bar.get_height() for bars in figure.axes[0].containers for bar in bars]
    assert heights[:3] == [30.0, 0.0, 10.0] and heights[3:6] == [0.0] * 3
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts == ["a better", "b better"]
    assert class_differences(by["a"], one(make_record("c", 7, counts=counts)).rows[0]) is None


def test_the_two_best_or_the_two_highlighted_rows_are_compared() -> None:
    table = one(*(make_record(name, overall=v) for name, v in (("a", 1.0), ("b", 2.0), ("c", 3.0))))

    def compared(*highlight: str) -> list[str]:
        drawing = Drawing.of([table], FigureOptions(highlight=highlight))
        figure = made_of(best_two(table, drawing))
        return [text.get_text().removesuffix(" better") for text in figure.axes[0].texts]

    assert compared() == ["c", "b"]
    assert compared("a") == ["a", "c"]
    assert compared("a", "b") == ["a", "b"]
    assert best_two(one(make_record("a")), PLAIN) is None


def test_means_of_groups_have_intervals_where_there_are_predictions() -> None:
    made = full()
    table = made.table()
    a, b = table.rows[1], table.rows[0]
    figure = made_of(difference(table, a, b, made.drawing()))
    means = [line for line in figure.axes[0].lines
             if line.get_color() == "black" and line.get_linewidth() == 1.3]  # fmt: skip
    means = [line for line in means if len(line.get_xdata()) == 2]
    expected = [a.values[group].mean - b.values[group].mean for group in GROUPS]
    assert [line.get_ydata()[0] for line in means] == pytest.approx(expected)
    assert len(figure.axes[0].collections) == 2 * len(GROUPS)  # black on white
    assert "95 % intervals" in figure.axes[0].get_xlabel()
    without = made_of(difference(table, a, b))
    assert not without.axes[0].collections
    assert "intervals" not in without.axes[0].get_xlabel()


# ---- curves ------------------------------------------------------------------------------------


def test_curves_are_means_at_the_epochs_that_all_runs_have() -> None:
    runs = [
        make_record(seed=0, curves={"loss": ((1, 3.0), (2, 2.0), (3, 1.0))}),
        make_record(seed=1, curves={"loss": ((2, 4.0), (3, 1.0), (4, 0.0))}),
        make_record(seed=2),
    ]
    curve = mean_curve(runs, "loss")
    assert curve is not None
    at, mean, std = curve
    np.testing.assert_allclose(at, [2, 3])
    np.testing.assert_allclose(mean, [3.0, 1.0])
    np.testing.assert_allclose(std, [2**0.5, 0.0])
    assert mean_curve(runs, "other") is None
    apart = [make_record(curves={"x": ((n, 1.0),)}) for n in (1, 2)]
    assert mean_curve(apart, "x") is None


def test_a_panel_for_each_curve_and_scores_in_percent() -> None:
    curves = {"own": ((1, 5.0), (2, 6.0)), "loss": ((1, 100.0), (2, 1.0)),
              "validation": ((1, 0.25), (2, 0.5))}  # fmt: skip
    table = one(make_record("a", curves=curves), make_record("b"))
    figure = made_of(epochs(table))
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["mean training loss", "validation score (%)", "own"]
    (line,) = figure.axes[1].lines
    np.testing.assert_allclose(line.get_ydata(), [25.0, 50.0])
    assert [axes.get_yscale() for axes in figure.axes] == ["log", "linear", "linear"]
    assert [text.get_text() for text in figure.legends[0].texts] == ["a"]
    assert epochs(one(make_record("b"))) is None


def test_made_up_images_are_as_expected() -> None:
    assert len(labels()) == CLASSES * IMAGES
    assert 0.6 < (noisy(0.7) == labels()).mean() < 0.9
