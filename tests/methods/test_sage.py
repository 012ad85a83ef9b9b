"""Sage's compensation on known Gaussians, its attention, and its ablations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks import backbones
from benchmarks.conformance.tiny import tiny_backbone, tiny_task
from benchmarks.datasets.families.glyphs import Glyphs
from methods.lift import Lift
from methods.parts.heads.linear_classifiers import SCALE
from methods.parts.image.adapters import Slots
from methods.parts.image.guidance import (
    CrossAttention,
    KeyValueAttention,
    TextAttention,
    foreign_texts,
    guides,
    lookalikes,
    pooled,
)
from methods.parts.image.vit import AdaptedViT, vit
from methods.sage import CompensatedLoss, Sage, shortfall

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
    return -shortfall(features, labels, torch.tensor(counts).float(), cut)


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
    """Simulated: at a fresh sample the log-density with estimated means is d_eff / 2n too low."""
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
    assert free[3] == free[4]  # no image is treated as one
    alone = factors([1, 1, 1], spread)
    assert torch.equal(
        alone, torch.zeros(3)
    )  # no variance can be estimated, so there is no compensation


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
        log_w = -sign * shortfall(train, labels, torch.tensor(counts).float(), 3.0)
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


# ---- the loss -----------------------------------------------------------------------------------


def losses(kind: str, logits: Tensor, labels: Tensor) -> Tensor:
    log_prior, nats = torch.tensor([-0.1, -1.0, -3.0]), torch.tensor([0.01, 0.2, 1.5])
    return CompensatedLoss(log_prior, nats, kind)(logits, labels, None)


def test_each_kind_is_its_formula():
    logits, labels = torch.randn(6, 3), torch.tensor([0, 1, 2, 2, 1, 0])
    log_prior, nats = np.array([-0.1, -1.0, -3.0]), np.array([0.01, 0.2, 1.5])
    for i, y in enumerate(labels.tolist()):
        z = logits[i].double().numpy() + log_prior
        own = np.eye(3)[y]
        for kind, adjusted in {
            "none": z, "class": z - nats, "margin": z - own * 2 * nats
        }.items():  # fmt: skip
            expected = np.log(np.exp(adjusted).sum()) - adjusted[y]
            assert losses(kind, logits, labels)[i] == pytest.approx(expected, abs=1e-5)


def test_the_margin_pulls_harder_on_the_tail():
    logits = torch.zeros(2, 3, requires_grad=True)
    labels = torch.tensor([0, 2])

    def pull(kind: str) -> list[float]:
        (gradient,) = torch.autograd.grad(losses(kind, logits, labels).sum(), logits)
        return [-float(gradient[i, y]) for i, y in enumerate(labels)]

    plain, margin = pull("none"), pull("margin")
    assert margin[1] > plain[1] + 0.01
    assert margin[0] == pytest.approx(plain[0], abs=0.01)


# ---- attention over texts -----------------------------------------------------------------------


def attention(a: int = 16, texts: int = 5) -> tuple[TextAttention, Tensor]:
    """Over texts of the tiny backbone's joint space (16 wide; tokens are 32 wide)."""
    features = F.normalize(torch.randn(texts, 16) + 3.0, dim=-1)
    return TextAttention(vit(tiny_backbone()), features, a), features


