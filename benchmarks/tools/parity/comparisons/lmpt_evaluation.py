"""Average precision, also by group, against LMPT's evaluation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks.metrics import multi_label_metrics
from benchmarks.protocol import group_of
from benchmarks.tools.checkouts import Checkout
from benchmarks.tools.parity.contract import Pair, against
from benchmarks.tools.parity.worlds import label_sets, long_tail, normal

CLASSES = 20


@against(
    "richard-peng-xia/LMPT",
    "aab39caca28362bfb9d9340f9c8a5cd75614e130",
    ["lmpt/metrics.py"],
    differs="classes without test images have no average precision here, and count as 0 there",
    stand_ins="class frequencies come from memory instead of a pickle read by mmcv; their AP is "
    "scikit-learn's",
)
def compare(theirs: Checkout) -> Iterator[Pair]:
    """AP of each class, mAP, and mAP by the group rule `lmpt`, with ties among the scores."""
    from sklearn.metrics import average_precision_score

    said: list[str] = []
    counts = long_tail(CLASSES).numpy().astype(np.int64)
    code = theirs.definitions(
        "lmpt/metrics.py", "eval_map", "ltAnalysis", np=np, print=said.append,
        average_precision_score=average_precision_score,
        mmcv=SimpleNamespace(load=lambda _: {"class_freq": counts}),
    )  # fmt: skip
    labels = label_sets(300, CLASSES).numpy().astype(np.int64)
    # Rounded, so that some scores are equal.
    scores = np.round(normal("scores", 300, CLASSES).numpy() + 1.5 * labels, 1)
    mean, each = code.eval_map(scores, labels)
    ours = multi_label_metrics(scores, labels, group_of(counts, "lmpt"))
    yield Pair("each class", ours.per_class, 100 * np.asarray(each))
    yield Pair("mAP", ours.overall, 100 * mean)
    code.ltAnalysis(each, "voc-lt")
    found: Any = re.search(r"head: (\S+), mAP medium: (\S+), mAP tail: (\S+)", said[-1])
    values = (ours.many, ours.medium, ours.few)
    yield Pair("mAP by group", values, [100 * float(each) for each in found.groups()])
