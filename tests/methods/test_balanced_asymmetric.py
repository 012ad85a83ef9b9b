"""LM-CLIP's balanced asymmetric loss: by hand, its dependence on the batch, its fixed divisor."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.conformance.tiny import tiny_task
from methods.base import Batch
from methods.coop import CoOp
from methods.linear_probe import LinearProbe
from methods.lmpt import Lmpt
from methods.parts.losses import named_loss
from methods.parts.losses.base import LossFunction, is_coupled
from methods.parts.losses.multi_label.bal import rarity_weights

pytestmark = [pytest.mark.numeric, pytest.mark.usefixtures("short_calibration")]

COUNTS = [60, 20, 4]
BATCH = Batch(torch.arange(5), None, None)
LABELS = torch.tensor([[1, 0, 0], [1, 1, 1], [0, 0, 0], [0, 1, 1], [1, 0, 1]])
WEIGHTS = [(4 / n) ** 1.35 for n in COUNTS]


def logits(highest: float) -> Tensor:
    """Logits of both signs, of which the largest is given."""
    drawn = np.random.default_rng(3).normal(size=(5, 3))
    return torch.from_numpy(drawn * highest / drawn.max())


def named(**settings: float) -> LossFunction:
    task, _ = tiny_task(kind="multi")
    task.counts = torch.tensor(COUNTS, dtype=torch.float64)
    return named_loss("bal", task, bal_power=1.35, **settings)


def by_hand(x: list[float], labels: list[int]) -> float:
    """Loss of a sample whose logits are divided already."""
    total = 0.0
    for value, y, weight in zip(x, labels, WEIGHTS, strict=True):
        p = 1 / (1 + math.exp(-value))
        q = min(1 - p + 0.05, 1.0)
        t = 0.9 * y + 0.1 / 3
        base = max(1 - p * t - q * (1 - y), 0.0)
        factor = base ** (9.8 * (1 - y))
        total -= factor * (t * (1 + weight) * math.log(p) + (1 - y) * math.log(q))
    return total


@pytest.mark.parametrize(("divisor", "by"), [(0.0, 7.0), (1.0, 1.0), (2.5, 2.5)])
def test_by_hand(divisor: float, by: float) -> None:
    """Without a divisor it is the largest logit of the batch, 7."""
    z = logits(7.0)
    losses = named(bal_divisor=divisor)(z, LABELS, BATCH)
    expected = [by_hand(x, y) for x, y in zip((z / by).tolist(), LABELS.tolist(), strict=True)]
    assert losses.tolist() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("divisor", [0.0, 2.5])
def test_gradients_flow_through_the_factors_and_the_largest_logit(divisor: float) -> None:
    loss, z = named(bal_divisor=divisor), logits(7.0).requires_grad_()
    torch.autograd.gradcheck(lambda x: loss(x, LABELS, BATCH), z)


def test_a_samples_loss_depends_on_its_batch_unless_the_divisor_is_fixed() -> None:
    z = logits(7.0)
    for divisor, coupled in ((0.0, True), (1.0, False)):
        loss = named(bal_divisor=divisor)
        assert is_coupled(loss) == coupled
        alone = torch.cat([loss(z[i : i + 1], LABELS[i : i + 1], BATCH) for i in range(5)])
        assert torch.allclose(alone, loss(z, LABELS, BATCH), atol=1e-9) != coupled


def test_negatives_far_below_the_boundary_cost_nothing() -> None:
    """Their factor would be a power of a negative number."""
    z = torch.full((5, 3), -60.0, dtype=torch.float64, requires_grad=True)
    losses = named(bal_divisor=1.0)(z, LABELS * 0, BATCH)
    losses.sum().backward()
    assert losses.tolist() == [0.0] * 5 and z.grad is not None and not z.grad.any()


@pytest.mark.parametrize("highest", [0.0, -1.0])
def test_a_largest_logit_that_is_not_positive_is_no_divisor(highest: float) -> None:
    z = highest - torch.rand(5, 3)
    z[0, 0] = highest
    assert bool(named()(z, LABELS, BATCH).isnan().all())
    assert bool(named(bal_divisor=1.0)(z, LABELS, BATCH).isfinite().all())


def test_the_rarest_class_weighs_1_and_classes_without_images_as_much() -> None:
    weights = rarity_weights(torch.tensor([60.0, 0.0, 20.0, 4.0]), 1.35)
    assert weights.tolist() == pytest.approx([WEIGHTS[0], 1.0, WEIGHTS[1], 1.0], rel=1e-6)


@pytest.mark.parametrize("cls", [LinearProbe, CoOp, Lmpt])
def test_methods_take_it_with_their_fields(cls: type) -> None:
    found = []
    for fields in ({}, {"bal_power": 0.0}, {"bal_divisor": 1.0}):
        task, test = tiny_task(kind="multi")
        predictor = cls(loss="bal", epochs=1, **fields).fit(task)
        with torch.no_grad():
            batch = test.batch(np.arange(len(test)), needs="features")
            found.append(predictor.logits(batch))
        assert bool(found[-1].isfinite().all())
    assert not torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])
