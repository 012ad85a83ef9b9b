"""Metrics of test predictions: their names, how they are computed and how they are reported.

A metric is declared once: a function of an `Outcome` and one line in `Metrics`. Records, tables,
CSV files, comparisons and figures follow from that line. Accuracies are percentages. A metric
without a value (the few-shot accuracy of data without few-shot classes) is None, never 0 or NaN.

A new metric makes no record stale. A change in the numbers of a metric must increase
`PROTOCOL_VERSION`, because this module is not part of the methods' fingerprints.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import class_values
from benchmarks.average_precision import average_precisions
from benchmarks.calibration_error import expected_calibration_error
from benchmarks.hierarchy import DEEPEST
from benchmarks.multi_label import aurocs

Array = NDArray[np.float64]
PERCENT = (0.0, 100.0 + 1e-6)
"""Lowest and highest percentage, with room for rounding."""


@dataclass(frozen=True)
class Outcome:
    """Test result of one run: everything that a metric is computed from."""

    values: Array
    """(C,) accuracy or average precision of each class in percent; NaN without test images."""
    images: NDArray[np.int64]
    """(C,) test images of each class."""
    membership: NDArray[np.str_]
    """(C,) group of each class."""
    right: NDArray[np.bool_] | None = None
    """(N,) True where the prediction is the label; None for multi-label data."""
    confidence: Array | None = None
    """(N,) probability of the predicted class; None for multi-label data and in comparisons."""
    prior: Array | None = None
    """(C,) probability of each class in the test distribution that is asked about, 0 for a class
    without test images; None for that of the test images."""
    image_weights: Array | None = None
    """(N,) weight of each image under `prior`; None if all count alike."""
    f1: Array | None = None
    """(C,) F1 of each class in percent; None in comparisons, and for multi-label data without
    thresholds from validation images."""
    auroc: Array | None = None
    """(C,) area under the ROC curve of each class in percent, NaN where there is none; None for
    single-label data and in comparisons."""
    heights: Array | None = None
    """(C,) sum of the heights of each class's mistakes (see `mistake_height`); None without a class
    hierarchy and in comparisons."""

    def tested(self, group: str | None = None) -> NDArray[np.bool_]:
        """(C,) True for the classes with test images, of one group or of all."""
        tested = self.images > 0
        return tested if group is None else tested & (self.membership == group)


# ---- functions -----------------------------------------------------------------------------------


def class_mean(outcome: Outcome, group: str | None = None) -> float | None:
    """Unweighted mean over the tested classes, of one group or of all."""
    values = outcome.values[outcome.tested(group)]
    return float(values.mean()) if values.size else None


def class_weights(outcome: Outcome, group: str | None = None) -> Array:
    """(C,) weights of the class values in `class_mean`."""
    tested = outcome.tested(group)
    return np.asarray(tested / max(tested.sum(), 1))


def overall_value(outcome: Outcome) -> float | None:
    """Accuracy over images (single-label), or the mean average precision over classes.

    Under a prior it is the expected accuracy over images drawn with it.
    """
    if outcome.prior is not None:
        known = outcome.tested()
        return float(outcome.prior[known] @ outcome.values[known]) if known.any() else None
    if outcome.right is None:
        return class_mean(outcome)
    return float(100.0 * outcome.right.mean()) if len(outcome.right) else None


def overall_weights(outcome: Outcome) -> Array:
    """(C,) weights of the class values in `overall_value`."""
    if outcome.prior is not None:
        return outcome.prior
    if outcome.right is None:
        return class_weights(outcome)
    return np.asarray(outcome.images / max(len(outcome.right), 1))


def lowest_class(outcome: Outcome) -> float | None:
    """Value of the worst tested class."""
    values = outcome.values[outcome.tested()]
    return float(values.min()) if values.size else None


def of_tested(outcome: Outcome, summary: Callable[[Array], float]) -> float | None:
    """A summary of the values of the tested classes."""
    values = outcome.values[outcome.tested()]
    return summary(values) if values.size else None


def mean_f1(outcome: Outcome) -> float | None:
    """Unweighted mean of F1 over the tested classes, those that occur among the labels."""
    return _mean(outcome.f1, outcome)


def mean_auroc(outcome: Outcome) -> float | None:
    """Unweighted mean of the areas under the ROC curves."""
    return _mean(outcome.auroc, outcome)


def _mean(values: Array | None, outcome: Outcome) -> float | None:
    if values is None:
        return None
    present = values[outcome.tested() & ~np.isnan(values)]
    return float(present.mean()) if present.size else None


def mistake_height(outcome: Outcome, group: str | None = None) -> float | None:
    """Mean height, over the mistakes, of the lowest common ancestor of label and prediction.

    Over the mistakes of the test images of one group of classes, or of all (Bertinetto et al. 2020,
    arXiv 1912.09393, section 2).
    """
    if outcome.heights is None:
        return None
    tested = outcome.tested(group)
    share = 1 - outcome.values[tested] / 100.0
    mistakes = np.rint(share * outcome.images[tested]).sum()
    return float(outcome.heights[tested].sum() / mistakes) if mistakes else None


def calibration_error(outcome: Outcome) -> float | None:
    """Expected calibration error of the predicted class in 15 bins."""
    if outcome.right is None or outcome.confidence is None:
        return None
    weights = outcome.image_weights
    return expected_calibration_error(outcome.confidence, outcome.right, weights=weights)


# ---- declarations --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Metric:
    """Declaration of a metric, made by `metric`."""

    function: Callable[[Outcome], float | None]
    title: str
    """Column title in tables and figures."""
    multi_title: str
    """Column title for multi-label data."""
    tasks: tuple[str, ...]
    """`single`, `multi` or both; the metric is None for any other."""
    higher_is_better: bool
    unit: str
    printed: bool
    """A column of the tables."""
    compared: bool
    """`compare` reports an interval of its difference."""
    drawn: bool
    """A group of bars in the figure."""
    group: str | None
    """Group whose classes it covers, which depends on the group rule; None for no group."""
    weights: Callable[[Outcome], Array] | None
    of_classes: bool = False
    """It follows from the values by class, so records that lack it can be completed."""
    key: str = ""
    """Name of the field of `Metrics`, and in a record's JSON."""

    def title_for(self, task: str) -> str:
        """Column title for single- or multi-label data."""
        title = self.multi_title if task == "multi" else self.title
        return title if self.unit == "%" else f"{title} [{self.unit}]"

    def slopes(self, outcome: Outcome) -> Array:
        """(C,) derivative of the metric by each class value."""
        if self.weights is not None:
            return self.weights(outcome)
        slopes = np.zeros(len(outcome.values))
        for c in np.flatnonzero(outcome.tested()):
            # Central difference, one-sided at 0 and 100 %.
            ends = np.clip(outcome.values[c] + np.array([-1e-3, 1e-3]), 0.0, 100.0)
            low, high = (self.function(_with_value(outcome, c, end)) for end in ends)
            if low is not None and high is not None:
                slopes[c] = (high - low) / (ends[1] - ends[0])
        return slopes


