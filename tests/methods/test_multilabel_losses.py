"""Multi-label losses against NumPy, scikit-learn and each other; the bias before the sigmoid."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, log_loss
from torch import Tensor

from benchmarks.conformance.tiny import permuted, tiny_data, tiny_task
from benchmarks.errors import NotApplicable
from methods.base import Batch, Method, Samples, Task
from methods.linear_probe import LinearProbe
from methods.ncm import NearestClassMean
from methods.parts.heads.linear_classifiers import SigmoidBias, class_means, log_odds
from methods.parts.losses import named_loss
from methods.parts.losses.base import LossFunction
from methods.parts.losses.multi_label.asl import Asymmetric
from methods.parts.losses.multi_label.bce import binary_cross_entropy
from methods.parts.losses.multi_label.db import DistributionBalanced
from methods.parts.losses.multi_label.focal import SigmoidFocal
from tests.methods.double import precise_task

pytestmark = pytest.mark.numeric

COUNTS = torch.tensor([60.0, 20.0, 4.0], dtype=torch.float64)
IMAGES = 80
EVERY = ("bce", "db", "asl", "focal")
BATCH = Batch(torch.arange(5), None, None)


def some() -> tuple[Tensor, Tensor]:
    """Logits and labels; one sample has every class, one has none."""
    generator = torch.Generator().manual_seed(5)
    logits = 2 * torch.randn(5, 3, generator=generator, dtype=torch.float64)
    labels = torch.tensor([[1, 0, 0], [1, 1, 1], [0, 0, 0], [0, 1, 1], [1, 0, 1]])
    return logits, labels


def named(name: str, counts: Tensor = COUNTS, *, asl_detach: bool = True) -> LossFunction:
    """A loss in double precision, constructed as in linear_probe."""
    task, _ = tiny_task(kind="multi")
    task.counts = counts
    return named_loss(name, task, db_neg_scale=2.0, db_mu=0.2, asl_detach=asl_detach)


def predicted(method: Method, task: Task, samples: Samples) -> Tensor:
    """(N, C) logits of a freshly fitted method."""
    predictor = method.fit(task)
    with torch.no_grad():
        return predictor.logits(samples.batch(np.arange(len(samples)), needs="features"))


@pytest.mark.parametrize("name", EVERY)
def test_one_value_per_sample_with_the_gradient_of_finite_differences(name):
    logits, labels = some()
    loss = named(name, asl_detach=False)
    assert loss(logits, labels, BATCH).shape == (5,)
    torch.autograd.gradcheck(lambda z: loss(z, labels, BATCH), logits.requires_grad_())


@pytest.mark.parametrize("name", EVERY)
def test_a_samples_loss_does_not_depend_on_its_batch(name):
    """This includes the focal factor, which LMPT's copy of DB averages over the batch."""
    logits, labels = some()
    loss = named(name)
    alone = torch.cat([loss(logits[i : i + 1], labels[i : i + 1], BATCH) for i in range(5)])
    torch.testing.assert_close(loss(logits, labels, BATCH), alone)


def test_binary_cross_entropy_agrees_with_scikit_learn():
    logits, labels = some()
    for loss, z, y in zip(binary_cross_entropy(logits, labels, BATCH), logits, labels, strict=True):
        p = torch.sigmoid(z).numpy()
        expected = sum(log_loss([int(y[c])], [[1 - p[c], p[c]]], labels=[0, 1]) for c in range(3))
        assert float(loss) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_focal_by_hand(gamma):
    logits, labels = some()
    p = torch.sigmoid(logits)
    of_truth = torch.where(labels > 0, p, 1 - p)
    expected = (-((1 - of_truth) ** gamma) * of_truth.log()).sum(1)
    torch.testing.assert_close(SigmoidFocal(gamma)(logits, labels, BATCH), expected)


@pytest.mark.parametrize(("positive", "negative", "clip"), [(1, 4, 0.05), (0, 4, 0.2), (0, 0, 0)])
def test_asymmetric_by_hand(positive, negative, clip):
    logits, labels = some()
    losses = Asymmetric(positive, negative, clip)(logits, labels, BATCH).numpy()
    p = 1 / (1 + np.exp(-logits.numpy()))
    shifted = np.maximum(p - clip, 0)
    expected = np.where(
        labels.numpy() == 1,
        -((1 - p) ** positive) * np.log(p),
        -(shifted**negative) * np.log(1 - shifted),
    )
    np.testing.assert_allclose(losses, expected.sum(1), atol=1e-12)
    if not (positive or negative or clip):
        bce = binary_cross_entropy(logits, labels, BATCH).numpy()
        np.testing.assert_allclose(losses, bce, atol=1e-12)


