"""Adapters that change a tower's own layers, and shallow prompts, against the plain formulas."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.backbones import Backbone
from benchmarks.conformance.tiny import tiny_task
from benchmarks.errors import NotApplicable
from methods.base import Task
from methods.parts.image.changes import mask_rule
from methods.parts.image.finetune import AdapterKind, adapted
from methods.parts.image.vit import AdaptedViT, vit
from tests.methods.towers import TIMM, TOWERS, backbone, pictures

Change = Callable[[str, int, Tensor], Tensor]
SOME = {name: TOWERS[name] for name in ("class token", "average, norm after", "layer scale")}
SSF: dict[AdapterKind, list[str]] = {
    "ssf_attention": ["attn.in_proj_weight", "attn.out_proj.weight"],
    "ssf_mlp": ["mlp.c_fc.weight", "mlp.c_proj.weight"],
    "ssf_norms": ["ln_1.weight", "ln_2.weight"],
}
SSF["ssf"] = [place for places in list(SSF.values()) for place in places]


def task_on(frozen: Backbone, seed: int = 0) -> Task:
    return dataclasses.replace(tiny_task(seed)[0], backbone=frozen)


def shaken(tower: AdaptedViT) -> AdaptedViT:
    """Move every trained parameter away from its initial value."""
    with torch.no_grad():
        for parameter in tower.double().parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return tower


def written_out(visual: Any, images: Tensor, change: Change) -> Tensor:
    """The pooled output of open_clip's tower; `change` sees every layer's output in a block."""
    x = visual._embeds(images)
    for i, block in enumerate(visual.transformer.resblocks):
        attn, mlp = block.attn, block.mlp
        y = change("ln_1.weight", i, block.ln_1(x))
        y = change("attn.in_proj_weight", i, F.linear(y, attn.in_proj_weight, attn.in_proj_bias))
        q, k, v = y.unflatten(-1, (3, attn.num_heads, -1)).permute(2, 0, 3, 1, 4)
        weights = (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1)
        y = attn.out_proj((weights @ v).transpose(1, 2).flatten(2))
        x = x + change("attn.out_proj.weight", i, block.ls_1(y))
        y = change("ln_2.weight", i, block.ln_2(x))
        y = mlp.gelu(change("mlp.c_fc.weight", i, mlp.c_fc(y)))
        x = x + change("mlp.c_proj.weight", i, block.ls_2(mlp.c_proj(y)))
    return of_tokens(visual, x)


def of_tokens(visual: Any, x: Tensor) -> Tensor:
    """(B, T, W) -> (B, W), pooled."""
    if visual.final_ln_after_pool:
        return visual.ln_post(x[:, 1:].mean(1) if visual.pool_type == "avg" else x[:, 0])
    x = visual.ln_post(x)
    return x[:, 1:].mean(1) if visual.pool_type == "avg" else x[:, 0]


def assert_equal_with_gradients(ours: Tensor, theirs: Tensor, parameters: list[Tensor]) -> None:
    """Values and the gradients of a weighted sum are equal, and no gradient is zero."""
    torch.testing.assert_close(ours, theirs, atol=1e-9, rtol=1e-9)
    weights = torch.randn_like(ours)
    mine, other = (
        torch.autograd.grad((value * weights).sum(), parameters) for value in (ours, theirs)
    )
    for a, b in zip(mine, other, strict=True):
        torch.testing.assert_close(a, b, atol=1e-9, rtol=1e-9)
        assert float(b.abs().max()) > 1e-6


# ---- scales and shifts ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SSF)
@pytest.mark.parametrize("tower", ["class token", "average, norm after"])
def test_scales_and_shifts_are_of_the_outputs_of_layers(tower, kind):
    frozen = backbone(**TOWERS[tower])
    visual: Any = frozen.model.visual
    ours = shaken(adapted(task_on(frozen), kind))
    by_place = {
        (layer.place, layer.block): module
        for layer, module in zip(ours.changes._layers, ours.changes.modules_of_layers, strict=True)
    }
    assert {place for place, _ in by_place} == set(SSF[kind]) and len(by_place) == 3 * len(
        SSF[kind]
    )

    def change(place: str, block: int, y: Tensor) -> Tensor:
        if place not in SSF[kind]:
            return y
        module: Any = by_place[place, block]
        return module.scale * y + module.shift

    images = pictures(frozen)
    expected = written_out(visual, images, change)
    assert_equal_with_gradients(ours(images), expected, list(ours.parameters()))
    plain = AdaptedViT(visual)(images)
    torch.testing.assert_close(plain, written_out(visual, images, lambda *given: given[2]))
    assert float((expected - plain).detach().abs().max()) > 0.01


def test_scales_and_shifts_start_near_one_and_zero_and_differ_between_layers_and_seeds():
    frozen = backbone(width=96)

    def start(seed: int) -> list[Tensor]:
        return [p.detach() for p in adapted(task_on(frozen, seed), "ssf").parameters()]

    first, again, other = start(0), start(0), start(1)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    scales, shifts = torch.cat(first[::2]), torch.cat(first[1::2])
    assert float(scales.mean()) == pytest.approx(1, abs=0.002)
    assert float(shifts.mean()) == pytest.approx(0, abs=0.002)
    for values in (scales, shifts):
        assert float(values.std()) == pytest.approx(0.02, rel=0.05)
    assert len({float(p[0]) for p in [*first, *other]}) == 2 * len(first)


def test_a_layer_without_a_bias_has_no_place_for_a_shift():
    with pytest.raises(NotApplicable, match="ssf shifts biases"):
        adapted(task_on(backbone(**TIMM["eva02"])), "ssf")


# ---- single weights ------------------------------------------------------------------------------


@pytest.mark.parametrize("tower", SOME.values(), ids=SOME)
def test_masks_train_single_weights_and_biases(tower):
    frozen = backbone(**tower)
    ours = shaken(adapted(task_on(frozen), "mask", mask=0.05))
    reference: Any = copy.deepcopy(frozen.model.visual)
    reference.proj = None
    joined = []
    for layer, module in zip(ours.changes._layers, ours.changes.modules_of_layers, strict=True):
        whole = [reference.get_parameter(name) for name in (layer.weight, layer.bias)]
        size = sum(p.numel() for p in whole)
        places, values = module.places.tolist(), module.values.tolist()
        assert len(set(places)) == len(places) == int(0.05 * size) > 0
        for at, value in zip(places, values, strict=True):
            first = at < whole[0].numel()
            flat = whole[0 if first else 1].data.view(-1)
            flat[at if first else at - whole[0].numel()] = value
        joined.append([parameter.requires_grad_() for parameter in whole])
    assert len(joined) == 3 * 4
    images = pictures(frozen)
    found, expected = ours(images), reference(images)
    torch.testing.assert_close(found, expected, atol=1e-9, rtol=1e-9)
    assert float((found - AdaptedViT(vit(frozen))(images)).detach().abs().max()) > 0.01
    weights = torch.randn_like(found)
    (found * weights).sum().backward()
    (expected * weights).sum().backward()
    for module, whole in zip(ours.changes.modules_of_layers, joined, strict=True):
        gradient = torch.cat([parameter.grad.flatten() for parameter in whole])
        mine, theirs = module.values.grad, gradient[module.places]
        torch.testing.assert_close(mine, theirs, atol=1e-9, rtol=1e-9)
        assert bool(mine.any())
    assert all(p.grad is None for p in frozen.model.parameters())


def test_masks_differ_between_layers_and_seeds_and_reach_every_part():
    frozen = backbone()
    places = [
        [module.places.tolist() for module in adapted(task_on(frozen, seed), "mask", mask=0.1)
         .changes.modules_of_layers]
        for seed in (0, 0, 1)
    ]  # fmt: skip
    assert places[0] == places[1]
    assert len({tuple(place) for place in [*places[0], *places[2]]}) == 2 * len(places[0])
    reach = torch.tensor(places[0][0]).double() / (3 * 24 * 25)
    assert float(reach.mean()) == pytest.approx(0.5, abs=0.1) and float(reach.max()) > 0.9


@pytest.mark.parametrize(
    "classes, share", [(100, 0.001), (365, 0.003), (1000, 0.009), (8142, 0.073)]
)
def test_the_share_of_a_mask_by_rule(classes, share):
    assert mask_rule(classes, blocks=12, width=768) == pytest.approx(share)


# ---- norms, the MLP's low rank, shallow prompts --------------------------------------------------


def test_norms_are_those_of_the_blocks():
    frozen = backbone()
    tower = adapted(task_on(frozen), "norms")
    reference: Any = copy.deepcopy(frozen.model.visual)
    reference.proj = None
    names = [n for n, _ in reference.named_parameters() if "resblocks" in n and ".ln_" in n]
    theirs = [reference.get_parameter(name).requires_grad_() for name in names]
    assert len(theirs) == 3 * 2 * 2 == len(list(tower.parameters()))
    images, weights = pictures(frozen), torch.randn(3, 24, dtype=torch.float64)
    mine = torch.autograd.grad((tower(images) * weights).sum(), list(tower.parameters()))
    other = torch.autograd.grad((reference(images) * weights).sum(), theirs)
    for a, b in zip(mine, other, strict=True):
        torch.testing.assert_close(a, b, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("tower", SOME.values(), ids=SOME)
def test_low_rank_changes_of_the_mlp_are_those_of_merged_weights(tower):
    frozen = backbone(**tower)
    visual: Any = frozen.model.visual
    ours = shaken(adapted(task_on(frozen), "lora_mlp", bottleneck=3))
    merged: Any = copy.deepcopy(visual)
    for slots, block in zip(ours.slots, merged.transformer.resblocks, strict=True):
        scale = getattr(block.ls_2, "gamma", torch.ones(24, dtype=torch.float64))
        block.mlp.c_fc.weight += (slots.up.a @ slots.up.b).detach().T / 3
        # The layer scale is not that of the update.
        block.mlp.c_proj.weight += (slots.down.a @ slots.down.b).detach().T / 3 / scale[:, None]
    images = pictures(frozen)
    expected = written_out(merged, images, lambda *given: given[2])
    torch.testing.assert_close(ours(images), expected, atol=1e-9, rtol=1e-9)
    assert float((expected - AdaptedViT(visual)(images)).detach().abs().max()) > 0.01


@pytest.mark.parametrize("tower", TOWERS.values(), ids=TOWERS)
def test_shallow_prompts_pass_through_all_blocks(tower):
    frozen = backbone(**tower)
    visual: Any = frozen.model.visual
    ours = adapted(task_on(frozen), "vpt_shallow", prompts=5).double()
    images = pictures(frozen)
    x = visual._embeds(images)
    tokens = x.shape[1]
    x = torch.cat([x, ours.prompts.expand(len(x), -1, -1)], 1)
    for block in visual.transformer.resblocks:
        x = block(x)
    assert_equal_with_gradients(ours(images), of_tokens(visual, x[:, :tokens]), [ours.prompts])


@pytest.mark.parametrize("name", ["eva02", "dinov3", "siglip"])
def test_shallow_prompts_have_no_positions(name):
    frozen = backbone(**TIMM[name])
    ours = shaken(adapted(task_on(frozen), "vpt_shallow", prompts=4))
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        first = ours(images)
        ours.prompts.copy_(ours.prompts.flip(0))
        torch.testing.assert_close(ours(images), first, atol=1e-9, rtol=1e-9)
        assert float((AdaptedViT(vit(frozen))(images) - first).abs().max()) > 1e-3


@pytest.mark.parametrize("kind", ["ssf_norms", "mask", "norms", "lora_mlp"])
@pytest.mark.parametrize("name", ["eva02", "siglip", "pe-core"])
def test_towers_of_timm_take_the_same_changes(name, kind):
    """They change nothing at first or a little, and every parameter matters."""
    frozen = backbone(**TIMM[name])
    ours = adapted(task_on(frozen), kind, bottleneck=2, mask=0.1).double()
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    plain = AdaptedViT(vit(frozen))(images)
    close = 0.5 if kind == "ssf_norms" else 1e-9
    torch.testing.assert_close(ours(images), plain, atol=close, rtol=0)
    (shaken(ours)(images) * torch.randn_like(plain)).sum().backward()
    for parameter in ours.parameters():
        assert parameter.grad is not None and bool(parameter.grad.any())
