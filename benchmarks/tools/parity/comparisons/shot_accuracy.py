"""Accuracies of many, medium and few against the function that decoupling's tables use."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.metrics import single_label_metrics
from benchmarks.protocol import group_of
from benchmarks.tools.checkouts import Checkout
from benchmarks.tools.parity.contract import Pair, against
from benchmarks.tools.parity.worlds import long_tail


@against(
    "facebookresearch/classifier-balancing",
    "f162adef63fdf592d0b8a0f6e52bc481fc08785f",
    ["utils.py"],
    differs="an empty group has no accuracy here, and 0 there",
)
def compare(theirs: Checkout) -> Iterator[Pair]:
    """Accuracy by group and by class of random predictions."""
    [utils] = theirs.modules("utils")
    random = np.random.default_rng(0)
    counts = long_tail(20, 500).numpy().astype(np.int64)
    labels = random.permutation(np.repeat(np.arange(20), random.integers(3, 30, 20)))
    predicted = np.where(
        random.random(len(labels)) < 0.6, labels, random.integers(0, 20, len(labels))
    )
    ours = single_label_metrics(predicted, np.ones(len(labels)), labels, group_of(counts, "lift"))
    train = np.repeat(np.arange(20), counts)
    *groups, classes = utils.shot_acc(predicted, labels, train, acc_per_cls=True)
    for group, value in zip(("many", "medium", "few"), groups, strict=True):
        yield Pair(group, getattr(ours, group), 100 * value)
    yield Pair("each class", ours.per_class, 100 * np.array(classes))
    yield Pair("overall", ours.overall, 100 * utils.mic_acc_cal(predicted, labels))
