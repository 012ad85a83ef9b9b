"""Losses against closed forms, scikit-learn and finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from torch import Tensor

from benchmarks.conformance.tiny import permuted, tiny_data, tiny_task
from benchmarks.datasets.families.glyphs import Glyphs
from benchmarks.errors import NotApplicable
from methods.base import Batch
from methods.linear_probe import LinearProbe
from methods.logit_adjustment import LogitAdjustment
from methods.parts.heads.linear_classifiers import CosineHead, OnFeatures
from methods.parts.losses import named_loss
from methods.parts.losses.base import Loss, LossFunction
from methods.parts.losses.class_weights import Weighted, effective_number_weights
from methods.parts.losses.single_label.ce import cross_entropy
from methods.parts.losses.single_label.focal import Focal
from methods.parts.losses.single_label.grw import inverse_frequency_weights
from methods.parts.losses.single_label.la import LogitAdjusted
from methods.parts.losses.single_label.lade import Lade
from methods.parts.losses.single_label.ldam_drw import LdamDrw
from tests.methods.double import precise_task

pytestmark = pytest.mark.numeric

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


def test_cross_entropy_is_one_value_per_sample_and_agrees_with_scikit_learn():
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


def test_balanced_counts_make_the_adjustment_zero():
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


# ---- weights, margins, focus ---------------------------------------------------------------------

EVERY = ("ce", "balanced_softmax", "la", "ldam", "ldam_drw", "cb", "grw", "focal", "lade")


def named(name: str, counts: Tensor = COUNTS, tau: float = 1.0) -> LossFunction:
    """A loss in double precision, constructed as in linear_probe."""
    task, _ = tiny_task()
    task.counts = counts.double()
    return named_loss(name, task, tau=tau, scale=25.0)


@pytest.mark.parametrize("name", EVERY)
def test_every_loss_is_one_value_per_sample_with_the_gradient_of_finite_differences(name):
    logits, labels = some()
    loss = named(name)
    if isinstance(loss, Loss):
        loss.at_epoch(9, 10)
    assert loss(logits, labels, batch(6)).shape == (6,)
    torch.autograd.gradcheck(lambda z: loss(z, labels, batch(6)), logits.requires_grad_())


@pytest.mark.parametrize("name", ["balanced_softmax", "la", "cb", "grw"])
def test_balanced_counts_make_a_loss_cross_entropy(name):
    logits, labels = some()
    losses = named(name, torch.full((3,), 40.0))(logits, labels, batch(6))
    torch.testing.assert_close(losses, cross_entropy(logits, labels, batch(6)), atol=1e-12, rtol=0)


def test_class_weights_by_hand():
    expected = [(1 - 0.9999) / (1 - 0.9999**n) for n in COUNTS.tolist()]
    assert effective_number_weights(COUNTS.double()).tolist() == pytest.approx(expected, rel=1e-9)
    # In single precision a literal 1 - 0.9999^5 has at most four correct digits.
    assert effective_number_weights(COUNTS).tolist() == pytest.approx(expected, rel=1e-6)
    weights = inverse_frequency_weights(COUNTS.double(), rho=0.5)
    assert weights.tolist() == pytest.approx([n**-0.5 for n in COUNTS.tolist()], rel=1e-9)
    nothing = torch.zeros(1)
    for weights in (effective_number_weights(nothing), inverse_frequency_weights(nothing)):
        assert bool(weights.isfinite().all())


@pytest.mark.parametrize(
    ("name", "weights", "shift"),
    [
        ("ce", [1, 1, 1], [0, 0, 0]),
        ("balanced_softmax", [1, 1, 1], [math.log(n) for n in (500, 50, 5)]),
        ("la", [1, 1, 1], [0.7 * math.log(n) for n in (500, 50, 5)]),
        ("cb", [1 / (1 - 0.9999**n) for n in (500, 50, 5)], [0, 0, 0]),
        ("grw", [1 / 500, 1 / 50, 1 / 5], [0, 0, 0]),
    ],
)
def test_the_loss_of_a_name(name, weights, shift):
    logits, labels = some()
    loss = named(name, tau=0.7)(logits, labels, batch(6)).mean()
    weight, moved = torch.tensor(weights).double(), logits + torch.tensor(shift).double()
    torch.testing.assert_close(loss, torch.nn.functional.cross_entropy(moved, labels, weight))


def test_the_mean_of_weighted_losses_is_torchs_own():
    logits, labels = some()
    weights = torch.tensor([0.2, 1.0, 3.0], dtype=torch.float64)
    ours = Weighted(weights)(logits, labels, batch(6)).mean()
    torch.testing.assert_close(ours, torch.nn.functional.cross_entropy(logits, labels, weights))


@pytest.mark.parametrize("epoch", [0, 159, 160, 199])
def test_ldam_with_deferred_weights_by_hand(epoch):
    logits, labels = some()
    loss = LdamDrw(COUNTS.double(), scale=25.0)
    loss.at_epoch(epoch, 200)
    margins = [n**-0.25 for n in COUNTS.tolist()]
    margins = [25.0 * 0.5 * m / margins[2] for m in margins]  # the tail class's is the largest
    weights = [(1 - 0.9999) / (1 - 0.9999**n) if epoch >= 160 else 1.0 for n in COUNTS.tolist()]
    total = weight = 0.0
    for z, y in zip(logits.tolist(), labels.tolist(), strict=True):
        z[y] -= margins[y]
        total -= weights[y] * (z[y] - math.log(sum(math.exp(v) for v in z)))
        weight += weights[y]
    assert float(loss(logits, labels, batch(6)).mean()) == pytest.approx(total / weight, abs=1e-9)


@pytest.mark.parametrize(("epochs", "late"), [(1, 0), (2, 1), (5, 4), (10, 8)])
def test_deferred_weights_apply_in_the_last_fifth_of_any_number_of_epochs(epochs, late):
    logits, labels = some()
    loss = LdamDrw(COUNTS.double(), scale=25.0)
    plain = loss(logits, labels, batch(6))
    for epoch in range(epochs):
        loss.at_epoch(epoch, epochs)
        same = torch.equal(loss(logits, labels, batch(6)), plain)
        assert same == (epoch < late)


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0])
def test_focal_by_hand(gamma):
    logits, labels = some()
    losses = Focal(gamma)(logits, labels, batch(6))
    p = logits.softmax(1)[range(6), labels]
    torch.testing.assert_close(losses, -((1 - p) ** gamma) * p.log())


def test_lade_by_hand():
    """Loops over classes and samples; the last class has no sample in the batch."""
    logits, _ = some()
    labels = torch.tensor([0, 1, 0, 0, 1, 0])
    prior = [n / 555 for n in COUNTS.tolist()]
    z = logits.tolist()
    balanced = 0.0
    for row, y in zip(z, labels.tolist(), strict=True):
        weighted = [p * math.exp(v) for p, v in zip(prior, row, strict=True)]
        balanced -= math.log(weighted[y] / sum(weighted)) / 6
    bound = 0.0
    for c in range(3):
        own = [row[c] for row, y in zip(z, labels.tolist(), strict=True) if y == c]
        first = sum(own) / len(own) if own else 0.0
        second = math.log(sum(math.exp(row[c]) / prior[c] / 3 for row in z) / 6)
        bound += prior[c] * (first - second - 0.1 * second**2)
    loss = Lade(COUNTS.double(), log_prior())
    expected = balanced - 0.1 * bound
    assert float(loss(logits, labels, batch(6)).mean()) == pytest.approx(expected, abs=1e-10)


def test_a_class_without_images_does_not_change_the_margins():
    logits, labels = some()
    with_empty = torch.cat([logits, torch.full((6, 1), -1e4, dtype=torch.float64)], 1)
    without, with_it = named("ldam_drw"), named("ldam_drw", torch.cat([COUNTS, torch.zeros(1)]))
    torch.testing.assert_close(
        with_it(with_empty, labels, batch(6)), without(logits, labels, batch(6))
    )


@pytest.mark.parametrize("name", EVERY)
def test_a_class_without_images_gives_finite_losses(name):
    logits, labels = some()
    losses = named(name, torch.tensor([500.0, 50.0, 0.0]))(logits, labels % 2, batch(6))
    assert bool(losses.isfinite().all())


# ---- as methods use them ------------------------------------------------------------------------


def test_log_prior_of_a_task_by_hand():
    task, _ = tiny_task()
    expected = [math.log(n / 64) for n in tiny_data().counts]
    assert task.log_prior.tolist() == pytest.approx(expected, abs=1e-6)
    task.counts = torch.tensor([3.0, 0.0, 4.0])
    del task.log_prior
    expected = [math.log(n / 7.5) for n in (3, 0.5, 4)]  # zero images count as half an image
    assert task.log_prior.tolist() == pytest.approx(expected, abs=1e-6)


def logits_of(method, data=None) -> Tensor:
    task, test = precise_task(data=data)
    predictor = method.fit(task)
    with torch.no_grad():
        return predictor.logits(test.batch(np.arange(len(test)), needs="features"))


@pytest.mark.parametrize("tau", [1.0, 0.4])
def test_post_hoc_adjustment_is_cross_entropy_minus_the_prior(tau, double):
    plain = logits_of(LinearProbe(epochs=2))
    shifted = logits_of(LogitAdjustment(mode="posthoc", tau=tau, epochs=2))
    by_hand = torch.tensor([tau * math.log(n / 64) for n in tiny_data().counts])
    torch.testing.assert_close(shifted, plain - by_hand, atol=1e-9, rtol=0)


def test_tau_zero_and_balanced_data_make_logit_adjustment_a_linear_probe(double):
    plain = logits_of(LinearProbe(epochs=2))
    assert torch.equal(logits_of(LogitAdjustment(tau=0.0, epochs=2)), plain)
    assert not torch.allclose(logits_of(LogitAdjustment(epochs=2)), plain, atol=1e-3)
    balanced = Glyphs(classes=4, n_max=8, imbalance=1, test_per_class=4).load(None, 0)
    plain = logits_of(LinearProbe(epochs=2), balanced)
    adjusted = logits_of(LogitAdjustment(epochs=2), balanced)
    torch.testing.assert_close(adjusted, plain, atol=1e-9, rtol=0)


def test_validation_scores_what_post_hoc_adjustment_predicts():
    """The epoch is chosen by adjusted logits, because adjusted ones are reported."""
    task, _ = tiny_task()
    weight = torch.eye(4, task.train.features().shape[1])
    module = OnFeatures(CosineHead(weight), posthoc=torch.tensor([0.0, 1.0, 2.0, 3.0]))
    batch = task.train.batch(np.arange(4), needs="features")
    trained, predicted = module.train()(batch), module.eval()(batch)
    assert torch.allclose(trained - predicted, torch.arange(4.0).expand(4, 4), atol=1e-5)


@pytest.mark.parametrize("loss", ["ce", "grw"])
def test_a_converged_linear_head_is_scikit_learns_logistic_regression(loss, double):
    decay = 0.1
    task, test = precise_task()
    probe = LinearProbe(
        loss=loss, head="linear", lr=0.3, epochs=180, batch_size=64, weight_decay=decay
    )
    predictor = probe.fit(task)
    with torch.no_grad():
        logits = predictor.logits(test.batch(np.arange(len(test)), needs="features"))

    def design(samples) -> np.ndarray:
        # The head's unit mean square, and a column of ones: the bias is decayed too.
        features = samples.features().double().numpy() * samples.features().shape[1] ** 0.5
        return np.hstack([features, np.ones((len(features), 1))])

    labels = task.train.labels.numpy()
    weights = (1 / task.counts.double().numpy() if loss == "grw" else np.ones(4))[labels]
    model = LogisticRegression(C=1 / decay / weights.sum(), fit_intercept=False, tol=1e-8)
    model.fit(design(task.train), labels, sample_weight=weights)
    expected = model.decision_function(design(test))
    np.testing.assert_allclose(logits.numpy(), expected, atol=1e-3)


def test_linear_probe_takes_the_loss_that_fits_the_task_and_refuses_others():
    assert torch.equal(
        logits_of(LinearProbe(epochs=1)), logits_of(LinearProbe(loss="ce", epochs=1))
    )
    for loss in ("bce", "db", "asl"):
        with pytest.raises(NotApplicable, match=f"{loss} is not a loss for single-label data"):
            LinearProbe(loss=loss).fit(tiny_task()[0])
    with pytest.raises(NotApplicable, match="head=cosine"):
        LinearProbe(loss="ldam_drw", head="linear").fit(tiny_task()[0])
    multi, _ = tiny_task(kind="multi")
    with pytest.raises(NotApplicable, match="lade is not a loss for multi-label data"):
        LinearProbe(loss="lade").fit(multi)


@pytest.mark.parametrize("name", EVERY)
def test_linear_probe_under_every_loss_ignores_the_order_of_classes(name, double):
    order = [2, 0, 3, 1]
    probe = LinearProbe(loss=name, epochs=2)
    moved = logits_of(probe, permuted(tiny_data(), order))
    torch.testing.assert_close(moved, logits_of(probe)[:, order], atol=1e-9, rtol=0)
