"""TaskRes, ZS-LP and CLAP: their training written out in double precision."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.conformance.tiny import permuted, tiny_data, tiny_task
from benchmarks.datasets.base import Split
from methods.base import Task
from methods.clap import Clap, zero_shot_confidence
from methods.parts.heads.text_residual import TextResidual, raw_text_features
from methods.taskres import TaskRes

pytestmark = pytest.mark.numeric

EPOCHS, BATCH = 3, 24


def as_the_tower_gives_them(task: Task) -> Tensor:
    """(C, D) features of the first template, not normalised, by open_clip's own forward pass."""
    prompts = [task.texts.templates[0].format(name) for name in task.texts.class_names]
    tokens = task.backbone.tokenizer(prompts)
    with torch.no_grad():
        return task.backbone.model.encode_text(tokens).double()


def trained(task: Task, rule: str, lr: float, decay: float, alpha: float, trust: Tensor) -> Tensor:
    """(C, D) classifier t + alpha r after training by `rule`, sgd or adam."""
    texts, x = as_the_tower_gives_them(task), task.train.features().double()
    residual = torch.zeros_like(texts)
    first, second, steps = torch.zeros_like(texts), torch.zeros_like(texts), 0
    for epoch in range(EPOCHS):
        rate = lr * (1 + math.cos(math.pi * epoch / EPOCHS)) / 2
        for part in np.split(task.epoch_order(epoch), range(BATCH, len(x), BATCH)):
            residual.requires_grad_()
            weight = texts + alpha * residual
            cosines = x[part] @ (weight / weight.norm(dim=1, keepdim=True)).T
            log_p = (task.backbone.logit_scale * cosines).log_softmax(1)
            loss = -log_p[torch.arange(len(part)), task.train.labels[part]].mean()
            loss = loss + sum(trust[c] * (residual[c] ** 2).sum() for c in range(4)) / 4
            (slope,) = torch.autograd.grad(loss, residual)
            residual, steps = residual.detach(), steps + 1
            slope = slope + decay * residual
            if rule == "sgd":
                first = 0.9 * first + slope
                residual = residual - rate * first
            else:
                first, second = 0.9 * first + 0.1 * slope, 0.999 * second + 0.001 * slope**2
                root = (second / (1 - 0.999**steps)).sqrt() + 1e-8
                residual = residual - rate * first / (1 - 0.9**steps) / root
    return texts + alpha * residual


def assert_predicts(method, task: Task, test, weight: Tensor) -> None:
    """The method's test logits are the scaled cosines with these weights, which have moved."""
    batch = test.batch(np.arange(len(test)), needs="features")
    ours = method.fit(task).logits(batch).detach().double()
    unit = torch.nn.functional.normalize(weight, dim=1)
    x = batch.inputs.double()
    torch.testing.assert_close(ours, task.backbone.logit_scale * x @ unit.T, atol=1e-4, rtol=0)
    start = x @ torch.nn.functional.normalize(as_the_tower_gives_them(task), dim=1).T
    assert float((ours - task.backbone.logit_scale * start).abs().max()) > 0.05


@pytest.mark.parametrize("alpha", [0.5, 1.0])
def test_taskres_adds_residuals_that_adam_trains_with_a_decay_in_the_gradient(alpha):
    task, test = tiny_task(seed=1)
    weight = trained(task, "adam", 0.05, 0.01, alpha, torch.zeros(4))
    method = TaskRes(alpha=alpha, lr=0.05, weight_decay=0.01, epochs=EPOCHS, batch_size=BATCH)
    assert_predicts(method, task, test, weight)


@pytest.mark.parametrize("constraint", ["class", "none"])
def test_clap_pulls_each_class_to_its_text_and_zs_lp_does_not(constraint):
    task, test = tiny_task(seed=1)
    texts = as_the_tower_gives_them(task)
    cosines = task.train.features().double() @ (texts / texts.norm(dim=1, keepdim=True)).T
    p = (task.backbone.logit_scale * cosines).softmax(1)
    labels = task.train.labels
    trust = torch.stack([p[labels == c, c].mean() for c in range(4)])
    weight = trained(task, "sgd", 2.0, 0.0, 1.0, trust if constraint == "class" else 0 * trust)
    method = Clap(constraint=constraint, lr=2.0, epochs=EPOCHS, batch_size=BATCH)
    assert_predicts(method, task, test, weight)


def test_a_class_without_images_has_the_mean_confidence_of_the_others():
    data = tiny_data()
    keep = np.flatnonzero(data.train.labels != 2)
    train = Split(
        data.train.images.subset(keep),
        data.train.labels[keep],
        tuple(data.train.ids[i] for i in keep),
    )
    task, _ = tiny_task(data=dataclasses.replace(data, train=train))
    texts = raw_text_features(task, "names", ensemble=False)
    found = zero_shot_confidence(task, TextResidual(texts, scale=task.backbone.logit_scale))
    others = found[[0, 1, 3]]
    assert len(set(others.tolist())) == 3
    assert float(found[2]) == pytest.approx(float(others.mean()))


def test_text_features_keep_the_directions_of_the_ensemble_and_the_first_template_s_length():
    order = [2, 0, 3, 1]
    for data in (tiny_data(), permuted(tiny_data(), order)):
        task, _ = tiny_task(data=data)
        task = dataclasses.replace(
            task, texts=dataclasses.replace(task.texts, templates=("a {}.", "some {} here"))
        )
        found = raw_text_features(task, "names", ensemble=True)
        lengths = as_the_tower_gives_them(task).norm(dim=1).float()
        assert float((lengths - 1).abs().min()) > 0.5
        torch.testing.assert_close(found, task.text_features() * lengths[:, None])