@pytest.mark.parametrize("gamma", [0.0, 1.0])
def test_asymmetrics_focusing_factors_are_weights_without_a_gradient(gamma):
    """The gradient is that of the logarithms, times a weight (training scripts of ASL and LMPT)."""
    logits, labels = some()
    Asymmetric(gamma)(logits.requires_grad_(), labels, BATCH).sum().backward()
    for z, y, found in zip(
        logits.detach().flatten(), labels.flatten(), logits.grad.flatten(), strict=True
    ):
        p = 1 / (1 + math.exp(-z))
        if y:
            expected = -((1 - p) ** gamma) * (1 - p)
        else:
            rest = min(1 - p + 0.05, 1.0)
            expected = (1 - rest) ** 4 * (p * (1 - p) / rest if rest < 1 else 0.0)
        assert float(found) == pytest.approx(expected, abs=1e-12)


def test_asymmetric_with_the_authors_defaults_is_the_default_of_the_loss():
    logits, labels = some()
    for fields, expected in (
        ({}, Asymmetric(0.0, 4.0, 0.05, detach=True)),
        ({"asl_gamma_pos": 1.0, "asl_detach": False}, Asymmetric(1.0, 4.0, 0.05, detach=False)),
    ):
        task, _ = tiny_task(kind="multi")
        gradients = []
        for loss in (named_loss("asl", task, **fields), expected):
            z = logits.clone().requires_grad_()
            loss(z, labels, BATCH).sum().backward()
            gradients.append(z.grad)
        assert torch.equal(*gradients)


def test_asymmetrics_probabilities_are_at_least_1e_8():
    logits = torch.tensor([[-30.0, -18.0]], dtype=torch.float64, requires_grad=True)
    loss = Asymmetric()(logits, torch.ones(1, 2), Batch(torch.arange(1), None, None))
    loss.sum().backward()
    assert loss.item() == pytest.approx(-math.log(1e-8) + math.log1p(math.exp(18)), abs=1e-9)
    assert float(logits.grad[0, 0]) == 0.0
    assert float(logits.grad[0, 1]) == pytest.approx(-1 / (1 + math.exp(-18)), abs=1e-9)


def test_asymmetric_costs_nothing_below_its_clip_and_is_finite_for_large_logits():
    loss = Asymmetric()
    easy = torch.full((1, 3), math.log(0.04 / 0.96))
    nothing = torch.zeros(1, 3)
    assert float(loss(easy, nothing, BATCH)) == 0.0
    for z in (-500.0, 500.0):
        for y in (0, 1):
            logits = torch.full((1, 3), z, requires_grad=True)
            loss(logits, torch.full((1, 3), y), BATCH).sum().backward()
            assert bool(logits.grad.isfinite().all())


@pytest.mark.parametrize(("neg_scale", "mu"), [(2.0, 0.2), (5.0, 0.3)])
def test_distribution_balanced_by_hand(neg_scale, mu):
    """NumPy loop over elements, from the formulas in the docstring."""
    logits, labels = some()
    logits, labels = logits[[0, 1, 3, 4]], labels[[0, 1, 3, 4]]
    losses = DistributionBalanced(COUNTS, IMAGES, neg_scale=neg_scale, mu=mu)
    n = COUNTS.numpy()
    for loss, z, y in zip(
        losses(logits, labels, BATCH), logits.numpy(), labels.numpy(), strict=True
    ):
        expected = 0.0
        for c in range(3):
            ratio = (1 / n[c]) / sum(1 / n[j] for j in range(3) if y[j])
            weight = 0.1 + 1 / (1 + np.exp(-10 * (ratio - mu)))
            shifted = z[c] - 0.05 / neg_scale * np.log(IMAGES / n[c] - 1)
            if y[c]:
                p = 1 / (1 + np.exp(-shifted))
            else:
                p = 1 - 1 / (1 + np.exp(-neg_scale * shifted))
                weight /= neg_scale
            expected -= 2.0 * weight * (1 - p) ** 2 * np.log(p)
        assert float(loss) == pytest.approx(expected, abs=1e-12)


def test_distribution_balanced_at_its_neutral_values_is_binary_cross_entropy():
    logits, labels = some()
    loss = DistributionBalanced(
        COUNTS, IMAGES, neg_scale=1.0, alpha=0.5, beta=0.0, kappa=0.0, gamma=0.0, factor=1.0
    )
    torch.testing.assert_close(
        loss(logits, labels, BATCH), binary_cross_entropy(logits, labels, BATCH)
    )