def _with_value(outcome: Outcome, c: np.intp, value: float) -> Outcome:
    values = outcome.values.copy()
    values[c] = value
    return dataclasses.replace(outcome, values=values)


def metric(
    function: Callable[[Outcome], float | None],
    *,
    title: str = "",
    multi_title: str = "",
    tasks: tuple[str, ...] = ("single", "multi"),
    higher_is_better: bool = True,
    unit: str = "%",
    printed: bool = False,
    compared: bool = False,
    drawn: bool = False,
    group: str | None = None,
    weights: Callable[[Outcome], Array] | None = None,
    required: bool = False,
    values: tuple[float, float] | None = None,
    of_classes: bool = False,
) -> Any:
    """Declare a field of `Metrics`.

    Args:
        function: computes the value; None where there is none.
        title: column title, by default the name of the field with spaces.
        multi_title: column title for multi-label data, by default the same.
        tasks: kinds of data that have the metric.
        higher_is_better: tables mark the highest value as best, otherwise the lowest.
        unit: "%" unless the column title is to name another one.
        printed: whether the tables have a column of it; the CSV files always list it.
        compared: whether `compare` reports its difference. It must then be a function of
            `values`, `images` and `membership` alone.
        drawn: whether the figure of bars shows it.
        group: group of classes that it covers.
        weights: (C,) weights of the class values, for a weighted mean of them. Without weights
            `compare` uses numerical derivatives.
        required: whether a record must have it. Leave it off for a metric that older records do
            not have: it is None there.
        values: the lowest and the highest possible value, by default those of a percentage if the
            unit is "%", otherwise any. A record with a value outside is refused.
        of_classes: it is a function of `values` alone. Records of earlier versions are completed
            by it when they are read.
    """
    declared = Metric(
        function, title, multi_title, tasks, higher_is_better, unit, printed, compared, drawn,
        group, weights, of_classes,
    )  # fmt: skip
    metadata: dict[str, Any] = {"metric": declared}
    if values is not None or unit == "%":
        metadata["range"] = values or PERCENT
    if required:
        return dataclasses.field(metadata=metadata)
    return dataclasses.field(default=None, metadata=metadata)


