"""Nearest class means against loops in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.conformance.tiny import tiny_task
from methods.ncm import NearestClassMean

pytestmark = pytest.mark.numeric


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def expected(task: Any, x: np.ndarray, features: str, metric: str) -> np.ndarray:
    """(B, C) logits of features x (B, D), class by class and image by image."""
    known = task.train.features().double().numpy()
    labels = task.train.labels.numpy()
    shown = labels if labels.ndim == 2 else np.eye(4, dtype=int)[labels]  # (N, C)
    if features == "cl2n":
        x, known = unit(x - known.mean(0)), unit(known - known.mean(0))
    out = np.zeros((len(x), 4))
    for c in range(4):
        mean = known[shown[:, c] == 1].mean(0)
        for i, row in enumerate(x):
            if metric == "euclidean":
                out[i, c] = -((row - mean) ** 2).sum()
            else:
                direction = unit(mean) if metric == "cosine" else mean
                out[i, c] = task.backbone.logit_scale * row @ direction
    return out


@pytest.mark.parametrize("kind", ["single", "multi"])
@pytest.mark.parametrize("features", ["l2n", "cl2n"])
@pytest.mark.parametrize("metric", ["cosine", "euclidean", "inner"])
def test_logits_equal_a_loop_over_the_classes(kind, features, metric):
    task, test = tiny_task(kind=kind)
    batch = test.batch(np.arange(16), needs="features")
    ours = NearestClassMean(features=features, metric=metric).fit(task).logits(batch)
    x = batch.features.double().numpy()
    np.testing.assert_allclose(ours.numpy(), expected(task, x, features, metric), atol=2e-5)


def test_centred_features_are_another_classifier():
    task, test = tiny_task()
    batch = test.batch(np.arange(16), needs="features")
    plain, centred = (
        NearestClassMean(features=kind).fit(task).logits(batch) for kind in ("l2n", "cl2n")
    )
    assert float((plain - centred).abs().max()) > 1


def test_a_class_without_images_is_at_its_text_moved_as_the_images_are():
    task, test = tiny_task()
    task.counts[1] = 0
    batch = test.batch(np.arange(4), needs="features")
    ours = NearestClassMean(features="cl2n").fit(task).logits(batch)
    centre = task.train.features().double().mean(0)
    mean = torch.nn.functional.normalize(task.text_features()[1].double() - centre, dim=-1)
    x = torch.nn.functional.normalize(batch.features.double() - centre, dim=-1)
    torch.testing.assert_close(
        ours[:, 1].double(), task.backbone.logit_scale * x @ mean, atol=2e-5, rtol=0
    )
