"""HGLTR: soft labels and losses against loops in double precision, and one training step."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from benchmarks.conformance.tiny import tiny_data, tiny_task
from benchmarks.errors import NotApplicable
from benchmarks.hierarchy import Hierarchy
from methods.base import Batch
from methods.hgltr import Head, Hgltr, HierarchyLoss
from methods.parts.hierarchy import SoftLabels
from methods.parts.losses.single_label.la import LogitAdjusted
from methods.parts.training.optimisers import optimiser_of
from methods.parts.training.schedules import Schedule

pytestmark = pytest.mark.numeric

TREE = Hierarchy(
    (("r", "a", "b", "w"), ("r", "a", "b", "x"), ("r", "a", "y"), ("r", "c", "z")), "here"
)
HEIGHTS = [[0, 1, 2, None], [1, 0, 2, None], [2, 2, 0, None], [None, None, None, 0]]
"""Written down from the tree; None: only the root is common."""


def softened(tau: float) -> np.ndarray:
    weights = [[0.0 if h is None else math.exp(-tau * h) for h in row] for row in HEIGHTS]
    return np.array([[w / sum(row) for w in row] for row in weights])


@pytest.mark.parametrize("tau", [0.0, 1.0, 4.0])
def test_soft_labels_fall_with_the_height_and_end_below_the_root(tau):
    soft = SoftLabels(TREE, tau, torch.device("cpu"))(torch.arange(4))
    np.testing.assert_allclose(soft.numpy(), softened(tau), atol=1e-6)


def numbers(seed: int, *size: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=size)


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max())
    return e / e.sum()


@pytest.mark.parametrize("skip_few", ["kl", "both", "none"])
@pytest.mark.parametrize("labels", [[0, 2, 3, 1, 3], [3, 3]])
def test_the_loss_is_its_three_terms(skip_few, labels):
    few = np.array([False, False, False, True])
    logits, cosines = 3 * numbers(1, len(labels), 4), numbers(2, len(labels), 4)
    prior, soft = np.log([0.6, 0.2, 0.15, 0.05]), softened(1.5)
    kept = [not few[y] for y in labels]
    base, kl, mse = [], [], []
    for z, c, y in zip(logits, cosines, labels, strict=True):
        base.append(-math.log(softmax(z + 0.7 * prior)[y]))
        p, q = softmax(z), soft[y]
        kl.append(np.mean([q[k] * math.log(q[k] / p[k]) if q[k] else 0 for k in range(4)]))
        mse.append(np.mean((softmax(c) - q) ** 2))

    def mean(values: list[float], skipping: bool) -> float:
        chosen = [v for v, k in zip(values, kept, strict=True) if k or not skipping]
        return float(np.mean(chosen)) if chosen else 0.0

    expected = np.mean(base) + 0.3 * mean(kl, skip_few != "none")
    if skip_few == "kl":  # a mean over the whole batch, unless nothing is left
        expected += 5 * np.mean(mse) * any(kept)
    else:
        expected += 5 * mean(mse, skip_few == "both")
    loss = HierarchyLoss(
        LogitAdjusted(torch.tensor(prior), 0.7),
        SoftLabels(TREE, 1.5, torch.device("cpu")),
        torch.from_numpy(few),
        kl=0.3,
        mse=5.0,
        skip_few=skip_few,
    )
    both = torch.tensor(np.concatenate([logits, cosines], axis=1))
    found = loss(both, torch.tensor(labels), Batch(torch.arange(len(labels)), None, None))
    assert found.shape == (len(labels),)
    assert float(found.mean()) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("cosine", [False, True])
def test_the_head_adds_cosines_of_mapped_texts_in_training_alone(cosine):
    texts, weight, x = (torch.tensor(numbers(i, 4, n)).float() for i, n in ((3, 6), (4, 8), (5, 8)))
    generator = torch.Generator().manual_seed(0)
    head = Head(weight, cosine=cosine, texts=texts, generator=generator)
    head.requires_grad_(False)
    trained, evaluated = head.train()(x), head.eval()(x)
    norm, linear = head.aligner
    mapped = F.layer_norm(texts, (6,), norm.weight, norm.bias) @ linear.weight.T + linear.bias
    for i in range(4):
        for c in range(4):
            product = float(x[i] @ weight[c])
            if cosine:
                product *= 30 / float(x[i].norm() * weight[c].norm())
            assert float(evaluated[i, c]) == pytest.approx(product, abs=1e-4)
            similar = float(x[i] @ mapped[c] / (x[i].norm() * mapped[c].norm()))
            assert float(trained[i, 4 + c]) == pytest.approx(similar, abs=1e-5)
    torch.testing.assert_close(trained[:, :4], evaluated)


def test_nesterovs_momentum_looks_ahead():
    w = torch.nn.Parameter(torch.tensor([2.0]))
    schedule = Schedule(1, 1, 0.1, momentum=0.9, weight_decay=0.01, optimiser="nesterov")
    optimiser = optimiser_of([([w], schedule)])
    expected, velocity = 2.0, 0.0
    for _ in range(3):
        w.grad = 3 * w.detach()
        optimiser.step()
        slope = 3 * expected + 0.01 * expected
        velocity = 0.9 * velocity + slope
        expected -= 0.1 * (slope + 0.9 * velocity)
    assert float(w.detach()) == pytest.approx(expected)


def test_soft_labels_change_what_is_learned_and_only_in_training():
    task, test = tiny_task()
    batch = test.batch(np.arange(8), needs="images")
    found = []
    for weights in ({"kl": 0.0, "mse": 0.0}, {"kl": 5.0, "mse": 0.0}, {"kl": 0.0, "mse": 50.0}):
        predictor = Hgltr(epochs=2, batch_size=16, bottleneck=4, **weights).fit(task)
        logits = predictor.logits(batch).detach()
        assert logits.shape == (8, 4)
        found.append(logits)
    assert not torch.allclose(found[0], found[1], atol=1e-4)
    assert not torch.allclose(found[0], found[2], atol=1e-4)


def test_data_without_a_hierarchy_are_not_applicable():
    task, _ = tiny_task(data=dataclasses.replace(tiny_data(), hierarchy=None))
    with pytest.raises(NotApplicable, match="needs a class hierarchy"):
        Hgltr().fit(task)
