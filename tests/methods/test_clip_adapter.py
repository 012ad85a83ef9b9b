"""CLIP-Adapter against a loop in NumPy, and its limits."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks.conformance.tiny import tiny_task
from methods.clip_adapter import AdaptedFeatures, ClipAdapter
from methods.zero_shot import ZeroShot
from tests.methods.double import precise_task

pytestmark = pytest.mark.numeric


def module(ratio: float = 0.2, reduction: int = 4) -> AdaptedFeatures:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(3, 16, generator=generator)
    return AdaptedFeatures(weight, ratio=ratio, reduction=reduction, generator=generator)


def test_the_adapted_feature_equals_a_plain_computation():
    adapter = module()
    x = torch.randn(5, 16)
    down, up = (layer.detach().numpy() for layer in (adapter.down, adapter.up))
    for row, ours in zip(x.numpy(), adapter.adapted(x).detach().numpy(), strict=True):
        hidden = [max(0.0, float(np.dot(w, row))) for w in down]
        new = [max(0.0, float(np.dot(w, hidden))) for w in up]
        blended = np.array([0.2 * n + 0.8 * r for n, r in zip(new, row, strict=True)])
        np.testing.assert_allclose(ours, blended / np.sqrt((blended**2).sum()), atol=1e-6)


def test_the_length_of_the_feature_does_not_matter():
    """The authors' code adapts features before it normalises them: the cosines are the same."""
    adapter, x = module(), torch.randn(5, 16)
    torch.testing.assert_close(adapter.adapted(x), adapter.adapted(7.3 * x), atol=1e-6, rtol=0)


@pytest.mark.parametrize(("reduction", "width"), [(4, 4), (1, 16), (100, 1)])
def test_the_width_of_the_bottleneck(reduction, width):
    adapter = module(reduction=reduction)
    assert adapter.down.shape == (width, 16) and adapter.up.shape == (16, width)


def test_ratio_zero_is_zero_shot(double):
    task, test = precise_task()
    batch = test.batch(np.arange(16), needs="features")
    for ensemble in (False, True):
        ours = ClipAdapter(ratio=0.0, ensemble=ensemble, epochs=1).fit(task).logits(batch)
        zero_shot = ZeroShot(ensemble=ensemble).fit(task).logits(batch)
        torch.testing.assert_close(ours, zero_shot, atol=1e-9, rtol=0)


def test_both_layers_get_a_gradient_but_not_the_text_classifier():
    adapter = module()
    adapter.adapted(torch.randn(8, 16)).sum().backward()
    for layer in (adapter.down, adapter.up):
        assert float(layer.grad.abs().max()) > 0
    assert [name for name, _ in adapter.named_parameters()] == ["down", "up"]


def test_training_lowers_the_loss():
    task, _ = tiny_task()
    everything = task.train.batch(np.arange(64), needs="features")
    losses = []
    for lr in (0.0, 0.05):
        predictor = ClipAdapter(lr=lr, epochs=10, batch_size=16).fit(task)
        assert predictor.trainable_params == 2 * 16 * 4
        with torch.no_grad():
            logits = predictor.logits(everything)
        losses.append(float(torch.nn.functional.cross_entropy(logits, task.train.labels)))
    assert losses[1] < 0.9 * losses[0]
