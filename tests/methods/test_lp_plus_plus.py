"""LP++: its steps, its starts and its blending written out with autograd in double precision."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score

from benchmarks.conformance.tiny import tiny_task
from methods import lp_plus_plus
from methods.lp_plus_plus import LPPlusPlus

pytestmark = pytest.mark.numeric


def described(task, x, epochs: int, init: str = "sum") -> list[torch.Tensor]:
    """Logits (n, C) for features x (n, D) after each step, by the docstring's rules."""
    images, labels = task.train.features().double(), task.train.labels
    texts, classes = task.text_features().double(), range(task.num_classes)
    own = [images[labels == c] for c in classes]
    n = len(images)
    weight = torch.stack([rows.sum(0) for rows in own])
    if init == "mean":
        weight = torch.stack([rows.mean(0) * n / len(own) for rows in own])
    alpha = torch.full((len(own),), 0.0).double()
    alpha += 250 * np.mean([float((own[c] @ texts[c]).mean()) for c in classes])
    largest = max(np.linalg.eigvalsh((images.T @ images).numpy()))
    similar = max(float((images @ texts[c]).square().sum()) for c in classes)
    parameters = [weight, torch.zeros(len(own)).double(), alpha]
    for parameter in parameters:
        parameter.requires_grad_()
    optimiser = torch.optim.SGD(parameters[:2], lr=4 * n / largest, momentum=0.9)
    found = []

    def logits(rows):
        return rows @ parameters[0].T + parameters[1] + parameters[2] * (rows @ texts.T)

    for step in range(epochs):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(logits(images), labels).backward()  # alpha's add up
        optimiser.step()
        if step % 10 == 9:
            alpha.data -= n / (4 * similar) * alpha.grad
        found.append(logits(x).detach())
    return found


@pytest.mark.parametrize("init", ["sum", "mean"])
def test_logits_follow_the_rules(init, monkeypatch):
    monkeypatch.setattr(lp_plus_plus, "AT_ONCE", 25)  # three parts of the 64 images
    task, test = tiny_task()
    x = test.features()
    ours = (
        LPPlusPlus(epochs=25, init=init)
        .fit(task)
        .logits(test.batch(np.arange(16), needs="features"))
    )
    every = described(task, x.double(), 25, init)
    assert float((every[24] - every[8]).abs().max()) > 1
    torch.testing.assert_close(ours.double(), every[24], atol=1e-2, rtol=0)


def test_with_validation_images_the_last_of_the_best_steps_is_kept():
    task, _ = tiny_task(validation=True)
    x, labels = task.validation.features(), task.validation.labels.numpy()
    every = described(task, x.double(), 40)
    scores = [balanced_accuracy_score(labels, logits.argmax(1)) for logits in every]
    batch = task.validation.batch(np.arange(len(labels)), needs="features")
    ours = LPPlusPlus(epochs=40).fit(task).logits(batch)
    curve = dict(task.curves["validation"])
    # Rounding decides on an image whose two best logits are nearly equal: 1.25 % of a score.
    assert curve == pytest.approx(dict(enumerate(scores, 1)), abs=0.03)
    best = max(epoch for epoch, score in curve.items() if score == max(curve.values()))
    assert 1 < best < 40 and len(set(curve.values())) > 2
    torch.testing.assert_close(ours.double(), every[best - 1], atol=1e-2, rtol=0)
