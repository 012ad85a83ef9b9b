"""cRT and LWS: trained parameters and cost of each stage, and interruptions."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.conformance.tiny import tiny_backbone, tiny_task
from benchmarks.errors import UserError
from methods.base import Method, Predictor
from methods.crt import Crt
from methods.lift import Lift
from methods.lws import Lws
from methods.parts.image.two_stage import epochs_of_stages, representation
from methods.parts.training.loop import Schedule, Stage
from tests.methods.memory import Memory

SHORT = {"batch_size": 32, "epochs": 5}
HEAD = 4 * 32 + 4
ADAPTERS = 2 * (64 + 33 + 64 + 1)


def logits_of(predictor: Predictor) -> Tensor:
    _, test = tiny_task()
    with torch.no_grad():
        return predictor.logits(test.batch(np.arange(len(test)), needs="images"))


def fitted(method: Method, **world: Any) -> tuple[Predictor, Tensor]:
    predictor = method.fit(tiny_task(**world)[0])
    return predictor, logits_of(predictor)


def first_stage(epochs: int, kind: str = "adapter", after: int = 2) -> Any:
    """The first stage of a `SHORT` run, with the defaults of crt and lws."""
    schedule = Schedule(epochs, 32, 0.01, augment="crop_flip")
    return representation(tiny_task()[0], kind, schedule, Stage(epochs_after=after))


@pytest.mark.parametrize(
    ("epochs", "share", "expected"),
    [
        (20, 0.5, (10, 10)),
        (15, 1 / 3, (10, 5)),
        (5, 0.5, (3, 2)),
        (5, 1 / 3, (3, 2)),
        (2, 0.5, (1, 1)),
        (10, 0.0, (9, 1)),
        (10, 1.0, (1, 9)),
    ],
)
def test_epochs_are_divided(epochs, share, expected):
    assert epochs_of_stages(epochs, share) == expected


def test_one_epoch_cannot_be_divided():
    with pytest.raises(UserError, match="two stages needs 2 or more"):
        Crt(epochs=1).fit(tiny_task()[0])


# ---- the first stage ----------------------------------------------------------------------------


def test_the_linear_head_starts_as_the_cosine_head():
    schedule = Schedule(1, 16, 0.0)
    task, test = tiny_task()
    batch = test.batch(np.arange(len(test)), needs="images")
    cosine = Lift(adapter="none", lr=0.0, epochs=1).fit(task).logits(batch)
    linear = representation(tiny_task()[0], "frozen", schedule, Stage()).cost.logits(batch)
    torch.testing.assert_close(linear, cosine, atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", ["adapter", "full", "frozen"])
def test_features_are_those_of_the_tower_that_was_trained(kind):
    found = first_stage(2, kind)
    task, _ = tiny_task()
    features = found.task.train.features()
    images = task.train.batch(np.arange(len(task.train)), needs="images").images
    assert features.shape == (64, 32)
    torch.testing.assert_close(features.norm(dim=1), torch.ones(64))
    with torch.no_grad():
        own = F.normalize(found.tower(images), dim=-1)
        visual: Any = copy.deepcopy(tiny_backbone().model.visual)
        visual.proj = None
        frozen = F.normalize(visual(images), dim=-1)
    torch.testing.assert_close(features, own, atol=1e-5, rtol=0)
    assert torch.allclose(features, frozen, atol=1e-5) == (kind == "frozen")
    some = np.array([5, 3])
    assert torch.equal(found.task.train.batch(some, needs="features").inputs, features[some])
    assert found.task.train.batch(some, needs="images").images is not None
    assert torch.equal(found.task.train.labels, task.train.labels)


# ---- the second ---------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", [Crt, Lws])
def test_the_second_stage_does_not_change_the_tower(cls):
    predictor, logits = fitted(cls(**SHORT))
    found = first_stage(3)
    for name, value in found.tower.state_dict().items():
        assert torch.equal(predictor.logits.tower.state_dict()[name], value)
    assert not torch.allclose(logits, logits_of(found.cost), atol=1e-2)


def test_crt_starts_its_head_at_random_by_class_name():
    predictor, _ = fitted(Crt(**SHORT, head_lr=0.0))
    head = predictor.logits.head[1]
    task, _ = tiny_task()
    start = task.normal_per_class("head", 32) / 32**0.5
    torch.testing.assert_close(head.weight.detach(), start, atol=1e-6, rtol=0)
    assert not bool(head.bias.any())


def test_crt_on_frozen_features_notes_that_it_is_a_balanced_sampler():
    task, _ = tiny_task()
    predictor = Crt(**SHORT, stage1="frozen").fit(task)
    assert task.notes == ["on frozen features crt is only a class-balanced sampler"]
    assert (predictor.epochs, predictor.images_seen) == (5, 5 * 64)
    task, _ = tiny_task()
    Crt(**SHORT).fit(task)
    assert task.notes == []


def test_a_step_of_crt_is_one_on_the_class_balanced_loss():
    """One batch contains a whole epoch: every class 16 times, from 35 to 4 images."""
    one = Crt(stage1="frozen", epochs=1, batch_size=64, head_lr=2.0, weight_decay=0.0)
    predictor, _ = fitted(one)
    task, _ = tiny_task()
    start = task.normal_per_class("head", 32) / 32**0.5
    step = (start - predictor.logits.head[1].weight.detach()).flatten() / 0.5  # 2 * 64 / 256

    visual: Any = copy.deepcopy(tiny_backbone().model.visual)
    visual.proj = None
    with torch.no_grad():
        images = task.train.batch(np.arange(64), needs="images").images
        features = F.normalize(visual(images), dim=-1) * 32**0.5
    labels = task.train.labels
    weight = start.clone().requires_grad_()
    losses = F.cross_entropy(features @ weight.T, labels, reduction="none")
    balanced = torch.stack([losses[labels == c].mean() for c in range(4)]).mean()
    (expected,) = torch.autograd.grad(balanced, weight, retain_graph=True)
    (natural,) = torch.autograd.grad(losses.mean(), weight)
    # Not equal: it uses only some images of the larger classes.
    assert float((step - expected.flatten()).norm() / expected.norm()) < 0.15
    assert float((step - natural.flatten()).norm() / expected.norm()) > 0.3


def test_lws_learns_only_one_factor_per_class():
    predictor, logits = fitted(Lws(**SHORT, scale_lr=1.0))
    scaled, found = predictor.logits.head[1], first_stage(3)
    assert torch.equal(scaled.head.weight, found.head.weight)
    assert torch.equal(scaled.head.bias, found.head.bias)
    assert scaled.scale.shape == (4,) and bool((scaled.scale != 1).all())
    torch.testing.assert_close(logits, logits_of(found.cost) * scaled.scale.detach())


def test_lws_without_a_step_is_its_first_stage():
    _, logits = fitted(Lws(**SHORT, scale_lr=0.0))
    assert torch.equal(logits, logits_of(first_stage(3).cost))


@pytest.mark.parametrize(
    ("method", "epochs", "parameters"),
    [
        (Crt(**SHORT), 5, ADAPTERS + 2 * HEAD),
        (Lws(**SHORT), 5, ADAPTERS + HEAD + 4),
        (Crt(**SHORT, stage1="frozen"), 5, HEAD),
        (Lws(**SHORT, stage1="frozen"), 5, HEAD + 4),
    ],
    ids=["crt", "lws", "crt frozen", "lws frozen"],
)
def test_cost_and_progress_are_of_both_stages(method, epochs, parameters):
    calls: list[tuple[int, ...]] = []
    predictor, _ = fitted(method, progress=lambda *call: calls.append(call))
    assert predictor.epochs == epochs and predictor.images_seen == epochs * 64
    assert predictor.trainable_params == parameters
    assert calls == [(e, epochs, s, 2) for e in range(epochs) for s in (1, 2)]


def test_the_whole_tower_in_the_first_stage():
    _, adapter = fitted(Crt(**SHORT))
    predictor, full = fitted(Crt(**SHORT, stage1="full", lr=1e-3))
    visual: Any = tiny_backbone().model.visual
    tower = sum(p.numel() for n, p in visual.named_parameters() if n != "proj")
    assert predictor.trainable_params == tower + 2 * HEAD
    assert not torch.allclose(adapter, full, atol=1e-2)


# ---- interruptions and selection ----------------------------------------------------------------


@pytest.mark.parametrize("at", [1, 3, 4])  # in the first stage, as the second begins, in it
@pytest.mark.parametrize("validation", [False, True])
@pytest.mark.parametrize("cls", [Crt, Lws])
def test_an_interrupted_fit_resumes_to_the_same_logits(cls, validation, at):
    def interrupt(epoch: int, epochs: int, step: int, steps: int) -> None:
        if (epoch, step) == (at, 2):
            raise KeyboardInterrupt

    seen: list[int] = []
    method, memory = cls(**SHORT), Memory()
    expected, logits = fitted(method, validation=validation)
    with pytest.raises(KeyboardInterrupt):
        fitted(method, validation=validation, progress=interrupt, checkpoint=memory)
    again, resumed = fitted(
        method,
        validation=validation,
        checkpoint=memory,
        progress=lambda epoch, *_: seen.append(epoch),
    )
    assert torch.equal(resumed, logits)
    assert sorted(set(seen)) == list(range(at, 5))  # no finished epoch is trained again
    costs = [dataclasses.replace(p, logits=len) for p in (expected, again)]
    assert costs[0] == costs[1]


def test_validation_selects_in_the_space_of_the_tower():
    task, _ = tiny_task(validation=True)
    found = representation(task, "adapter", Schedule(1, 16, 0.01), Stage())
    assert found.task.validation is not None and task.validation is not None
    images = task.validation.batch(np.arange(len(task.validation)), needs="images").images
    with torch.no_grad():
        expected = F.normalize(found.tower(images), dim=-1)
    torch.testing.assert_close(found.task.validation.features(), expected, atol=1e-5, rtol=0)
