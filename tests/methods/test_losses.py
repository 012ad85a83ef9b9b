"""Losses against closed forms, scikit-learn and finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss
from torch import Tensor

from benchmarks.datasets.glyphs import Glyphs
from benchmarks.tiny import tiny_data, tiny_task
from methods.base import Batch
from methods.linear_probe import LinearProbe
from methods.logit_adjustment import LogitAdjustment
from methods.parts.heads import CosineHead, OnFeatures
from methods.parts.losses import LogitAdjusted, cross_entropy

COUNTS = torch.tensor([500.0, 50.0, 5.0])


def batch(size: int) -> Batch:
    return Batch(torch.arange(size), None, None)


def some(size: int = 6, classes: int = 3) -> tuple[Tensor, Tensor]:
    """Logits and labels in which every class occurs."""
    generator = torch.Generator().manual_seed(5)
    logits = 2 * torch.randn(size, classes, generator=generator, dtype=torch.float64)
    return logits, torch.arange(size) % classes


def log_prior(counts: Tensor = COUNTS) -> Tensor:
    return (counts.double() / counts.sum()).log()


def test_cross_entropy_is_one_value_a_sample_and_agrees_with_scikit_learn():
    logits, labels = some()
    losses = cross_entropy(logits, labels, batch(6))
    assert losses.shape == (6,)
    for i in range(6):
        probability = np.exp(logits[i].numpy())
        expected = log_loss([int(labels[i])], [probability / probability.sum()], labels=[0, 1, 2])
        assert float(losses[i]) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("tau", [0.5, 1.0, 2.0])
def test_logit_adjusted_by_hand(tau):
    logits, labels = some()
    losses = LogitAdjusted(log_prior(), tau)(logits, labels, batch(6))
    for z, y, loss in zip(logits.tolist(), labels.tolist(), losses.tolist(), strict=True):
        # The form of balanced softmax: exp(z_c) weighted by n_c^tau.
        weighted = [n**tau * math.exp(v) for n, v in zip(COUNTS.tolist(), z, strict=True)]
        assert loss == pytest.approx(-math.log(weighted[y] / sum(weighted)), abs=1e-10)


def test_tail_samples_cost_more_and_head_samples_less():
    logits, labels = torch.zeros(3, 3), torch.arange(3)
    adjusted = LogitAdjusted(log_prior().float(), 1.0)(logits, labels, batch(3))
    plain = cross_entropy(logits, labels, batch(3))
    assert adjusted[0] < plain[0] and adjusted[2] > plain[2]


def test_tau_zero_is_cross_entropy():
    logits, labels = some()
    adjusted = LogitAdjusted(log_prior(), 0.0)(logits, labels, batch(6))
    assert torch.equal(adjusted, cross_entropy(logits, labels, batch(6)))


def test_balanced_counts_make_the_adjustment_nothing():
    logits, labels = some()
    adjusted = LogitAdjusted(log_prior(torch.full((3,), 7.0)), 1.0)(logits, labels, batch(6))
    torch.testing.assert_close(
        adjusted, cross_entropy(logits, labels, batch(6)), atol=1e-12, rtol=0
    )


def test_gradients_against_finite_differences_and_the_closed_form():
    logits, labels = some()
    logits.requires_grad_()
    loss = LogitAdjusted(log_prior(), 1.3)
    torch.autograd.gradcheck(lambda z: loss(z, labels, batch(6)), logits)
    torch.autograd.gradcheck(lambda z: cross_entropy(z, labels, batch(6)), logits)
    loss(logits, labels, batch(6)).sum().backward()
    softmax = (logits.detach() + 1.3 * log_prior()).softmax(-1)
    expected = softmax - torch.nn.functional.one_hot(labels, 3)
    torch.testing.assert_close(logits.grad, expected)


# ---- as methods use them ------------------------------------------------------------------------


def test_log_prior_of_a_task_by_hand():
    task, _ = tiny_task()
    expected = [math.log(n / 64) for n in tiny_data().counts]
    assert task.log_prior.tolist() == pytest.approx(expected, abs=1e-6)
    task.counts = torch.tensor([3.0, 0.0, 4.0])
    del task.log_prior
    expected = [math.log(n / 7.5) for n in (3, 0.5, 4)]  # no image counts as half an image
    assert task.log_prior.tolist() == pytest.approx(expected, abs=1e-6)


def logits_of(method, data=None) -> Tensor:
    task, test = tiny_task(data=data)
    predictor = method.fit(task)
    with torch.no_grad():
        return predictor.logits(test.batch(np.arange(len(test)), needs="features"))


@pytest.mark.parametrize("tau", [1.0, 0.4])
def test_post_hoc_adjustment_is_cross_entropy_minus_the_prior(tau):
    plain = logits_of(LinearProbe(epochs=2))
    shifted = logits_of(LogitAdjustment(mode="posthoc", tau=tau, epochs=2))
    by_hand = torch.tensor([tau * math.log(n / 64) for n in tiny_data().counts])
    torch.testing.assert_close(shifted, plain - by_hand, atol=1e-5, rtol=0)


def test_tau_zero_and_balanced_data_make_logit_adjustment_a_linear_probe():
    plain = logits_of(LinearProbe(epochs=2))
    assert torch.equal(logits_of(LogitAdjustment(tau=0.0, epochs=2)), plain)
    assert not torch.allclose(logits_of(LogitAdjustment(epochs=2)), plain, atol=1e-3)
    balanced = Glyphs(classes=4, n_max=8, imbalance=1, test_per_class=4).load(None, 0)
    plain = logits_of(LinearProbe(epochs=2), balanced)
    adjusted = logits_of(LogitAdjustment(epochs=2), balanced)
    torch.testing.assert_close(adjusted, plain, atol=1e-4, rtol=0)


def test_validation_scores_what_post_hoc_adjustment_predicts():
    """The epoch is chosen by adjusted logits, because adjusted ones are reported."""
    task, _ = tiny_task()
    weight = torch.eye(4, task.train.features().shape[1])
    module = OnFeatures(CosineHead(weight), posthoc=torch.tensor([0.0, 1.0, 2.0, 3.0]))
    batch = task.train.batch(np.arange(4), needs="features")
    trained, predicted = module.train()(batch), module.eval()(batch)
    assert torch.allclose(trained - predicted, torch.arange(4.0).expand(4, 4), atol=1e-5)