def _summary(summary: Callable[[Array], float], **declared: Any) -> Any:
    return metric(partial(of_tested, summary=summary), of_classes=True, **declared)


def _height_metric(group: str | None = None) -> Any:
    return metric(
        partial(mistake_height, group=group), tasks=("single",), higher_is_better=False,
        title="mistakes" if group is None else f"mistakes, {group}", unit="levels", group=group,
        values=(0.0, float(DEEPEST)),
    )  # fmt: skip


def _group_metric(group: str) -> Any:
    return metric(
        partial(class_mean, group=group), weights=partial(class_weights, group=group), group=group,
        printed=True, compared=True, drawn=True, required=True,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """Test metrics of one run; for multi-label tasks they are of average precisions."""

    overall: float | None = metric(
        overall_value, multi_title="mAP", weights=overall_weights, printed=True, compared=True,
        drawn=True, required=True,
    )  # fmt: skip
    """Top-1 accuracy over images (single-label) or mAP over classes (multi-label)."""
    many: float | None = _group_metric("many")
    medium: float | None = _group_metric("medium")
    few: float | None = _group_metric("few")
    """Unweighted means of the group's class accuracies (or average precisions)."""
    balanced: float | None = metric(
        class_mean, tasks=("single",), weights=class_weights, printed=True, compared=True,
        required=True,
    )  # fmt: skip
    """Unweighted mean over classes; None for multi-label, where `overall` is that already."""
    worst_class: float | None = metric(lowest_class, required=True)
    worst_tenth: float | None = _summary(class_values.worst_mean, title="worst 10 %")
    """Mean of the worst tenth of the classes, rounded up."""
    harmonic: float | None = _summary(class_values.harmonic_mean, tasks=("single",))
    """Harmonic mean of the class accuracies, each of which counts as at least 0.001 %."""
    geometric: float | None = _summary(class_values.geometric_mean, tasks=("single",))
    """Geometric mean of the class accuracies: 0 if one class has no right prediction."""
    macro_f1: float | None = metric(mean_f1, title="macro-F1")
    """Mean of F1 over the classes: of the predictions, or (multi-label) of decisions at the
    thresholds with the highest F1 on validation images; None without those."""
    auroc: float | None = metric(mean_auroc, title="AUROC", tasks=("multi",))
    """Mean area under the ROC curve over the classes."""
    ece: float | None = metric(
        calibration_error, tasks=("single",), higher_is_better=False, required=True
    )
    """Expected calibration error, 15 equal bins of the top-1 probability; None for multi-label."""
    mistakes: float | None = _height_metric()
    mistakes_many: float | None = _height_metric("many")
    mistakes_medium: float | None = _height_metric("medium")
    mistakes_few: float | None = _height_metric("few")
    """Mean distance of the mistakes in the data set's class hierarchy, of all test images and of
    those of a group; None without a hierarchy, without mistakes, and in old records."""
    per_class: tuple[float | None, ...] = dataclasses.field(metadata={"range": PERCENT})
    """(C,) accuracies or average precisions by class; None for a class without test images."""


def _declared() -> dict[str, Metric]:
    found = {}
    for field in dataclasses.fields(Metrics):
        if "metric" in field.metadata:
            own: Metric = field.metadata["metric"]
            title = own.title or field.name.replace("_", " ")
            found[field.name] = dataclasses.replace(
                own, key=field.name, title=title, multi_title=own.multi_title or title
            )
    return found


METRICS: Mapping[str, Metric] = _declared()
"""Every metric by its key, in the order of the columns."""


def metrics_of(task: str) -> list[Metric]:
    """The metrics that `single`- or `multi`-label data have."""
    return [metric for metric in METRICS.values() if task in metric.tasks]


def title_of(key: str, task: str) -> str:
    """Column title of a metric."""
    return METRICS[key].title_for(task)


# ---- values --------------------------------------------------------------------------------------


def single_label_metrics(
    predicted: NDArray[np.int64],
    confidence: Array,
    labels: NDArray[np.int64],
    membership: NDArray[np.str_],
    prior: Array | None = None,
    heights: NDArray[np.int64] | None = None,
) -> Metrics:
    """Metrics of single-label predictions.

    Args:
        predicted: (N,) most likely classes.
        confidence: (N,) their probabilities.
        labels: (N,) true classes.
        membership: (C,) groups, as from `group_of`.
        prior: (C,) class prior of the test distribution, by default that of the test images.
        heights: (N,) height of the lowest common ancestor of prediction and label, 0 if they are
            the same; None without a class hierarchy.
    """
    found = single_label_outcome(predicted == labels, labels, membership, confidence, prior)
    weights = found.image_weights
    f1 = class_values.f1_of_predictions(predicted, labels, len(membership), weights)
    of_classes: Array | None = None
    if heights is not None:
        of_classes = np.zeros(len(membership))
        np.add.at(of_classes, labels, heights)
    return _measure(dataclasses.replace(found, f1=f1, heights=of_classes))


def multi_label_metrics(
    scores: NDArray[np.floating],
    labels: NDArray[np.int64],
    membership: NDArray[np.str_],
    f1: Array | None = None,
) -> Metrics:
    """Metrics of multi-label predictions.

    Args:
        scores: (N, C); only their order within a class counts.
        labels: (N, C) zeros and ones; a sample without labels counts as a negative of each class.
        membership: (C,) groups, as from `group_of`.
        f1: (C,) F1 of each class in percent, of decisions that saw no label of the test images.
    """
    precisions = 100.0 * average_precisions(scores, labels)
    areas = 100.0 * aurocs(scores, labels)
    return _measure(Outcome(precisions, np.asarray(labels.sum(0)), membership, f1=f1, auroc=areas))


def completed(metrics: Metrics, task: str) -> Metrics:
    """The metrics of a record with those that it lacks and that follow from its values by class."""
    missing = [m for m in metrics_of(task) if m.of_classes and getattr(metrics, m.key) is None]
    if not missing:
        return metrics
    values = np.array(metrics.per_class, dtype=float)  # None becomes NaN
    tested = (~np.isnan(values)).astype(np.int64)
    outcome = Outcome(values, tested, np.full(len(values), ""))
    found: dict[str, Any] = {m.key: m.function(outcome) for m in missing}
    return dataclasses.replace(metrics, **found)


def single_label_outcome(
    right: NDArray[np.bool_],
    labels: NDArray[np.int64],
    membership: NDArray[np.str_],
    confidence: Array | None = None,
    prior: Array | None = None,
) -> Outcome:
    """The outcome of predictions of which (N,) `right` are the label.

    A prior is that of `single_label_metrics`; classes without test images have no part in it.
    """
    images = np.bincount(labels, minlength=len(membership))
    hits = np.bincount(labels[right], minlength=len(membership))
    with np.errstate(invalid="ignore"):
        accuracies = 100.0 * hits / images  # NaN for a class without test images
    if prior is None:
        return Outcome(accuracies, images, membership, right, confidence)
    shares = np.where(images > 0, prior, 0.0)
    shares = shares / max(shares.sum(), np.finfo(float).tiny)
    weights = (shares / np.maximum(images, 1))[labels]
    return Outcome(
        accuracies, images, membership, right, confidence, prior=shares, image_weights=weights
    )


def under_prior(metrics: Metrics, prior: Array) -> Metrics:
    """The metrics of a single-label run under a prior, as far as its values by class tell.

    Macro-F1, the calibration error and the heights of mistakes need the predictions and are None.
    """
    values = np.array(metrics.per_class, dtype=float)  # None becomes NaN
    tested = ~np.isnan(values)
    shares = np.where(tested, prior, 0.0)
    shares = shares / max(shares.sum(), np.finfo(float).tiny)
    outcome = Outcome(values, tested.astype(np.int64), np.full(len(values), ""), prior=shares)
    unknown: dict[str, Any] = dict.fromkeys(key for key in METRICS if key.startswith("mistakes"))
    unknown |= {"macro_f1": None, "ece": None}
    return dataclasses.replace(metrics, overall=overall_value(outcome), **unknown)


def _measure(outcome: Outcome) -> Metrics:
    task = "multi" if outcome.right is None else "single"
    values = {m.key: m.function(outcome) for m in metrics_of(task)}
    absent = dict.fromkeys(METRICS.keys() - values.keys())
    per_class = tuple(None if np.isnan(value) else float(value) for value in outcome.values)
    return Metrics(**values, **absent, per_class=per_class)
