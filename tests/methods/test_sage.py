"""Sage's compensation on Gaussians whose truth is known, its attention, and its ablations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.tiny import tiny_task
from methods.lift import Lift
from methods.parts.adapters import TextAttention
from methods.parts.heads import SCALE
from methods.sage import Sage, compensation

UNCUT = 1e9


def gaussian(counts: list[int], spread: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Classes with means far apart and one diagonal covariance, `counts[c]` samples each."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    means = 10 * torch.randn(len(counts), len(spread), generator=generator)
    noise = torch.randn(len(labels), len(spread), generator=generator)
    return means[labels] + spread.sqrt() * noise, labels


def factors(counts: list[int], spread: Tensor, seed: int = 0, cut: float = UNCUT) -> Tensor:
    features, labels = gaussian(counts, spread, seed)
    return compensation(features, labels, torch.tensor(counts).float(), cut)


# ---- compensation -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "counts", [[2] * 40, [300, 30, 3, 1], [50, 1, 1, 1, 0]], ids=["pairs", "tail", "singles"]
)
def test_trace_is_estimated_without_bias(counts):
    spread = torch.tensor([0.5, 0.2, 0.1, 0.1, 0.1] * 4)  # trace 4
    traces = []
    for seed in range(60):
        log_w = factors(counts, spread, seed)
        traces.append(float(-log_w[0]) * 2 * counts[0] / SCALE)
    # A trace over N instead of N - C would come out half as large for pairs.
    error = np.std(traces, ddof=1) / 60**0.5
    assert np.mean(traces) == pytest.approx(4.0, abs=4 * error)
    assert error < 0.1


def test_factor_is_the_shortfall_of_the_plug_in_log_density():
    """Simulated: at a fresh sample, the density with estimated means is low by d_eff / 2n."""
    spread = torch.tensor([0.04, 0.02, 0.02])
    counts = [200, 10, 4, 1]
    log_w = factors(counts, spread)
    generator = torch.Generator().manual_seed(1)
    for n, factor in zip(counts, log_w.tolist(), strict=True):
        draws = spread.sqrt() * torch.randn(20_000, n, 3, generator=generator)
        fresh = spread.sqrt() * torch.randn(20_000, 3, generator=generator)
        estimated = -SCALE / 2 * (fresh - draws.mean(1)).square().sum(-1)
        known = -SCALE / 2 * fresh.square().sum(-1)
        assert factor == pytest.approx(float((estimated - known).mean()), rel=0.25)


def test_smaller_classes_are_lowered_more():
    log_w = factors([100, 20, 5, 2], torch.full((6,), 0.01))
    assert bool((log_w.diff() < 0).all()) and bool((log_w < 0).all())
    torch.testing.assert_close(log_w[0] * 100, log_w[3] * 2)  # inversely with the count


def test_cut_and_classes_of_one_or_no_image():
    spread = torch.full((6,), 0.1)
    cut = factors([100, 20, 5, 1, 0], spread, cut=1.0)
    free = factors([100, 20, 5, 1, 0], spread)
    assert torch.equal(cut, free.clamp(min=-1.0))
    assert cut[3] == cut[4] == -1.0 and cut[0] > -1.0
    assert free[3] == free[4]  # none is treated as one
    alone = factors([1, 1, 1], spread)
    assert torch.equal(alone, torch.zeros(3))  # no spread can be estimated, so nothing is claimed


def recall(sign: float, repeats: int = 40) -> tuple[float, float]:
    """Tail recall and balanced accuracy of plug-in Gaussians with 500 and 5 samples.

    A constant log w in the training softmax leaves the score that predicts at z - log w.
    """
    dim, counts = 20, [500, 5]
    spread = torch.full((dim,), 1 / SCALE)  # then -SCALE |x - w|^2 / 2 is the log-density
    means = torch.zeros(2, dim)
    means[1, 0] = 2.8 * SCALE**-0.5
    generator = torch.Generator().manual_seed(3)
    hits = torch.zeros(2)
    for _ in range(repeats):
        labels = torch.repeat_interleave(torch.arange(2), torch.tensor(counts))
        train = means[labels] + spread.sqrt() * torch.randn(505, dim, generator=generator)
        log_w = sign * compensation(train, labels, torch.tensor(counts).float(), 3.0)
        estimates = torch.stack([train[labels == c].mean(0) for c in range(2)])
        for c in range(2):
            test = means[c] + spread.sqrt() * torch.randn(1000, dim, generator=generator)
            score = -SCALE / 2 * torch.cdist(test, estimates).square() - log_w
            hits[c] += (score.argmax(1) == c).float().mean() / repeats
    return float(hits[1]), float(hits.mean())


def test_compensation_raises_tail_recall_and_the_opposite_sign_lowers_it():
    (tail, balanced), (tail_none, balanced_none) = recall(1.0), recall(0.0)
    tail_wrong, balanced_wrong = recall(-1.0)
    assert tail > tail_none + 0.05 > tail_wrong + 0.1
    assert balanced > balanced_none + 0.01 > balanced_wrong + 0.02


# ---- attention over texts -----------------------------------------------------------------------


def attention(width: int = 12, a: int = 16, seed: int = 0) -> tuple[TextAttention, Tensor]:
    texts = F.normalize(torch.randn(5, 10), dim=-1)
    return TextAttention(width, texts, a, seed), texts


def shaken(module: TextAttention) -> TextAttention:
    """The same with all parameters moved off their initial values."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn(parameter.shape))
    return module


