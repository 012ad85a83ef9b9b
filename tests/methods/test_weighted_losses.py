"""Class-balanced loss by its authors' division, and LDAM without re-weighting, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.conformance.tiny import tiny_task
from benchmarks.errors import NotApplicable
from methods.base import Batch
from methods.linear_probe import LinearProbe
from methods.parts.losses import named_loss
from methods.parts.losses.base import LossFunction, is_coupled

pytestmark = pytest.mark.numeric

COUNTS = [500, 50, 5, 0]
BATCH = Batch(torch.arange(4), None, None)
LABELS = torch.tensor([2, 2, 0, 1])


def logits() -> Tensor:
    drawn = np.random.default_rng(4).normal(scale=2.0, size=(4, 4))
    return torch.from_numpy(drawn)


def named(name: str, **settings: float | str) -> LossFunction:
    task, _ = tiny_task()
    task.counts = torch.tensor(COUNTS, dtype=torch.float64)
    return named_loss(name, task, **settings)


def nats(z: list[float], label: int) -> float:
    return math.log(sum(math.exp(v - z[label]) for v in z))


def test_the_authors_class_balanced_loss_divides_a_batch_by_its_images():
    """Mean weight 1 over the classes that have images, then the mean over the batch."""
    numbers = [(1 - 0.9999) / (1 - 0.9999**n) for n in COUNTS[:3]]
    weights = [3 * w / sum(numbers) for w in numbers]
    losses = named("cb", cb_reduction="batch")(logits(), LABELS, BATCH)
    for z, y, loss in zip(logits().tolist(), LABELS.tolist(), losses.tolist(), strict=True):
        assert loss == pytest.approx(weights[y] * nats(z, y), rel=1e-9)
    ours = named("cb", cb_reduction="weights")(logits(), LABELS, BATCH)
    mean = sum(weights[y] for y in LABELS.tolist()) / 4
    torch.testing.assert_close(losses, ours * mean)
    assert torch.equal(ours, named("cb")(logits(), LABELS, BATCH))


def test_only_a_division_by_the_batchs_weights_couples_its_samples():
    assert is_coupled(named("cb")) and not is_coupled(named("cb", cb_reduction="batch"))
    assert is_coupled(named("ldam_drw", scale=25.0)) and not is_coupled(named("ldam", scale=25.0))


def test_ldam_subtracts_the_margin_of_the_true_class_and_weights_nothing():
    loss = named("ldam", scale=30.0)
    loss.at_epoch(199, 200)  # type: ignore[attr-defined]
    margins = [30 * 0.5 * (5 / n) ** 0.25 for n in COUNTS[:3]]
    found = loss(logits(), LABELS, BATCH)
    for z, y, value in zip(logits().tolist(), LABELS.tolist(), found.tolist(), strict=True):
        z[y] -= margins[y]
        assert value == pytest.approx(nats(z, y), rel=1e-9)


def test_a_probe_hands_over_its_fields():
    """A learning rate so small that the first gradient alone counts."""
    heads = {}
    for key, fields in {
        "cb": {"loss": "cb"},
        "cb by images": {"loss": "cb", "cb_reduction": "batch"},
        "ldam": {"loss": "ldam"},
    }.items():
        task, _ = tiny_task()
        predictor = LinearProbe(epochs=1, batch_size=64, lr=1e-2, weight_decay=0.0, **fields).fit(
            task
        )
        with torch.no_grad():
            batch = task.train.batch(np.arange(64), needs="features")
            heads[key] = predictor.logits(batch)
    assert not torch.equal(heads["cb"], heads["cb by images"])
    assert not torch.equal(heads["cb"], heads["ldam"])
    with pytest.raises(NotApplicable, match="ldam's margins are cosines"):
        LinearProbe(loss="ldam", head="linear").fit(tiny_task()[0])
