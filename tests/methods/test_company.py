"""A training does not depend on the others in its batch, whatever state its loss has."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks.conformance.tiny import tiny_task
from methods.base import Batch, Predictor, Task
from methods.lmpt import Lmpt
from methods.parts.heads.linear_classifiers import LinearHead, OnFeatures
from methods.parts.image.two_stage import FeaturesOf
from methods.parts.losses.base import Loss
from methods.parts.losses.single_label.ce import cross_entropy
from methods.parts.training.learning import Learner, Learning, fit_learners
from methods.parts.training.schedules import Schedule, Training
from tests.methods.double import precise_task, unit

pytestmark = pytest.mark.numeric


@dataclasses.dataclass(frozen=True)
class Under(Learner):
    """A linear head under a loss that is constructed for each task."""

    make: Callable[[Task], Any]

    def learn(self, task: Task) -> Learning:
        module = OnFeatures(LinearHead(task.normal_per_class("head", 16)))
        return (yield Training(task, module, self.make(task), Schedule(4, 16, 0.1)))


class Late(Loss):
    """A loss whose weights change halfway, like those of LDAM-DRW."""

    coupled = False
    now: Tensor
    later: Tensor

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.register_buffer("later", 0.1 + torch.rand(4, generator=task.generator("later")))
        self.register_buffer("now", torch.ones(4))

    def at_epoch(self, epoch: int, epochs: int) -> None:
        self.now = self.later if epoch >= epochs / 2 else torch.ones(4)

    def forward(self, logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
        return self.now[labels] * cross_entropy(logits, labels, batch)


class Scaled(Loss):
    """A loss with a parameter that is not trained."""

    coupled = False

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.scale = nn.Parameter(1 + torch.rand(1, generator=task.generator("scale")))

    def forward(self, logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
        return cross_entropy(self.scale * logits, labels, batch)


@dataclasses.dataclass  # has no hash
class Plain:
    """A loss that is not a module and differs between tasks."""

    factor: float

    def __call__(self, logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
        return self.factor * cross_entropy(logits, labels, batch)


@pytest.mark.parametrize(
    "make",
    [Late, Scaled, lambda task: Plain(1.0 + task.seed)],
    ids=["buffers that become one", "parameters", "no hash"],
)
def test_losses(make: Callable[[Task], Any]) -> None:
    tasks = [tiny_task(seed)[0] for seed in range(3)]
    for seed, found in enumerate(fit_learners([(Under(make), task) for task in tasks])):
        assert isinstance(found, Predictor), found
        assert found.fitted_together == 3
        alone = Under(make).fit(tiny_task(seed)[0])
        assert found.trainable_params == alone.trainable_params
        for one, other in zip(
            found.logits.parameters(), alone.logits.parameters(), strict=True  # type: ignore[attr-defined]
        ):  # fmt: skip
            assert torch.equal(one, other)


def test_modules_that_depend_on_their_samples_may_be_fitted_with_others(double: None) -> None:
    """lmpt's loss indexes the texts of the training samples by their positions."""
    data = tiny_task()[0].train._split  # type: ignore[attr-defined]
    back = np.arange(len(data))[::-1]

    def tasks() -> list[Task]:
        first, second = (precise_task(seed)[0] for seed in range(2))
        samples: Any = tiny_task(1)[0].train
        reordered = dataclasses.replace(
            data,
            images=data.images.subset(back),
            labels=data.labels[back],
            ids=tuple(data.ids[i] for i in back),
        )
        again = type(samples)(reordered, samples._backbone, samples._store)
        second.train = FeaturesOf(again, unit(again.features()))
        second.texts = first.texts
        return [first, second]

    method = Lmpt(contexts=2, epochs=4, batch_size=16, lr=0.1)
    batch = precise_task()[0].train.batch(np.arange(16), needs="features")
    found = fit_learners([(method, task) for task in tasks()])
    for one, task in zip(found, tasks(), strict=True):
        assert isinstance(one, Predictor)
        alone = method.fit(task)
        with torch.no_grad():
            assert torch.equal(one.logits(batch), alone.logits(batch))


def test_one_that_raises_at_once_does_not_stop_the_others() -> None:
    class Broken(Learner):
        def learn(self, task: Task) -> Learning:  # not a generator: raises when called
            raise ValueError("no")

    found = fit_learners(
        [(Broken(), tiny_task()[0]), (Under(lambda task: cross_entropy), tiny_task()[0])]
    )
    assert isinstance(found[0], ValueError) and isinstance(found[1], Predictor)