def test_zero_at_initialisation_with_a_gradient_on_the_way_out():
    module, _ = attention()
    x = torch.randn(7, 12)
    out = module(x)
    assert torch.equal(out, torch.zeros(7, 12))
    (out * torch.randn(7, 12)).sum().backward()
    assert float(module.up.weight.grad.abs().max()) > 1e-3


def test_equals_a_plain_loop():
    module, texts = attention()
    shaken(module)
    x = torch.randn(7, 12)
    p = {name: value.detach().double().numpy() for name, value in module.named_parameters()}
    expected = np.zeros((7, 12))
    for i, token in enumerate(x.double().numpy()):
        normed = (token - token.mean()) / np.sqrt(token.var() + 1e-5)
        q = p["query.weight"] @ (normed * p["norm.weight"] + p["norm.bias"])
        scores, values = [], []
        for text in texts.double().numpy():
            scores.append(q @ (p["key.weight"] @ text) / 4)  # 4 = sqrt(16)
            values.append(p["value.weight"] @ text)
        weights = np.exp(scores) / np.exp(scores).sum()
        assert weights.max() > 0.3  # it does attend
        expected[i] = p["up.weight"] @ (weights @ np.array(values))
    np.testing.assert_allclose(module(x).detach().numpy(), expected, atol=1e-4)


def test_the_order_of_the_texts_does_not_matter():
    module, texts = attention()
    shaken(module)
    x = torch.randn(7, 12)
    before = module(x)
    module.texts = texts[[3, 1, 4, 0, 2]]
    torch.testing.assert_close(module(x), before, atol=1e-5, rtol=1e-5)
    module.texts = texts[[3, 1, 4, 0, 0]]  # but which texts they are does
    assert not torch.allclose(module(x), before, atol=1e-2)


def test_initial_values_are_the_seeds():
    first, texts = attention(seed=1)
    again, other = (TextAttention(12, texts, 16, seed) for seed in (1, 2))
    for name in ("query", "key", "value"):
        weight = getattr(first, name).weight
        assert torch.equal(weight, getattr(again, name).weight)
        assert not torch.equal(weight, getattr(other, name).weight)
    assert not torch.equal(first.key.weight, first.value.weight)


# ---- ablations ----------------------------------------------------------------------------------


def fitted(method) -> tuple[int, nn.Module, Tensor]:
    task, test = tiny_task()
    predictor = method.fit(task)
    with torch.no_grad():
        logits = predictor.logits(test.batch(np.arange(len(test)), needs="images"))
    return predictor.trainable_params, predictor.logits, logits


def test_with_everything_off_it_is_lift():
    lift, sage = Lift(epochs=2), Sage(epochs=2, guidance="none", compensation="none")
    (params, _, logits), (sage_params, _, sage_logits) = fitted(lift), fitted(sage)
    assert sage_params == params
    assert torch.equal(sage_logits, logits)


def test_guidance_adds_its_parameters_and_changes_the_logits():
    params, _, logits = fitted(Sage(epochs=2, guidance="none", compensation="none"))
    more, module, guided = fitted(Sage(epochs=2, compensation="none", attention_width=16))
    # In each of 2 blocks: norm 2 * 32, query 32 * 16, key and value 16 * 16 each, up 16 * 32.
    assert more == params + 2 * (64 + 512 + 2 * 256 + 512)
    assert not torch.equal(guided, logits)
    assert not any("texts" in name for name in module.state_dict())


def test_compensation_adds_no_parameters_and_changes_the_logits():
    params, _, logits = fitted(Sage(epochs=2, guidance="none", compensation="none"))
    same, _, compensated = fitted(Sage(epochs=2, guidance="none"))
    assert same == params
    assert not torch.equal(compensated, logits)
    # Cut at zero, it is off.
    _, _, off = fitted(Sage(epochs=2, guidance="none", max_nats=0.0))
    assert torch.equal(off, logits)