@pytest.mark.parametrize("name", EVERY)
def test_classes_in_no_image_and_in_every_image_give_finite_losses(name):
    task, _ = tiny_task(kind="multi")
    loss = named(name, torch.tensor([0.0, len(task.train), 3.0], dtype=torch.float64))
    logits, labels = some()
    labels[:, 0], labels[:, 1] = 0, 1
    logits.requires_grad_()
    losses = loss(logits, labels, BATCH)
    losses.sum().backward()
    assert bool(losses.isfinite().all()) and bool(logits.grad.isfinite().all())


# ---- heads ---------------------------------------------------------------------------------------


def test_sigmoids_start_at_the_class_frequencies_and_keep_the_order_within_a_class():
    generator = torch.Generator().manual_seed(0)
    # Typical cosines of images and texts in CLIP, times its scale: their sigmoids are 1.
    z = 100 * (0.25 + 0.01 * torch.randn(200, 3, generator=generator))
    assert float(torch.sigmoid(z).min()) > 0.99
    head = SigmoidBias(z.mean(0), log_odds(COUNTS.float(), IMAGES))
    out = head(z).detach()
    frequency = (COUNTS + 0.5) / (IMAGES + 1)
    assert torch.sigmoid(out.mean(0)).tolist() == pytest.approx(frequency.tolist(), abs=1e-5)
    with torch.no_grad():
        head.bias.copy_(torch.tensor([1.0, -2.0, 3.0]))
        moved = head(z)
    torch.testing.assert_close(moved - out, head.bias.detach().expand(200, 3), atol=1e-4, rtol=0)
    labels = torch.randint(2, (200, 3), generator=generator)
    for c in range(3):
        before, after = (average_precision_score(labels[:, c], s[:, c]) for s in (z, moved))
        assert before == after


@pytest.mark.parametrize("init", ["random", "text", "class_mean"])
def test_a_probe_starts_at_the_class_frequencies_with_every_initial_head(init):
    task, _ = tiny_task(kind="multi")
    logits = predicted(LinearProbe(init=init, lr=1e-9, epochs=1), task, task.train)
    odds = log_odds(task.counts, len(task.train))
    torch.testing.assert_close(logits.mean(0), odds, atol=1e-3, rtol=0)


def test_log_odds_are_finite_for_classes_in_no_and_in_every_image():
    odds = log_odds(torch.tensor([0.0, 40.0, 80.0]), 80)
    assert odds.tolist() == pytest.approx([-math.log(161), 0.0, math.log(161)], abs=1e-5)


def test_class_means_are_over_all_images_that_show_the_class():
    task, _ = tiny_task(kind="multi")
    features, labels = task.train.features(), task.train.labels
    means = class_means(task)
    for c in range(4):
        torch.testing.assert_close(means[c], features[labels[:, c] == 1].mean(0))


@pytest.mark.parametrize("loss", EVERY)
def test_training_raises_the_training_precision(loss):
    task, _ = tiny_task(kind="multi")
    labels = task.train.labels.numpy()

    def precision(epochs: int) -> float:
        probe = LinearProbe(loss=loss, head="linear", lr=0.1, epochs=epochs, batch_size=16)
        return float(average_precision_score(labels, predicted(probe, task, task.train)))

    assert precision(20) > precision(1) + 0.05


@pytest.mark.parametrize("loss", EVERY)
def test_permuting_the_classes_permutes_the_logits(loss, double):
    order = [2, 0, 3, 1]
    logits = []
    for data in (tiny_data("multi"), permuted(tiny_data("multi"), order)):
        task, test = precise_task(data=data)
        logits.append(predicted(LinearProbe(loss=loss, epochs=2), task, test))
    torch.testing.assert_close(logits[1], logits[0][:, order], atol=1e-9, rtol=0)


def test_the_default_loss_is_binary_cross_entropy_and_the_record_says_so():
    logits = []
    for loss in ("auto", "bce"):
        task, test = tiny_task(kind="multi")
        logits.append(predicted(LinearProbe(loss=loss, epochs=1), task, test))
        assert any("bce" in note for note in task.notes) == (loss == "auto")
    assert torch.equal(*logits)


@pytest.mark.parametrize("name", ["ce", "la", "ldam_drw", "grw"])
def test_single_label_losses_are_refused(name):
    with pytest.raises(NotApplicable, match=f"{name} is not a loss for multi-label data"):
        LinearProbe(loss=name).fit(tiny_task(kind="multi")[0])


def test_nearest_class_mean_ranks_images_by_their_cosine_to_a_classs_mean():
    task, test = tiny_task(kind="multi")
    logits = predicted(NearestClassMean(), task, test)
    mean = task.train.features()[task.train.labels[:, 2] == 1].mean(0)
    assert torch.equal(logits[:, 2].argsort(), (test.features() @ mean).argsort())
