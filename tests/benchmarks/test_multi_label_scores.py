"""AUROC, thresholds and F1 of multi-label scores against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_recall_curve, roc_auc_score

from benchmarks.metrics import multi_label_metrics
from benchmarks.multi_label import aurocs, f1_at, f1_thresholds


def sample(n: int, classes: int, seed: int, decimals: int = 9) -> tuple[np.ndarray, np.ndarray]:
    """Scores and labels that have to do with each other."""
    rng = np.random.default_rng(seed)
    labels = (rng.uniform(size=(n, classes)) < rng.uniform(0.1, 0.6, classes)).astype(np.int64)
    return np.round(rng.normal(size=(n, classes)) + labels, decimals), labels


@pytest.mark.parametrize("decimals", [9, 1, 0])
def test_auroc_is_that_of_scikit_learn(decimals: int) -> None:
    scores, labels = sample(150, 6, 0, decimals)
    expected = [roc_auc_score(y, s) for y, s in zip(labels.T, scores.T, strict=True)]
    assert aurocs(scores, labels) == pytest.approx(expected)
    single = scores.astype(np.float32)
    expected = [roc_auc_score(y, s) for y, s in zip(labels.T, single.T, strict=True)]
    assert aurocs(single, labels) == pytest.approx(expected)


def test_a_class_of_all_or_no_images_has_no_auroc() -> None:
    scores, labels = sample(40, 3, 1)
    labels[:, 0], labels[:, 1] = 0, 1
    found = aurocs(scores, labels)
    assert np.isnan(found).tolist() == [True, True, False]
    metrics = multi_label_metrics(scores, labels, np.array(["many", "few", "few"]))
    assert metrics.auroc == pytest.approx(100 * roc_auc_score(labels[:, 2], scores[:, 2]))


@pytest.mark.parametrize("decimals", [9, 0])
def test_thresholds_have_the_highest_f1(decimals: int) -> None:
    scores, labels = sample(120, 5, 2, decimals)
    found = f1_thresholds(scores, labels)
    assert all(value is not None for value in found)
    for c, least in enumerate(found):
        precision, recall, thresholds = precision_recall_curve(labels[:, c], scores[:, c])
        f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
        assert least == thresholds[f1[:-1] >= f1.max() - 1e-12].max()
    others, truth = sample(90, 5, 3, decimals)
    decided = others >= np.array(found)
    expected = f1_score(truth, decided, average=None)
    assert f1_at(found, others, truth) == pytest.approx(100 * expected)


def test_a_class_without_validation_positives_is_never_predicted() -> None:
    scores, labels = sample(50, 2, 4)
    labels[:, 0] = 0
    thresholds = f1_thresholds(scores, labels)
    assert thresholds[0] is None and thresholds[1] is not None
    others, truth = sample(50, 2, 5)
    found = f1_at(thresholds, others, truth)
    assert found[0] == 0.0 and found[1] > 0.0
    metrics = multi_label_metrics(others, truth, np.array(["few", "many"]), found)
    assert metrics.macro_f1 == pytest.approx(found.mean())
