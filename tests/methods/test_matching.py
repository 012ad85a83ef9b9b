"""Whitening, the contrastive loss against prototypes, and the guided classifier."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.conformance.tiny import tiny_task
from benchmarks.errors import NotApplicable
from methods.base import Batch
from methods.parts.heads import matching
from methods.parts.heads.matching import GuidedClassifier, Matching, Whitening, class_means
from methods.parts.heads.prototypes import spread
from methods.parts.losses.single_label.la import LogitAdjusted

pytestmark = pytest.mark.numeric


def unit(*shape: int) -> Tensor:
    return F.normalize(torch.randn(*shape), dim=-1)


def plain(dim: int) -> Whitening:
    return Whitening(torch.zeros(dim), torch.eye(dim))


def batch(features: Tensor) -> Batch:
    return Batch(torch.arange(len(features)), features, None)


# ---- whitening ----------------------------------------------------------------------------------


def test_class_means_by_hand_and_zero_for_an_empty_class():
    task, _ = tiny_task()
    features, labels = task.train.features(), task.train.labels
    means, squares = class_means(task), class_means(task, torch.square)
    for c in range(4):
        own = features[labels == c]
        torch.testing.assert_close(means[c], own.mean(0), atol=1e-6, rtol=0)
        torch.testing.assert_close(squares[c], own.square().mean(0), atol=1e-6, rtol=0)
    task.counts = torch.cat([task.counts, torch.zeros(1)])
    task.texts = type(task.texts)((*task.texts.class_names, "none"), task.texts.templates)
    assert torch.equal(class_means(task)[4], torch.zeros(16))


def scatter(task, whitening: Whitening) -> np.ndarray:
    """Within-class covariance of the whitened features before normalisation."""
    x = ((task.train.features() - whitening.origin) @ whitening.matrix).double().numpy()
    labels = task.train.labels.numpy()
    for c in range(4):
        x[labels == c] -= x[labels == c].mean(0)
    return x.T @ x / len(x)


def test_the_whitened_within_class_covariance_is_the_identity():
    task, _ = tiny_task()
    found = scatter(task, Whitening.of(task, 0.0, centre=True))
    np.testing.assert_allclose(found / found[0, 0], np.eye(16), atol=2e-3)
    # Shrinkage interpolates.
    spreads = [np.linalg.cond(scatter(task, Whitening.of(task, s, centre=True))) for s in (0.2, 1)]
    assert 1.01 < spreads[0] < spreads[1] / 3


def test_statistics_do_not_depend_on_the_chunk_size(monkeypatch):
    task, _ = tiny_task()
    whole, means = Whitening.of(task, 0.2, centre=True), class_means(task)
    monkeypatch.setattr(matching, "ROWS", 10)  # of 64 images
    parts = Whitening.of(task, 0.2, centre=True)
    torch.testing.assert_close(class_means(task), means)
    torch.testing.assert_close(parts.matrix, whole.matrix, rtol=1e-3, atol=1e-4)


def test_full_shrinkage_changes_no_direction_and_centring_is_optional():
    task, _ = tiny_task()
    off = Whitening.of(task, 1.0, centre=False)
    assert torch.equal(off.matrix, torch.eye(16)) and torch.equal(off.origin, torch.zeros(16))
    x = task.train.features()
    torch.testing.assert_close(off(x), x, atol=1e-6, rtol=0)
    centred = Whitening.of(task, 1.0, centre=True)
    # Every class has the same weight, however many images it has.
    torch.testing.assert_close(centred.origin, class_means(task).mean(0), atol=1e-6, rtol=0)


def test_directions_without_variance_need_shrinkage():
    task, _ = tiny_task()
    flat = task.train.features().clone()
    flat[:, 0] = 0.5
    task.train.features = lambda: flat
    with pytest.raises(NotApplicable, match="shrinkage"):
        Whitening.of(task, 0.0, centre=True)
    assert bool(Whitening.of(task, 0.1, centre=True).matrix.isfinite().all())
    means = class_means(task)
    task.train.features = lambda: means[task.train.labels]  # no class has two different images
    assert torch.equal(Whitening.of(task, 0.0, centre=True).matrix, torch.eye(16))


# ---- matching -----------------------------------------------------------------------------------


def test_starts_at_the_cosines_with_the_prototypes(double):
    prototypes, x = unit(5, 8), unit(7, 8)
    matching = Matching(prototypes, unit(5, 8), plain(8), 30.0)
    torch.testing.assert_close(matching(batch(x)), 30 * x @ prototypes.T, atol=1e-12, rtol=0)
    assert torch.equal(matching.text(torch.tensor([3])), matching.text()[3:4])


def info_nce(residual: Tensor, matching: Matching, x: Tensor, labels: Tensor) -> Tensor:
    """Loss of stage 1 as a function of the map."""
    state = {"residual": residual}
    call = torch.func.functional_call(matching, state, (batch(x),))
    loss = LogitAdjusted(torch.zeros(len(matching.prototypes), dtype=x.dtype), 1.0)
    return loss(call, labels, batch(x)).mean()


def test_contrastive_loss_and_its_gradient():
    """InfoNCE of image features against K fixed prototypes: by hand, and by finite differences."""
    x, labels = unit(6, 4).double(), torch.tensor([0, 1, 2, 2, 1, 0])
    whitening = Whitening(0.1 * torch.randn(4).double(), torch.randn(4, 4).double())
    matching = Matching(unit(3, 4).double(), unit(3, 4).double(), whitening, 6.0)
    residual = 0.3 * torch.randn(4, 4, dtype=torch.float64)
    p, a = matching.prototypes.numpy(), residual.numpy()
    expected = 0.0
    for image, label in zip(x.numpy(), labels.tolist(), strict=True):
        z = (image - whitening.origin.numpy()) @ whitening.matrix.numpy()
        z = z / np.linalg.norm(z)
        z = z + z @ a
        likeness = [math.exp(6 * float(z @ q) / np.linalg.norm(z)) for q in p]
        expected -= math.log(likeness[label] / sum(likeness)) / 6
    assert float(info_nce(residual, matching, x, labels)) == pytest.approx(expected, abs=1e-12)
    residual.requires_grad_()
    torch.autograd.gradcheck(lambda r: info_nce(r, matching, x, labels), residual)


def test_features_converge_to_their_prototypes():
    prototypes = spread(3, 8, torch.Generator().manual_seed(0), torch.device("cpu"))
    x, labels = unit(3, 8), torch.tensor([0, 1, 2])
    matching = Matching(prototypes, unit(3, 8), plain(8), 3.0)
    optimiser = torch.optim.SGD(matching.parameters(), lr=2.0)
    before = (matching.images(x) * prototypes).sum(-1).detach()
    for _ in range(200):
        optimiser.zero_grad()
        F.cross_entropy(matching(batch(x)), labels).backward()
        optimiser.step()
    after = (matching.images(x) * prototypes).sum(-1).detach()
    assert float(before.max()) < 0.8 < 0.95 < float(after.min())


# ---- the guided classifier ----------------------------------------------------------------------


def classifier(
    share: float, pull: float, counts: Tensor, scale: float = 25.0
) -> tuple[GuidedClassifier, Tensor]:
    matching = Matching(unit(4, 8), unit(4, 8), plain(8), 30.0).requires_grad_(False)
    matching.residual += 0.2 * torch.randn(8, 8)
    means = 0.5 * torch.randn(4, 8)
    means[counts == 0] = 0
    made = GuidedClassifier(matching, means, counts, share=share, pull=pull, scale=scale)
    return made, means


def test_guided_logits_by_hand(double):
    counts = torch.tensor([100.0, 9.0, 1.0, 0.0])
    made, means = classifier(0.3, 3.0, counts)
    x = unit(5, 8)
    found = made(batch(x)).detach().numpy()
    m = made.matching
    for i, c in np.ndindex(5, 4):
        z = x[i] + x[i] @ m.residual
        t = m.texts[c] + m.texts[c] @ m.residual
        r = float(counts[c] / (counts[c] + 3))
        w = (1 - r) * t / t.norm() + (r * means[c] / means[c].norm() if r else 0)
        cosines = [F.cosine_similarity(z, v, dim=0) for v in (m.prototypes[c], w)]
        expected = 25 * (0.3 * float(cosines[0]) + 0.7 * float(cosines[1]))
        assert found[i, c] == pytest.approx(expected, abs=1e-12)


def test_texts_weigh_more_the_fewer_images_a_class_has():
    made, means = classifier(0.5, 3.0, torch.tensor([100.0, 9.0, 1.0, 0.0]))
    to_text = (made.directions() * made.matching.text()).sum(-1).detach()
    assert to_text[3] == pytest.approx(1.0, abs=1e-6)
    to_mean = (made.directions() * F.normalize(means, dim=-1)).sum(-1).detach()
    assert to_mean[0] > 0.99 and to_mean[1] > to_mean[2]


def test_share_and_pull_at_their_limits(double):
    counts, x = torch.tensor([100.0, 9.0, 1.0, 5.0]), unit(5, 8)
    all_prototypes, _ = classifier(1.0, 3.0, counts)
    mapped = all_prototypes.matching.images(x)
    expected = 25 * mapped @ all_prototypes.matching.prototypes.T
    torch.testing.assert_close(all_prototypes(batch(x)), expected, atol=1e-12, rtol=0)
    free, means = classifier(0.0, 0.0, counts)
    expected = 25 * free.matching.images(x) @ F.normalize(means, dim=-1).T
    torch.testing.assert_close(free(batch(x)), expected, atol=1e-12, rtol=0)


def test_only_the_directions_are_learned():
    made, _ = classifier(0.5, 3.0, torch.tensor([100.0, 9.0, 1.0, 0.0]))
    assert [n for n, p in made.named_parameters() if p.requires_grad] == ["weight"]
    made(batch(unit(5, 8))).square().sum().backward()
    slopes = made.weight.grad.norm(dim=-1)
    assert bool((slopes[:3] > 0).all())
    assert slopes[3] == 0  # nothing can be learned of a class without images
