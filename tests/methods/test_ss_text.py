"""SS-Text+ against its formulas in loops, in double precision."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
import pytest
import torch

from benchmarks.conformance.tiny import tiny_task
from methods.parts.image.two_stage import FeaturesOf
from methods.ss_text import SSText

pytestmark = pytest.mark.numeric


def expected(task, x: np.ndarray, counts: list[float], repel: bool) -> np.ndarray:
    """(B, C) logits for unit features, with `counts` as the trust in each class's images."""
    scale = task.backbone.logit_scale
    images = task.train.features().double().numpy()
    prototypes = []
    for c, text in enumerate(task.text_features().double().numpy()):
        total = np.zeros_like(text)
        for label, image in zip(task.train.labels.tolist(), images, strict=True):
            if label == c:
                total += image
        prototypes.append(text + scale * counts[c] / len(images) * total)
    if repel:
        mean = sum(prototypes) / len(prototypes)
        steps = [2 * w - mean for w in prototypes]
        prototypes = [w - d / np.sqrt(d @ d) for w, d in zip(prototypes, steps, strict=True)]
    unit = [w / np.sqrt(w @ w) for w in prototypes]
    return scale * np.array([[row @ w for w in unit] for row in x])


@pytest.mark.parametrize("repel", [True, False])
@pytest.mark.parametrize("weighting", ["counts", "equal"])
def test_logits_follow_the_formula(weighting, repel):
    task, test = tiny_task()
    batch = test.batch(np.arange(len(test)), needs="features")
    ours = SSText(weighting=weighting, repel=repel).fit(task).logits(batch)
    held = Counter(task.train.labels.tolist())
    trust = [float(held[c]) if weighting == "counts" else float(len(task.train)) for c in range(4)]
    x = batch.inputs.double().numpy()
    np.testing.assert_allclose(ours, expected(task, x, trust, repel), atol=1e-4)


def test_more_than_a_thousand_images_of_a_class_count_as_a_thousand():
    task, test = tiny_task()
    counts = [1700.0, 900.0, 8.0, 4.0]
    short = FeaturesOf(task.train, 1e-4 * task.train.features())  # beside them texts still count
    task = dataclasses.replace(task, counts=torch.tensor(counts), train=short)
    batch = test.batch(np.arange(8), needs="features")
    ours = SSText().fit(task).logits(batch)
    x = batch.inputs.double().numpy()
    capped = expected(task, x, [1000.0, *counts[1:]], True)
    assert np.abs(capped - expected(task, x, counts, True)).max() > 1e-2
    np.testing.assert_allclose(ours, capped, atol=1e-4)
