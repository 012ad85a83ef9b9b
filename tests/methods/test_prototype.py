"""The prototype framework as a whole: the switch of every module and the result without it."""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.conformance.tiny import permuted, tiny_data
from benchmarks.datasets.base import DataSet
from benchmarks.datasets.families.glyphs import Glyphs
from methods.base import Predictor, Task
from methods.logit_adjustment import LogitAdjustment
from methods.parts.heads.matching import Whitening
from methods.parts.losses.single_label.la import LogitAdjusted
from methods.parts.text.class_texts import Pieces, fused, pieces
from methods.prototype import MatchingLoss, Prototype
from tests.methods.double import precise_task

pytestmark = pytest.mark.numeric

SHORT = {"epochs": 4, "batch_size": 16}


def fitted(method, data: DataSet | None = None, seed: int = 0) -> tuple[Tensor, Predictor, Task]:
    task, test = precise_task(seed, data=data)
    predictor = method.fit(task)
    with torch.no_grad():
        logits = predictor.logits(test.batch(np.arange(len(test)), needs="features"))
    return logits, predictor, task


def logits_of(data: DataSet | None = None, seed: int = 0, **fields) -> Tensor:
    return fitted(Prototype(**SHORT, **fields), data, seed)[0]


@cache
def default_logits() -> Tensor:
    return logits_of()


def with_descriptions(*texts: str) -> DataSet:
    data = tiny_data()
    return dataclasses.replace(data, texts=dataclasses.replace(data.texts, descriptions=texts))


@pytest.mark.parametrize(
    "fields",
    [
        {"prototypes": "text"},
        {"assignment": "random"},
        {"centre": False},
        {"shrinkage": 1.0},
        {"text": "names"},
        {"text": "descriptions"},
        {"text_filter": "none"},
        {"text_filter": "name"},
        {"enhance": False},
        {"matching": "image"},
        {"matching": "none"},
        {"matching_scale": 60.0},
        {"text_weight": 3.0},
        {"classifier": "free"},
        {"classifier": "none"},
        {"prototype_share": 0.2},
        {"pull": 0.0},
        {"scale": 15.0},
        {"tau": 0.0},
        {"classifier_share": 0.25},
    ],
    ids=str,
)
def test_every_field_changes_something(fields):
    assert not torch.allclose(default_logits(), logits_of(**fields), atol=1e-4)


# ---- off means off ------------------------------------------------------------------------------


def test_with_everything_off_it_is_a_logit_adjusted_head_from_the_class_means(double):
    plain = {"centre": False, "shrinkage": 1.0, "matching": "none", "classifier": "free"}
    head = LogitAdjustment(init="class_mean", lr=0.03, **SHORT)
    for tau in (0.0, 1.0):
        expected = fitted(dataclasses.replace(head, tau=tau))[0]
        torch.testing.assert_close(logits_of(**plain, tau=tau), expected, atol=1e-9, rtol=0)


def test_without_any_training_prototypes_classify_whitened_images(double):
    method = Prototype(matching="none", classifier="none", prototypes="text", text="names")
    found, predictor, task = fitted(method)
    assert (predictor.trainable_params, predictor.epochs, predictor.images_seen) == (0, 0, 0)
    names = task.text_features()
    centred = F.normalize(names - names.mean(0), dim=-1)
    images = Whitening.of(task, 0.2, centre=True)(precise_task()[1].features())
    torch.testing.assert_close(found, 30 * images @ centred.T, atol=1e-9, rtol=0)


def test_free_is_guided_without_prototypes_and_texts():
    guided = logits_of(prototype_share=0.0, pull=0.0)
    assert torch.equal(logits_of(classifier="free", prototype_share=0.9, pull=5.0), guided)


def test_image_matching_is_matching_with_text_weight_zero(double):
    off = logits_of(matching="image", text_weight=7.0)
    torch.testing.assert_close(off, logits_of(text_weight=0.0), atol=1e-9, rtol=0)


def test_one_piece_of_text_cannot_be_filtered_or_weighted(double):
    alone = logits_of(text="names")
    for fields in ({"text_filter": "none"}, {"text_filter": "name"}, {"enhance": False}):
        found = logits_of(text="names", **fields)
        torch.testing.assert_close(found, alone, atol=1e-9, rtol=0)


