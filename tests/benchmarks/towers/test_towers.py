"""Attention by products, folded weights and the ViT's pass compared with torch and open_clip."""

from __future__ import annotations

import dataclasses
import gc
import weakref
from typing import Any

import open_clip
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks import device as devices
from benchmarks.conformance.tiny import tiny_backbone
from benchmarks.towers import attention, blocks, image
from benchmarks.towers.attention import attend
from tests.methods.towers import COCA, TEXT, TIMM, TOWERS, backbone, pictures

SUPPORTED = TOWERS | TIMM | COCA


def with_gradients(function: Any, *inputs: Tensor) -> list[Tensor]:
    """A function's value and its gradients with respect to the inputs."""
    inputs = tuple(x.detach().clone().requires_grad_() for x in inputs)
    value = function(*inputs)
    torch.manual_seed(1)
    weights = torch.randn_like(value)
    return [value.detach(), *torch.autograd.grad((value * weights).sum(), inputs)]


# ---- attention ----------------------------------------------------------------------------------


def plain_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return ((q @ k.transpose(-1, -2)) / q.shape[-1] ** 0.5).softmax(-1) @ v


@pytest.mark.parametrize("queries, keys", [(5, 5), (1, 5), (70, 70), (70, 73)])
@pytest.mark.parametrize("cache", [1, 2**14, 2**30], ids=["one by one", "some", "at once"])
def test_attention_and_its_gradients(
    queries: int, keys: int, cache: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "CACHE", cache)
    torch.manual_seed(0)
    q = 3 * torch.randn(3, 2, queries, 8, dtype=torch.float64)
    # Memory layout as after one projection: heads and tokens interleaved.
    k, v = torch.randn(3, keys, 2, 2, 8, dtype=torch.float64).permute(2, 0, 3, 1, 4)
    ours, expected = (with_gradients(f, q, k, v) for f in (attend, plain_attention))
    for a, b in zip(ours, expected, strict=True):
        torch.testing.assert_close(a, b, atol=1e-12, rtol=1e-10)


def test_attention_without_gradients_is_the_same() -> None:
    torch.manual_seed(0)
    for tokens in (5, 70):  # on either side of SHORT
        q, k, v = torch.randn(3, 2, 2, tokens, 8, dtype=torch.float64)
        torch.testing.assert_close(
            attend(q, k, v), plain_attention(q, k, v), atol=1e-12, rtol=1e-10
        )


# ---- layers -------------------------------------------------------------------------------------


def test_gradient_of_quickgelu() -> None:
    x = torch.linspace(-9, 9, 301, dtype=torch.float64)
    quick = open_clip.transformer.QuickGELU()
    ours = with_gradients(lambda x: blocks.activation(quick, x), x)
    expected = with_gradients(lambda x: x * torch.sigmoid(1.702 * x), x)
    for a, b in zip(ours, expected, strict=True):
        torch.testing.assert_close(a, b, atol=1e-12, rtol=1e-12)
    assert torch.equal(blocks.activation(nn.GELU(), x), F.gelu(x))


