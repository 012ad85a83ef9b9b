"""tau-normalisation against the weights by hand, and its search on validation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score
from torch import Tensor

from benchmarks.conformance.tiny import permuted, tiny_data, tiny_task
from methods.linear_probe import LinearProbe
from methods.parts.heads.linear_classifiers import LinearHead
from methods.tau_norm import TauNorm, TauNormalised, best_tau

SHORT = {"lr": 0.1, "epochs": 3, "batch_size": 16}


def predicted(method, task, samples) -> Tensor:
    predictor = method.fit(task)
    with torch.no_grad():
        return predictor.logits(samples.batch(np.arange(len(samples)), needs="features"))


@pytest.mark.parametrize("tau", [0.0, 0.4, 1.0])
def test_weights_are_divided_by_a_power_of_their_length_and_the_bias_is_dropped(tau):
    task, test = tiny_task()
    head = LinearProbe(head="linear", **SHORT).fit(task).logits.head
    logits = predicted(TauNorm(tau=tau, **SHORT), task, test)
    weight, x = head.weight.detach().double().numpy(), test.features().double().numpy()
    assert float(head.bias.detach().abs().max()) > 1e-3
    for c in range(4):
        scaled = weight[c] / np.sqrt((weight[c] ** 2).sum()) ** tau
        np.testing.assert_allclose(logits[:, c], x @ scaled * x.shape[1] ** 0.5, atol=1e-5)


def heads_and_task():
    """A head with short weights for rare classes, and a task with validation images."""
    task, _ = tiny_task(validation=True)
    features, labels = task.validation.features(), task.validation.labels
    means = torch.stack([features[labels == c].mean(0) for c in range(4)])
    means = torch.nn.functional.normalize(means - features.mean(0), dim=1)
    return LinearHead(means * torch.tensor([8.0, 4.0, 2.0, 1.0])[:, None]), task


def test_the_search_returns_the_smallest_of_the_best():
    head, task = heads_and_task()
    x, labels = task.validation.features().numpy(), task.validation.labels.numpy()
    lengths = head.weight.detach().norm(dim=1, keepdim=True)
    scores = []
    for step in range(21):
        logits = x @ (head.weight.detach() / lengths ** (step / 20)).numpy().T
        scores.append(balanced_accuracy_score(labels, logits.argmax(1)))
    assert max(scores) > scores[0] and max(scores) > scores[-1] - 1e-9
    assert best_tau(task, head) == int(np.argmax(scores)) / 20
    alike = LinearHead(head.weight.detach() / lengths)  # every tau has the same score
    assert best_tau(task, alike) == 0


def test_tau_is_searched_with_validation_images_and_noted_in_the_record():
    task, test = tiny_task(validation=True)
    predictor = TauNorm(tau=0.123, **SHORT).fit(task)
    assert task.notes == ["tau chosen on validation images"]
    (remark,) = task.details
    tau = float(remark.removeprefix("tau = "))
    head = LinearProbe(head="linear", **SHORT).fit(task).logits.head  # both from the best epoch
    assert tau == best_tau(task, head)
    with torch.no_grad():
        batch = test.batch(np.arange(len(test)), needs="features")
        torch.testing.assert_close(
            predictor.logits(batch), TauNormalised(head, tau)(batch.inputs), atol=1e-5, rtol=0
        )
    plain, _ = tiny_task()
    TauNorm(tau=0.123, **SHORT).fit(plain)
    assert plain.notes == plain.details == []


def test_a_class_of_weight_zero_stays_finite():
    weight = torch.eye(3, 5)
    weight[1] = 0
    logits = TauNormalised(LinearHead(weight), 1.0)(torch.ones(2, 5))
    assert bool(logits.isfinite().all())


def test_permuting_the_classes_permutes_the_logits():
    order = [2, 0, 3, 1]
    method = TauNorm(tau=0.7, **SHORT)
    logits = predicted(method, *tiny_task())
    moved = predicted(method, *tiny_task(data=permuted(tiny_data(), order)))
    torch.testing.assert_close(moved, logits[:, order], atol=1e-4, rtol=0)
