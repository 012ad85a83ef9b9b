"""Metrics of single-label runs against LIFT's evaluator."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from benchmarks.calibration_error import expected_calibration_error
from benchmarks.metrics import single_label_metrics
from benchmarks.protocol import group_of
from benchmarks.tools.checkouts import Checkout
from benchmarks.tools.parity.contract import Pair, against
from benchmarks.tools.parity.worlds import labels_of, long_tail, normal

NAMES = {
    "overall": "accuracy",
    "balanced": "mean_acc",
    "many": "many_acc",
    "medium": "med_acc",
    "few": "few_acc",
    "worst_class": "worst_case_acc",
    "harmonic": "hmean_acc",
    "geometric": "gmean_acc",
    "macro_f1": "macro_f1",
}
"""Our metrics, each with its name in their results."""


@against(
    "shijxcs/LIFT",
    "661ead9b78368f05ba79abe4672d63154467f823",
    ["utils/evaluator.py"],
    differs="the calibration error has 15 bins by default (Guo et al. 2017); theirs has 10 and is "
    "not printed",
)
def compare(theirs: Checkout) -> Iterator[Pair]:
    """Accuracies overall, by group and class (four means), macro-F1, calibration error."""
    [module] = theirs.modules("utils.evaluator")
    counts = long_tail().numpy().astype(np.int64)
    labels = labels_of(torch.ones(len(counts)), 600)
    logits = normal("logits", 600, len(counts)) + 2 * torch.eye(len(counts))[labels]
    logits = logits * torch.linspace(0, 4, 600)[:, None]  # their code needs samples in every bin
    groups = group_of(counts, "lift")
    each = [np.flatnonzero(groups == group) for group in ("many", "medium", "few")]
    evaluator = module.Evaluator(None, *each)
    evaluator.process(logits, labels)
    found = evaluator.evaluate()
    confidence, predicted = logits.softmax(1).max(1)
    ours = single_label_metrics(
        predicted.numpy(), confidence.double().numpy(), labels.numpy(), groups
    )
    for name, their_name in NAMES.items():
        yield Pair(name, getattr(ours, name), found[their_name])
    right = (predicted == labels).numpy()
    error = module.expected_calibration_error(confidence.double().numpy(), predicted, labels, 10)
    mine = expected_calibration_error(confidence.double().numpy(), right, bins=10)
    yield Pair("calibration error, 10 bins", mine, 100 * error)