@pytest.mark.parametrize("scale", [None, 0.5])
def test_folded_layers_equal_norm_layer_and_scale(scale: float | None) -> None:
    block: Any = backbone(ls_init_value=scale).model.visual.transformer.resblocks[0]
    x = torch.randn(7, 24, dtype=torch.float64)
    plain = F.layer_norm(x, (24,))
    folded = blocks.layers(block, torch.float64)
    attn, mlp = block.attn, block.mlp
    expected = {
        folded.project: F.linear(block.ln_1(x), attn.in_proj_weight, attn.in_proj_bias),
        folded.up: mlp.c_fc(block.ln_2(x)),
    }
    for layer, value in expected.items():
        torch.testing.assert_close(layer(plain), value, atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(folded.out(x), block.ls_1(attn.out_proj(x)))
    hidden = torch.randn(7, 96, dtype=torch.float64)
    torch.testing.assert_close(folded.down(hidden), block.ls_2(mlp.c_proj(hidden)))


def test_frozen_weights_are_folded_once_and_again_after_a_change() -> None:
    visual: Any = backbone().model.visual
    block = visual.transformer.resblocks[0]
    first, again = (blocks.layers(block, torch.float32).up.weight for _ in range(2))
    assert first is again and first.dtype == torch.float32 and not first.requires_grad
    with torch.no_grad():
        block.ln_2.weight.mul_(2)
    torch.testing.assert_close(blocks.layers(block, torch.float32).up.weight, 2 * first)


def test_a_cached_fold_is_not_used_for_another_parameter() -> None:
    """Addresses of freed tensors are reused, and versions start at 0: neither is an identity."""
    block: Any = backbone().model.visual.transformer.resblocks[0]
    for value in range(1, 60):
        block.ln_2.weight = nn.Parameter(torch.full((24,), float(value)), requires_grad=False)
        expected = value * block.mlp.c_fc.weight
        torch.testing.assert_close(blocks.layers(block, torch.float64).up.weight, expected)
    block.ln_2.weight.data = torch.ones(24, dtype=torch.float64)
    torch.testing.assert_close(
        blocks.layers(block, torch.float64).up.weight, block.mlp.c_fc.weight.detach()
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_cache_does_not_keep_towers_alive(dtype: torch.dtype) -> None:
    frozen = backbone(dtype=torch.float32)
    visual: Any = frozen.model.visual
    image.pooled(visual, pictures(frozen))
    blocks.layers(visual.transformer.resblocks[0], dtype)
    alive = [weakref.ref(p) for p in visual.parameters()]
    del frozen, visual
    gc.collect()
    assert not any(ref() is not None for ref in alive)


# ---- the pass -----------------------------------------------------------------------------------


@pytest.mark.parametrize("tower", SUPPORTED.values(), ids=SUPPORTED)
def test_features_are_those_of_open_clip(tower: dict[str, Any]) -> None:
    frozen = backbone(**tower)
    images = pictures(frozen)
    expected = F.normalize(frozen.model.encode_image(images).float(), dim=-1)
    torch.testing.assert_close(frozen.encode_images(images), expected, atol=1e-6, rtol=0)


def test_a_tower_without_a_projection() -> None:
    frozen = backbone()
    visual: Any = frozen.model.visual
    images = pictures(frozen)
    visual.proj = None
    expected = F.normalize(visual(images).float(), dim=-1)
    torch.testing.assert_close(frozen.encode_images(images), expected, atol=1e-6, rtol=0)


def test_other_towers_use_open_clips_forward_pass() -> None:
    settings = {"layers": [1, 1, 1, 1], "width": 16, "image_size": 64}  # a ResNet
    model = open_clip.CLIP(embed_dim=10, vision_cfg=settings, text_cfg=TEXT).eval()
    frozen = dataclasses.replace(tiny_backbone(), model=model.requires_grad_(False))
    assert not image.supports(model.visual)
    images = torch.randn(2, 3, 64, 64)
    expected = F.normalize(model.encode_image(images), dim=-1)
    assert torch.equal(frozen.encode_images(images), expected)


@pytest.fixture(scope="module")
def bf16() -> None:
    """Skip the test unless the CPU multiplies in bfloat16."""
    if not devices.has_bf16(torch.device("cpu")):
        pytest.skip("no bfloat16 units that work")


@pytest.mark.parametrize("tower", SUPPORTED.values(), ids=SUPPORTED)
@pytest.mark.usefixtures("bf16")
def test_bfloat16_is_near_float32(tower: dict[str, Any]) -> None:
    """bfloat16 has 8 bits: errors of 0.4 % per operation, a few per cent after three blocks."""
    frozen = backbone(dtype=torch.float32, **tower)
    visual: Any = frozen.model.visual

    def run(images: Tensor) -> Tensor:
        return image.pooled(visual, images).float()

    images = pictures(frozen)
    exact = with_gradients(run, images)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = with_gradients(run, images)
    # Blocks that normalise their outputs add little to a stream that has few bits.
    limit = 0.2 if tower is TIMM["eva02 enormous"] else 0.05
    for a, b in zip(rounded, exact, strict=True):
        assert float((a - b).norm() / b.norm()) < limit
        assert not torch.equal(a, b)