def shaken(module: nn.Module) -> nn.Module:
    """The same with all parameters moved away from their initial values."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    return module


def test_equals_a_plain_loop():
    module, texts = attention()
    shaken(module)
    x = torch.randn(7, 32)
    p = {name: value.detach().double().numpy() for name, value in module.named_parameters()}
    centred = texts.double().numpy() - texts.double().numpy().mean(0)
    centred /= np.sqrt((centred**2).mean())
    expected = np.zeros((7, 16))
    for i, token in enumerate(x.double().numpy()):
        q = p["query.weight"] @ token
        scores, values = [], []
        for text in centred:
            k = p["key.weight"] @ text
            cosine = q @ k / np.linalg.norm(q) / np.linalg.norm(k)
            scores.append(np.exp(p["log_temperature"]) * cosine)
            values.append(p["value.weight"] @ text)
        weights = np.exp(scores) / np.exp(scores).sum()
        assert weights.max() > 0.3  # the attention is not trivial
        expected[i] = weights @ np.array(values)
    np.testing.assert_allclose(module(x).detach().numpy(), expected, atol=1e-4)


def test_the_order_of_the_texts_does_not_matter_but_the_texts_do():
    torch.manual_seed(0)
    first, texts = attention()
    x = torch.randn(7, 32)
    turned = TextAttention(vit(tiny_backbone()), texts[[3, 1, 4, 0, 2]], 16)
    torch.testing.assert_close(turned(x), first(x), atol=1e-4, rtol=0)
    other = TextAttention(vit(tiny_backbone()), texts[[3, 1, 4, 0, 0]], 16)
    assert not torch.allclose(other(x), first(x), atol=1e-2)


def test_tokens_first_attend_to_the_texts_that_the_joint_space_puts_near_them():
    module, texts = attention()
    x = torch.randn(50, 32)
    joint = x @ tiny_backbone().model.visual.proj  # (50, 16)
    centred = texts - texts.mean(0)
    # Within the span of the centred texts, which contains all differences between them.
    axes = torch.linalg.svd(centred, full_matrices=False)[2][:4]
    cosines = F.normalize(joint @ axes.T, dim=-1) @ F.normalize(centred @ axes.T, dim=-1).T
    assert torch.equal(module.weights(x).argmax(1), cosines.argmax(1))


def test_attention_is_not_uniform_although_the_texts_are_nearly_parallel():
    module, texts = attention(texts=20)
    assert float((texts @ texts.T).min()) > 0.8
    weights = module.weights(torch.randn(50, 32)).detach()
    entropy = -(weights * weights.log()).sum(1).mean() / np.log(20)
    assert float(entropy) < 0.8
    assert float(module(torch.randn(50, 32)).detach().std(0).mean()) > 0.1  # not a constant vector


def slots(kind: str) -> list[Slots]:
    visual, texts = vit(tiny_backbone()), attention()[1]
    if kind == "cross":
        return [Slots(mlp=CrossAttention(visual, texts, 16)) for _ in range(2)]
    return [Slots(attention=KeyValueAttention(visual, texts, 16, seed)) for seed in range(2)]


@pytest.mark.parametrize("kind", ["cross", "kv"])
def test_neutral_at_the_start_with_a_gradient_where_it_opens(kind):
    images = torch.randn(3, 3, 32, 32)
    guided = AdaptedViT(vit(tiny_backbone()), slots(kind))
    out = guided(images)
    assert torch.equal(out, AdaptedViT(vit(tiny_backbone()))(images))
    (out * torch.randn(out.shape)).sum().backward()
    for block in guided.slots:
        opening = block.mlp.up.weight if kind == "cross" else block.attention.gate
        assert float(opening.grad.abs().max()) > 1e-4


def test_the_initial_output_projection_depends_on_the_seed():
    visual, texts = vit(tiny_backbone()), attention()[1]
    one, again, two = (KeyValueAttention(visual, texts, 16, seed).out.weight for seed in (1, 1, 2))
    assert torch.equal(one, again) and not torch.equal(one, two)


# ---- the guiding texts --------------------------------------------------------------------------


def test_random_guides_have_the_moments_of_the_texts():
    features = torch.randn(4000, 6) @ torch.randn(6, 6) * 0.1 + torch.randn(6)
    drawn = lookalikes(features, torch.randn(4000, 6))
    norm = features.norm(dim=-1).mean()
    torch.testing.assert_close(drawn.norm(dim=-1), norm.expand(4000))
    unit, own = F.normalize(drawn, dim=-1), F.normalize(features, dim=-1)
    torch.testing.assert_close(unit.mean(0), own.mean(0), atol=0.02, rtol=0)
    torch.testing.assert_close(unit.T.cov(), own.T.cov(), atol=0.01, rtol=0.1)
    assert float((unit * own).sum(-1).max()) < 1 - 1e-6  # but no guide equals a text


@pytest.mark.numeric
def test_random_guides_do_not_depend_on_the_order_of_the_classes(double):
    features, noise = torch.randn(20, 16), torch.randn(20, 16)
    order = torch.randperm(20)
    mixed = lookalikes(features[order], noise[order])
    torch.testing.assert_close(mixed, lookalikes(features, noise)[order], atol=1e-12, rtol=0)


def test_foreign_texts_describe_no_class():
    task, _ = tiny_task()
    texts = foreign_texts(task)
    assert len(set(texts)) == len(texts) == 4

    def words(text: str) -> set[str]:
        plain = text.replace("stripes", "striped").replace("dots", "dotted")
        plain = plain.replace("checks", "checkered").replace("an empty inside", "hollow")
        plain = plain.replace("no pattern", "plain")
        return set(plain.split()) - {"a", "an", "in", "with", "that", "is", "and"}

    own = [words(text) for text in task.texts.descriptions]
    assert all(len(words(text)) == 3 and words(text) not in own for text in texts)


def test_sources_differ_and_the_number_of_guides_is_limited():
    task, _ = tiny_task()
    own, random, foreign = (
        guides(task, "descriptions", source, 512) for source in ("own", "random", "foreign")
    )
    assert torch.equal(own, task.text_features("descriptions", ensemble=False))
    assert own.shape == random.shape == foreign.shape
    assert not torch.allclose(own, random, atol=0.01)
    assert not torch.allclose(own, foreign, atol=0.01)
    assert len(guides(task, "descriptions", "own", 3)) == 3


def test_pooling_finds_clusters_and_does_not_change_few_texts():
    centres = F.normalize(torch.randn(5, 16), dim=-1)
    members = F.normalize(centres.repeat(8, 1) + 0.02 * torch.randn(40, 16), dim=-1)
    found = pooled(members, 5)
    assert torch.equal((found @ centres.T).max(0).values > 0.99, torch.ones(5, dtype=torch.bool))
    shuffled = pooled(members[torch.randperm(40)], 5)
    torch.testing.assert_close(
        (shuffled @ centres.T).max(0).values, (found @ centres.T).max(0).values
    )
    assert torch.equal(pooled(members, 40), members)


# ---- ablations ----------------------------------------------------------------------------------


def fitted(method) -> tuple[int, nn.Module, Tensor]:
    task, test = tiny_task()
    predictor = method.fit(task)
    with torch.no_grad():
        logits = predictor.logits(test.batch(np.arange(len(test)), needs="images"))
    return predictor.trainable_params, predictor.logits, logits


def test_with_everything_off_it_is_lift():
    lift = Lift(epochs=2, text="both")
    sage = Sage(epochs=2, guidance="none", compensation="none")
    (params, _, logits), (sage_params, _, sage_logits) = fitted(lift), fitted(sage)
    assert sage_params == params
    torch.testing.assert_close(sage_logits, logits, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("guidance", "each"),
    [
        # norm 2 · 32, query 32 · 16, key and value 16 · 16 each, temperature 1, up 16 · 32
        ("cross", 64 + 512 + 2 * 256 + 1 + 512),
        # the same without the norm, with a gate
        ("kv", 512 + 2 * 256 + 1 + 512 + 1),
    ],
)
def test_guidance_adds_its_parameters_and_changes_the_logits(guidance, each):
    params, _, logits = fitted(Sage(epochs=2, guidance="none", compensation="none"))
    more, module, guided = fitted(
        Sage(epochs=2, guidance=guidance, compensation="none", attention_width=16)
    )
    assert more == params + 2 * each  # 2 blocks
    assert not torch.equal(guided, logits)
    assert not any("texts" in name for name in module.state_dict())


@pytest.mark.parametrize("kind", ["class", "margin"])
def test_compensation_adds_no_parameters_and_changes_the_logits(kind):
    params, _, logits = fitted(Sage(epochs=2, guidance="none", compensation="none"))
    same, _, compensated = fitted(Sage(epochs=2, guidance="none", compensation=kind))
    assert same == params
    assert not torch.equal(compensated, logits)
    # With an upper bound of zero it is off.
    _, _, off = fitted(Sage(epochs=2, guidance="none", compensation=kind, max_nats=0.0))
    assert torch.equal(off, logits)


@pytest.mark.parametrize("source", ["random", "foreign"])
def test_controls_change_only_the_guides(source):
    params, _, logits = fitted(Sage(epochs=2))
    same, _, controlled = fitted(Sage(epochs=2, guides=source))
    assert same == params and not torch.equal(controlled, logits)


@pytest.mark.numeric
def test_pooling_copies_of_texts_does_not_change_the_attention_output(double):
    visual = vit(tiny_backbone())
    texts = F.normalize(torch.randn(6, 16), dim=-1)
    copies = texts.repeat(3, 1)
    x = torch.randn(50, visual.conv1.out_channels)
    full, few = (TextAttention(visual, t, 16)(x) for t in (copies, pooled(copies, 6)))
    assert len(pooled(copies, 6)) == 6
    torch.testing.assert_close(few, full, atol=1e-9, rtol=0)


def test_half_of_a_hundred_texts_give_about_the_output_of_all():
    """Attention output for pooled descriptions, against all 100 and against random ones.

    The ratio is that of 512 guides for 1,000 classes.
    """
    backbone = backbones.load("glyph", device=torch.device("cpu"), precision="fp32")
    data = Glyphs().load(Path(), 0)
    texts = backbone.encode_text(data.texts.descriptions or ())
    visual, tokens = vit(backbone), []
    visual.transformer.register_forward_hook(lambda *hooked: tokens.append(hooked[2]))
    images = data.validation().images
    visual(backbone.normalise(backbone.read(images, range(0, 2000, 20))))
    x = visual.ln_post(tokens[0]).detach().flatten(0, 1)

    def heard(guiding: Tensor) -> Tensor:
        with torch.no_grad():
            return TextAttention(visual, guiding, 64).weights(x) @ (guiding - texts.mean(0))

    full, noise = heard(texts), torch.randn_like(texts)
    half, quarter, random = (
        float((heard(some) - full).norm() / full.norm())
        for some in (pooled(texts, 50), pooled(texts, 25), lookalikes(texts, noise))
    )
    assert half < 0.4
    assert half < quarter < random
