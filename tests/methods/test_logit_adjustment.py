"""Zero-shot logits and the prior of pre-training, in a Gaussian world where that prior is known.

The training of logit adjustment is tested with the losses.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import balanced_accuracy_score
from torch import Tensor

from benchmarks.conformance.tiny import tiny_data, tiny_task
from methods.base import Batch, Task
from methods.logit_adjustment import LogitAdjustment
from methods.parts.heads.priors import prior_from_images, prior_from_texts
from methods.zero_shot import ZeroShot

CLASSES = 12
COMMON = 0.6
"""Coordinate that all images, and on average all texts, have in common: the last but C."""


@dataclass
class FeatureSamples:
    """Samples of a world without images."""

    values: Tensor
    labels: Tensor
    captions: None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def keys(self) -> NDArray[np.uint64]:
        return np.arange(len(self), dtype=np.uint64)

    def features(self) -> Tensor:
        return self.values

    def batch(self, index, *, needs, augment="none", stream=()) -> Batch:
        where = torch.from_numpy(index)
        return Batch(where, self.values[where], None)


class World:
    """C Gaussian classes of one covariance; zero-shot logits are exactly log p(x | c) + log pi_c.

    Coordinates of a feature: C for what tells the classes apart, one that is the same for all
    images and in which texts of common classes are larger, C more that only texts have, one each,
    so that every text is of length 1.
    """

    def __init__(self, scale: float, log_prior: Tensor, counts: list[int]) -> None:
        self.scale, self.log_prior, self.counts = scale, log_prior, counts
        self.variance = 0.05
        own = 0.5 * torch.eye(CLASSES)  # text coordinates
        self.means = scale * self.variance * own
        # Shifted by a constant that cancels in the softmax: texts and images have equal means.
        common = COMMON + (log_prior - log_prior.mean()) / (scale * COMMON)
        rest = (1 - 0.25 - common.square()).sqrt()
        self.texts = torch.cat([own, common[:, None], torch.diag(rest)], 1)  # (C, 2C + 1)
        assert torch.allclose(self.texts.norm(dim=1), torch.ones(CLASSES))

    def images(self, counts: list[int], seed: int) -> FeatureSamples:
        labels = torch.repeat_interleave(torch.arange(CLASSES), torch.tensor(counts))
        noise = torch.randn(len(labels), CLASSES, generator=torch.Generator().manual_seed(seed))
        x = self.means[labels] + self.variance**0.5 * noise
        common, nothing = torch.full((len(x), 1), COMMON), torch.zeros(len(x), CLASSES)
        return FeatureSamples(torch.cat([x, common, nothing], 1), labels)

    @cached_property
    def task(self) -> Task:
        """A task of this world; only its texts, training features and counts are used."""
        task, _ = tiny_task()
        names = tuple(f"class{c}" for c in range(CLASSES))
        templates = ("{}",)
        task.texts = type(tiny_data().texts)(names, templates)
        task.text_cache = lambda texts, _: torch.stack([self.texts[names.index(t)] for t in texts])
        task.counts = torch.tensor(self.counts).float()
        task.train = self.images(self.counts, seed=1)
        return task

    def bayes(self, x: Tensor) -> Tensor:
        """(N, C) log-densities, up to a term that is equal for all classes."""
        squares = (x[:, None, :CLASSES] - self.means).square().sum(2)
        return -squares / (2 * self.variance)


@pytest.fixture(scope="module")
def world() -> World:
    """Pre-training and training data are both long-tailed, but unrelated.

    The class that is the third most common of training is the most common of pre-training.
    """
    task, _ = tiny_task()
    ranks = torch.tensor([7, 2, 0, 9, 4, 11, 1, 10, 5, 3, 8, 6])
    log_prior = (-0.25 * ranks).float().log_softmax(0)
    counts = [int(400 * 0.02 ** (c / (CLASSES - 1))) for c in range(CLASSES)]
    return World(task.backbone.logit_scale, log_prior, counts)


def balanced(world: World, shift: Tensor) -> float:
    """Balanced accuracy, in percent, of the zero-shot logits minus `shift` on fresh images."""
    test = world.images([400] * CLASSES, seed=2)
    index = np.arange(len(test))
    logits = ZeroShot().fit(world.task).logits(test.batch(index, needs="features"))
    return 100 * balanced_accuracy_score(test.labels, (logits - shift).argmax(1))


def corrected(world: World, **fields) -> float:
    test = world.images([400] * CLASSES, seed=2)
    predictor = LogitAdjustment(mode="zero_shot", **fields).fit(world.task)
    logits = predictor.logits(test.batch(np.arange(len(test)), needs="features"))
    return 100 * balanced_accuracy_score(test.labels, logits.argmax(1))


def test_zero_shot_logits_are_the_posterior_under_the_prior_of_pre_training(world):
    """Premise of the other tests."""
    test = world.images([20] * CLASSES, seed=2)
    logits = ZeroShot().fit(world.task).logits(test.batch(np.arange(len(test)), needs="features"))
    expected = (world.bayes(test.values) + world.log_prior).log_softmax(1)
    torch.testing.assert_close(logits.log_softmax(1), expected, atol=1e-3, rtol=0)


def test_the_right_prior_helps_and_the_prior_of_the_data_set_harms(world):
    zero_shot = balanced(world, torch.zeros(CLASSES))
    test = world.images([400] * CLASSES, seed=2)
    best = 100 * balanced_accuracy_score(test.labels, world.bayes(test.values).argmax(1))
    assert balanced(world, world.log_prior) == pytest.approx(best, abs=0.1)
    assert best > zero_shot + 3
    assert balanced(world, world.task.log_prior) < zero_shot - 3
    # The estimates also improve on it.
    assert corrected(world, prior="reweighted") > best - 0.7
    assert corrected(world, prior="texts") > best - 0.7
    assert corrected(world, prior="reweighted", tau=0.0) == zero_shot


def test_the_estimate_from_images_is_near_the_prior(world):
    train = world.task.train
    weight = world.scale * world.texts
    estimate = prior_from_images(train.values, train.labels, weight)
    # The smallest class has 8 images: the error of log shares is about 1 / sqrt(8).
    assert float((estimate - world.log_prior).abs().max()) < 0.35
    assert np.corrcoef(estimate, world.log_prior)[0, 1] > 0.97
    many = world.images([3000] * CLASSES, seed=3)
    estimate = prior_from_images(many.values, many.labels, weight)
    assert float((estimate - world.log_prior).abs().max()) < 0.05


def test_the_estimate_from_images_does_not_follow_the_training_frequencies(world):
    weight = world.scale * world.texts
    for counts in ([300 + 2700 * (c < 6) for c in range(CLASSES)], [1500] * CLASSES):
        images = world.images(counts, seed=4)
        estimate = prior_from_images(images.values, images.labels, weight)
        assert float((estimate - world.log_prior).abs().max()) < 0.15


def test_the_corrected_classifier_predicts_every_class_equally_often(world):
    train = world.task.train
    logits = world.scale * train.values @ world.texts.T
    estimate = prior_from_images(train.values, train.labels, world.scale * world.texts)
    probabilities = (logits - estimate).softmax(1)
    per_class = torch.stack([probabilities[train.labels == c].mean(0) for c in range(CLASSES)])
    assert per_class.mean(0).tolist() == pytest.approx([1 / CLASSES] * CLASSES, rel=3e-3)


def test_the_estimate_from_texts_is_near_the_prior_if_texts_agree_with_images(world):
    estimate = prior_from_texts(world.texts, world.scale)
    assert float((estimate - world.log_prior).abs().max()) < 0.25
    assert np.corrcoef(estimate, world.log_prior)[0, 1] > 0.99


def test_texts_alone_do_not_determine_the_prior(world):
    """The same texts, images on the other side: the inverse prior, but the same estimate."""
    mirrored = world.images([3000] * CLASSES, seed=3)
    mirrored.values[:, CLASSES] *= -1
    weight = world.scale * world.texts
    from_images = prior_from_images(mirrored.values, mirrored.labels, weight)
    inverse = (-world.log_prior).log_softmax(0)
    assert float((from_images - inverse).abs().max()) < 0.1
    assert np.corrcoef(prior_from_texts(world.texts, world.scale), from_images)[0, 1] < -0.99


def test_a_class_without_training_images_takes_the_others_mean(world):
    counts = [*world.counts[:-1], 0]
    other = World(world.scale, world.log_prior, counts)
    weight = other.scale * other.texts
    train = other.task.train
    estimate = prior_from_images(train.values, train.labels, weight)
    assert float(estimate[-1]) == pytest.approx(float(estimate[:-1].mean()), abs=1e-5)
    without = prior_from_images(train.values, train.labels, weight[:-1])
    torch.testing.assert_close(estimate[:-1].log_softmax(0), without, atol=1e-5, rtol=0)
    corrected(other)
    assert any("without training images" in note for note in other.task.notes)


def test_a_class_that_zero_shot_never_predicts(world):
    """Its probability is 0 in single precision on every image."""
    images = world.images([3000] * CLASSES, seed=3)
    weight = world.scale * world.texts
    weight[0, CLASSES] -= 300 / COMMON
    estimate = prior_from_images(images.values, images.labels, weight)
    expected = world.log_prior - 300 * (torch.arange(CLASSES) == 0)
    assert float((estimate - expected.log_softmax(0)).abs().max()) < 0.05


@pytest.mark.parametrize("prior", ["reweighted", "texts"])
def test_zero_shot_trains_nothing(prior):
    task, _ = tiny_task()
    predictor = LogitAdjustment(mode="zero_shot", prior=prior).fit(task)
    assert (predictor.trainable_params, predictor.epochs, predictor.images_seen) == (0, 0, 0)
