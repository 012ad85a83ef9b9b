"""The fitted scale and biases of sigmoids, against another minimiser of the same loss."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from benchmarks.conformance.tiny import tiny_task
from methods.base import Task
from methods.parts.heads.calibration import SCALES, Calibration, fitted
from methods.parts.losses import named_loss
from methods.parts.losses.base import LossFunction

LOSSES = ("bce", "focal", "asl", "db")


def scene(noise: float = 2.0) -> tuple[Task, torch.Tensor]:
    """A multi-label task and (64, 4) centred logits that correlate with its labels."""
    task, _ = tiny_task(kind="multi")
    z = 4.0 * task.train.labels + noise * torch.randn(64, 4)
    return task, z - z.mean(0)


class Labelled:
    """Training samples of which only the labels are used."""

    def __init__(self, labels: torch.Tensor) -> None:
        self.labels = labels

    def __len__(self) -> int:
        return len(self.labels)


def relabelled(task: Task, labels: torch.Tensor) -> Task:
    return dataclasses.replace(task, counts=labels.sum(0).float(), train=Labelled(labels))


def loss_of(name: str, task: Task) -> LossFunction:
    # The fit follows the gradient, which is that of the loss where asl's factors are not detached.
    return named_loss(name, task, db_neg_scale=2.0, db_mu=0.2, asl_detach=False)


@pytest.mark.parametrize("name", LOSSES)
def test_the_fit_has_the_least_loss(name):
    task, z = scene()
    loss = loss_of(name, task)

    def total(x: np.ndarray) -> float:
        logits = math.exp(x[0]) * z.double() + torch.from_numpy(x[1:])
        return float(loss(logits, task.train.labels, None).mean())

    scale, bias = fitted(task, loss, z)
    ours = total(np.array([math.log(scale), *bias.double().tolist()]))
    start = np.array([math.log(0.3), *([-1.0] * 4)])
    bounds = [tuple(math.log(s) for s in SCALES), *[(None, None)] * 4]
    best = minimize(total, start, method="L-BFGS-B", bounds=bounds).fun
    assert ours == pytest.approx(best, rel=2e-3)
    assert ours < 0.9 * total(start)


def test_losses_that_down_weight_negatives_start_above_the_frequency_of_a_rare_class():
    """At the frequency itself, its negatives would have hardly any weight."""
    task, z = scene(noise=8.0)
    rare = int(task.counts.argmin())
    bias = {name: float(fitted(task, loss_of(name, task), z)[1][rare]) for name in LOSSES}
    assert all(bias[name] > bias["bce"] + 0.5 for name in ("focal", "asl", "db"))


def test_the_order_of_the_classes_does_not_matter():
    task, z = scene()
    order = [2, 0, 3, 1]
    moved = relabelled(task, task.train.labels[:, order])
    one = fitted(task, loss_of("db", task), z)
    two = fitted(moved, loss_of("db", moved), z[:, order])
    assert two[0] == pytest.approx(one[0], rel=1e-6)
    torch.testing.assert_close(two[1], one[1][order], atol=1e-5, rtol=0)


def test_the_scale_stays_in_its_bounds():
    task, z = scene()
    loss = loss_of("bce", task)
    apart = 2.0 * task.train.labels - 1  # the more positive labels, the better
    assert fitted(task, loss, apart)[0] == pytest.approx(SCALES[1])
    assert fitted(task, loss, -z)[0] == pytest.approx(SCALES[0])


def test_logits_begin_at_the_fit_and_scale_and_biases_are_learned():
    task, z = scene()
    loss = loss_of("bce", task)
    z = z + torch.tensor([5.0, 0.0, -3.0, 100.0])
    scale, bias = fitted(task, loss, z - z.mean(0))
    calibration = Calibration(task, loss, z)
    torch.testing.assert_close(calibration(z), scale * (z - z.mean(0)) + bias, atol=1e-4, rtol=1e-5)
    calibration(z).square().sum().backward()
    assert all(bool((p.grad != 0).all()) for p in calibration.parameters())


def test_a_class_in_no_image_and_one_in_every_image_are_allowed():
    task, z = scene()
    for value in (0, 1):
        labels = task.train.labels.clone()
        labels[:, 1] = value
        bent = relabelled(task, labels)
        for name in LOSSES:
            scale, bias = fitted(bent, loss_of(name, bent), z)
            assert math.isfinite(scale) and bool(bias.isfinite().all())
