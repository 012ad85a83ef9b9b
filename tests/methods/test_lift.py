"""LIFT: its bottleneck rule, its published parameter counts, and where its training starts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from benchmarks.tiny import tiny_backbone, tiny_task
from methods.lift import Lift
from methods.parts.adapters import AdaptFormer, bottleneck_rule
from methods.parts.heads import CosineHead

BLOCKS, WIDTH = 12, 768  # of ViT-B/16
PUBLISHED = {  # classes -> bottleneck, parameters of adapters and head in LIFT's code
    100: (4, 101_436, 76_800),
    365: (8, 175_212, 280_320),
    1000: (32, 617_868, 768_000),
    8142: (256, 4_749_324, 6_253_056),
}


@pytest.mark.parametrize("classes", PUBLISHED)
def test_parameters_are_those_of_the_published_code(classes):
    bottleneck, in_adapters, in_head = PUBLISHED[classes]
    assert bottleneck_rule(classes, BLOCKS) == bottleneck
    adapters = [AdaptFormer(WIDTH, bottleneck, seed=0) for _ in range(BLOCKS)]
    head = CosineHead(torch.ones(classes, WIDTH))
    assert (
        sum(p.numel() for a in adapters for p in a.parameters() if p.requires_grad) == in_adapters
    )
    assert sum(p.numel() for p in head.parameters() if p.requires_grad) == in_head


@pytest.mark.parametrize(
    ("classes", "expected"), [(2, 1), (24, 1), (47, 1), (48, 2), (95, 2), (96, 4)]
)
def test_bottleneck_at_the_edges_of_the_rule(classes, expected):
    assert bottleneck_rule(classes, BLOCKS) == expected


def test_trainable_parameters_of_a_fit():
    # Width 32, 2 blocks, 4 classes: a bottleneck of 1. Norm 64, down 33, up 64, scale 1; head 128.
    task, _ = tiny_task()
    assert Lift(epochs=1).fit(task).trainable_params == 2 * (64 + 33 + 64 + 1) + 4 * 32
    assert Lift(epochs=1, bottleneck=3).fit(task).trainable_params == 2 * (64 + 99 + 128 + 1) + 128


def test_adaptformer_by_hand():
    adapter = AdaptFormer(8, 3, seed=1)
    x = torch.randn(5, 8)
    assert torch.equal(adapter(x), torch.zeros(5, 8))
    assert adapter.scale.tolist() == [1.0] and bool((adapter.down.weight != 0).all())
    with torch.no_grad():
        for p in adapter.parameters():
            p.add_(0.3 * torch.randn(p.shape))
    p = {name: value.detach().double().numpy() for name, value in adapter.named_parameters()}
    rows = x.double().numpy()
    unit = (rows - rows.mean(1, keepdims=True)) / np.sqrt(rows.var(1, keepdims=True) + 1e-5)
    normed = unit * p["norm.weight"] + p["norm.bias"]
    hidden = np.maximum(normed @ p["down.weight"].T + p["down.bias"], 0)
    expected = p["scale"] * (hidden @ p["up.weight"].T + p["up.bias"])
    np.testing.assert_allclose(adapter(x).detach().numpy(), expected, atol=1e-5)


def test_down_projection_has_the_spread_of_kaiming_normal():
    weight = AdaptFormer(768, 256, seed=0).down.weight
    # gain sqrt(2 / (1 + 5)) over sqrt(fan in 768)
    assert float(weight.detach().std()) == pytest.approx((2 / 6 / 768) ** 0.5, rel=0.02)


def test_blocks_and_seeds_start_differently():
    same, other = AdaptFormer(8, 3, seed=1), AdaptFormer(8, 3, seed=2)
    assert torch.equal(same.down.weight, AdaptFormer(8, 3, seed=1).down.weight)
    assert not torch.equal(same.down.weight, other.down.weight)


def test_before_the_first_step_it_is_the_frozen_tower_and_the_projected_names():
    task, test = tiny_task()
    batch = test.batch(np.arange(len(test)), needs="images")
    logits = Lift(epochs=1, lr=0.0).fit(task).logits(batch).detach()
    visual = tiny_backbone().model.visual
    tokens = visual.transformer(visual._embeds(batch.images))
    pooled = F.normalize(visual.ln_post(tokens[:, 0]), dim=-1)
    names = [f"a photo of {name}." for name in task.texts.class_names]  # one template, as LIFT
    texts = tiny_backbone().encode_text(names)
    weight = F.normalize(texts @ visual.proj.T, dim=-1)
    torch.testing.assert_close(logits, 25 * pooled @ weight.T, atol=1e-4, rtol=0)