def test_matching_adds_up_the_loss_of_an_image_and_of_its_class_text(double):
    predictor, task = fitted(Prototype(text_weight=0.3, classifier="none", **SHORT))[1:]
    matching, labels = predictor.logits, torch.tensor([0, 0, 2, 1])
    batch = task.train.batch(np.array([3, 1, 4, 2]), needs="features")
    adjusted = LogitAdjusted(task.log_prior, 1.0)
    loss = MatchingLoss(matching, adjusted, 0.3)
    with torch.no_grad():
        logits, texts = matching(batch), 30 * matching.text() @ matching.prototypes.T
        found = loss(logits, labels, batch)
    for i, c in enumerate(labels.tolist()):
        parts = [-float((z + task.log_prior).log_softmax(-1)[c]) for z in (logits[i], texts[c])]
        assert float(found[i]) == pytest.approx(parts[0] + 0.3 * parts[1], abs=1e-9)


def texts_of(data: DataSet, **fields) -> tuple[Tensor, Pieces]:
    """Text features of a method and the pieces that they consist of."""
    _, predictor, task = fitted(Prototype(matching="none", classifier="none", **fields), data)
    return predictor.logits.texts, pieces(task, "both").centred()


def test_texts_without_filter_and_enhancement_are_means_of_their_pieces():
    data = with_descriptions("a red star. found in a box.", "a star", "a heart", "a bolt")
    found, parts = texts_of(data, text_filter="none", enhance=False)
    expected = fused(parts, torch.ones(14), 4)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    filtered, _ = texts_of(data, enhance=False)
    enhanced, _ = texts_of(data, text_filter="none")
    # With one piece fewer or other weights, a text feature still consists of its class's pieces.
    for other in (filtered, enhanced):
        assert not torch.allclose(other, expected, atol=1e-3)
        for c in range(4):
            own = parts.features[parts.owner == c].double().numpy()
            target = other[c].double().numpy()
            left = target - own.T @ np.linalg.lstsq(own.T, target, rcond=None)[0]
            assert np.abs(left).max() < 1e-5


def test_random_prototypes_ignore_the_texts():
    def prototypes(data: DataSet, **fields) -> Tensor:
        method = Prototype(matching="none", classifier="none", **fields)
        return fitted(method, data)[1].logits.prototypes

    one, other = tiny_data(), with_descriptions("a star", "a heart", "a bolt", "a cross")
    random = [prototypes(data, assignment="random") for data in (one, other)]
    assert torch.equal(*random)
    near = [prototypes(data) for data in (one, other)]
    assert not torch.allclose(*near, atol=1e-2)


# ---- what is reported ---------------------------------------------------------------------------


def test_cost_is_that_of_both_stages_and_the_note_states_the_largest_cosine():
    _, predictor, task = fitted(Prototype(**SHORT))
    assert predictor.trainable_params == 16 * 16 + 4 * 16
    assert (predictor.epochs, predictor.images_seen) == (4, 4 * 64)
    assert (
        "prototypes in 16 dimensions: largest cosine -0.333, lower bound -0.333" in task.details[0]
    )
    _, predictor, _ = fitted(Prototype(classifier="none", **SHORT))
    assert (predictor.trainable_params, predictor.epochs) == (256, 4)
    _, predictor, task = fitted(Prototype(matching="none", prototypes="text", **SHORT))
    assert (predictor.trainable_params, predictor.epochs, task.details) == (64, 4, [])


# ---- permutations that the tiny world does not have ---------------------------------------------


def many_classes() -> DataSet:
    """20 classes, more than fit a simplex in the 16 dimensions of the tiny backbone."""
    return Glyphs(classes=20, n_max=8, imbalance=4, test_per_class=1).load(None, 0)


@pytest.mark.parametrize("assignment", ["text", "random"])
def test_permuting_more_classes_than_a_simplex_has_room_for(assignment, double):
    data, order = many_classes(), [7, *range(7), *range(19, 7, -1)]
    logits = logits_of(data, assignment=assignment)
    moved = logits_of(permuted(data, order), assignment=assignment)
    torch.testing.assert_close(moved, logits[:, order], atol=1e-9, rtol=0)
    assert not torch.allclose(moved, logits, atol=0.1)


def test_classes_with_the_same_text_are_separated_by_their_names(double):
    data, order = with_descriptions(*["a red star"] * 4), [2, 0, 3, 1]
    fields = {"text": "descriptions", "matching": "none", "classifier": "none"}
    logits = logits_of(data, **fields)
    moved = logits_of(permuted(data, order), **fields)
    torch.testing.assert_close(moved, logits[:, order], atol=1e-9, rtol=0)
    assert float(logits.std(1).min()) > 0.1
