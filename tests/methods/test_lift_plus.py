"""LIFT+: what differs from LIFT, and the schedule of its crops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.conformance.tiny import tiny_task
from methods.lift import Lift
from methods.lift_plus import LiftPlus
from methods.parts.image.adapters import AdaptFormer, bottleneck_rule
from methods.parts.losses.single_label.ce import cross_entropy
from methods.parts.training.loop import Schedule, Stage, train


def logits_of(method: Lift | LiftPlus) -> torch.Tensor:
    task, test = tiny_task()
    predictor = method.fit(task)
    with torch.no_grad():
        return predictor.logits(test.batch(np.arange(len(test)), needs="images"))


def test_without_its_start_and_augmentation_it_is_lift():
    same: dict[str, Any] = {"epochs": 1, "lr": 0.03, "batch_size": 16, "augment": "none"}
    lora = {"adapter": "lora", "bottleneck": 3}
    assert torch.equal(logits_of(LiftPlus(**same, **lora)), logits_of(Lift(**same, **lora)))
    assert not torch.equal(logits_of(LiftPlus(**same)), logits_of(Lift(**same)))


@pytest.mark.numeric
def test_adapters_start_within_the_uniform_bound():
    down = AdaptFormer(64, 500, seed=1, start="kaiming_uniform").down.weight.detach()
    bound = 64**-0.5  # Kaiming's with a = sqrt(5)
    assert float(down.abs().max()) == pytest.approx(bound, rel=1e-3)
    assert float(down.abs().max()) <= bound
    assert float(down.std()) == pytest.approx(bound / 3**0.5, rel=0.01)
    normal = AdaptFormer(64, 500, seed=1).down.weight.detach()
    assert float(normal.abs().max()) > 2 * bound


@pytest.mark.parametrize(
    ("adapter", "classes", "size"),
    [("adaptformer", 100, 4), ("lora", 100, 2), ("vpt", 100, 8), ("lora", 40, 1)],
)
def test_the_rule_of_sizes(adapter, classes, size, monkeypatch):
    """For 12 blocks, as LIFT+'s code: K / 2L, K / 4L for lora, K / L prompts."""
    seen = []

    def stop(task, kind, bottleneck, prompts, start):
        seen.append((kind, bottleneck, prompts, start))
        raise KeyboardInterrupt

    monkeypatch.setattr("methods.lift_plus.adapted", stop)
    monkeypatch.setattr("methods.lift_plus.shape", lambda visual: (768, 12))
    monkeypatch.setattr(type(tiny_task()[0]), "num_classes", classes)
    for field in ({}, {"bottleneck": 7, "prompts": 5}):
        with pytest.raises(KeyboardInterrupt):
            LiftPlus(adapter=adapter, **field).fit(tiny_task()[0])
    assert seen == [
        (adapter, size, size, "kaiming_uniform"),
        (adapter, 7, 5, "kaiming_uniform"),
    ]
    assert bottleneck_rule(classes, 12) == {100: 4, 40: 1}[classes]


def test_crops_grow_over_the_epochs_of_a_stage(monkeypatch):
    task, _ = tiny_task()
    asked = []
    loader = type(task.train).loader

    def noted(self, parts, **how):
        asked.append(how["augment"])
        return loader(self, parts, **how)

    monkeypatch.setattr(type(task.train), "loader", noted)
    schedule = Schedule(3, 64, 0.01, augment="square_crop_convex")
    module = Lift(adapter="none", epochs=1, lr=0.0).fit(task).logits
    asked.clear()
    train(task, module, cross_entropy, schedule, "images", Stage(1, epochs_before=2))
    middle = 0.08 + 0.92 * (1 - 0.75**0.5)
    assert [squares.least for squares in asked] == pytest.approx([0.08, middle, 1.0])
