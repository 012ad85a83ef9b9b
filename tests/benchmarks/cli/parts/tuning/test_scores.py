"""The score of a trial, its standard error, and the trials that are as good as the best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, balanced_accuracy_score

from benchmarks.cli.parts.tuning.scores import Score, score_of, scored_by
from results.schema import Record
from tests.results.factory import make_record

CLASSES, EACH = 4, 50
LABELS = np.repeat(np.arange(CLASSES), EACH)


def _score(rights: Sequence[np.ndarray], folds: int = 1) -> Score:
    """The score of runs that are right on some images, each pooled over equal folds."""
    stored: dict[str, dict[str, Any]] = {}
    runs: list[list[Record]] = []
    for r, right in enumerate(rights):
        said = np.where(right, LABELS, (LABELS + 1) % CLASSES)
        runs.append([])
        for fold in range(folds):
            mine = np.arange(len(LABELS)) % folds == fold
            record = _record(f"{r}/{fold}")
            stored[record.key] = {"labels": LABELS[mine], "top5": said[mine, None]}
            runs[-1].append(record)
    return score_of(runs, lambda record: stored[record.key])


def _right(*shares: float) -> np.ndarray:
    """(N,) True for the first images of each class."""
    return np.concatenate([np.arange(EACH) < share * EACH for share in shares])


def test_folds_are_pooled() -> None:
    right = _right(0.9, 0.5, 0.7, 0.2)
    whole, pooled = _score([right]), _score([right], folds=7)
    expected = 100 * balanced_accuracy_score(
        LABELS, np.where(right, LABELS, (LABELS + 1) % CLASSES)
    )
    assert whole.value == pytest.approx(expected)
    assert pooled.value == pytest.approx(expected)
    assert pooled.error == pytest.approx(whole.error)


def test_the_standard_error_is_that_of_a_mean_over_classes() -> None:
    shares = np.array([0.9, 0.5, 0.7, 0.2])
    variance = (shares * (1 - shares) / (EACH - 1)).sum() / CLASSES**2
    # A tenth for corrections of small counts.
    assert _score([_right(*shares)]).error == pytest.approx(100 * np.sqrt(variance), rel=0.1)


def test_runs_that_differ_make_the_standard_error_larger() -> None:
    good, bad = _right(0.9, 0.9, 0.9, 0.9), _right(0.5, 0.5, 0.5, 0.5)
    same, varied = _score([good, good]), _score([good, bad])
    assert same.error == pytest.approx(_score([good]).error, rel=1e-6)
    assert varied.value == pytest.approx(70)
    assert varied.error > 5 * same.error  # 40 points apart: the runs vary by 20


def test_a_trial_is_near_by_the_difference_on_the_same_images() -> None:
    best = _right(0.5, 0.5, 0.5, 0.5)
    other, many_less = best.copy(), best.copy()
    other[[0, 1, 49]] = ~other[[0, 1, 49]]  # two images lost, one won
    many_less[:5] = False
    assert _score([other]).near(_score([best]))
    assert _score([best]).near(_score([best]))
    # 2.5 points below; the errors of the two scores are 3.5 points, that of their difference 1.2.
    assert not _score([many_less]).near(_score([best]))
    assert _score([many_less]).value + _score([many_less]).error > _score([best]).value


def test_multi_label_scores_are_mean_average_precisions() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random((200, 5)) < 0.2).astype(np.int8)
    labels[:, 4] = 0
    scores = rng.normal(size=(200, 5)) + labels
    record = _record("multi", task="multi", classes=5)
    found = score_of([[record]], lambda record: {"labels": labels, "scores": scores})
    expected = average_precision_score(labels[:, :4], scores[:, :4], average="macro")
    assert found.value == pytest.approx(100 * expected)
    assert 1 < found.error < 6
    scored = scored_by([record], lambda record: {"labels": labels, "scores": scores})
    assert scored.classes["all"] == (4, 5)
    assert scored.images == 200


def _record(key: str, task: str = "single", classes: int = CLASSES) -> Record:
    return make_record(key=key, task=task, counts=[30] * classes)
