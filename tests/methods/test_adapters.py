"""Each kind of adapter against open_clip's own blocks, and its size."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any, get_args

import numpy as np
import open_clip
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.backbones import Backbone
from benchmarks.conformance.tiny import tiny_backbone, tiny_task
from methods.base import Task
from methods.parts.heads.linear_classifiers import CosineHead
from methods.parts.image.adapters import Adapter, AdaptFormer, LowRank, prompt_tokens
from methods.parts.image.finetune import AdapterKind, adapted, unfrozen
from methods.parts.image.vit import AdaptedViT, vit
from tests.methods.towers import TOWERS, backbone, pictures

KINDS = get_args(AdapterKind)
NEUTRAL = [kind for kind in KINDS if not kind.startswith(("vpt", "ssf"))]


def task_on(frozen: Backbone, seed: int = 0) -> Task:
    return dataclasses.replace(tiny_task(seed)[0], backbone=frozen)


def shaken(tower: AdaptedViT) -> AdaptedViT:
    """Move every trained parameter away from its initial value."""
    with torch.no_grad():
        for parameter in tower.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return tower


def pooled(visual: Any, x: Tensor) -> Tensor:
    """(B, T, W) -> (B, W) as open_clip's towers do it, without the projection."""
    if visual.final_ln_after_pool:
        return visual.ln_post(x[:, 1:].mean(1) if visual.pool_type == "avg" else x[:, 0])
    x = visual.ln_post(x)
    return x[:, 1:].mean(1) if visual.pool_type == "avg" else x[:, 0]


# ---- the first step -----------------------------------------------------------------------------


@pytest.mark.parametrize("image_size", [32, 144])
@pytest.mark.parametrize("kind", NEUTRAL)
def test_all_but_prompts_leave_the_forward_bit_equal(kind, image_size):
    frozen = backbone(dtype=torch.float32, image_size=image_size)
    images = pictures(frozen)
    with torch.no_grad():
        plain = AdaptedViT(vit(frozen))(images)
        assert torch.equal(adapted(task_on(frozen), kind)(images), plain)
    reference: Any = copy.deepcopy(frozen.model.visual)
    reference.proj = None
    torch.testing.assert_close(plain, reference(images), atol=1e-4, rtol=1e-5)


def test_prompts_take_part_from_the_start():
    frozen = backbone(dtype=torch.float32)
    images = pictures(frozen)
    moved = adapted(task_on(frozen), "vpt")(images) - AdaptedViT(vit(frozen))(images)
    assert float(moved.detach().abs().max()) > 0.01


GATES = {
    "adaptformer": ["mlp.up.weight", "mlp.up.bias"],
    "adapter": ["after_mlp.up.weight", "after_mlp.up.bias"],
    "lora": ["query.b", "value.b"],
    "lora_mlp": ["up.b", "down.b"],
    "vpt": ["prompts"],
}
"""Parameters with a gradient at the first step, by kind of adapter."""


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "none"])
def test_there_is_a_gradient_at_the_first_step(kind):
    frozen = backbone(dtype=torch.float32)
    tower = adapted(task_on(frozen), kind, bottleneck=4)
    head = CosineHead(torch.randn(4, 24))
    F.cross_entropy(head(tower(pictures(frozen))), torch.tensor([0, 1, 2])).backward()
    gates = [
        slots.get_parameter(name) for slots in tower.slots for name in GATES.get(kind, [])
    ] or list(tower.parameters())
    assert len(gates) >= 3 or kind == "vpt_shallow"
    for gate in gates:
        assert float(gate.grad.abs().max()) > 0


@pytest.mark.parametrize("kind", KINDS)
def test_seeds_and_blocks_start_differently(kind):
    frozen = backbone(dtype=torch.float32)

    def start(seed: int) -> list[Tensor]:
        return [p.detach() for p in adapted(task_on(frozen, seed), kind).slots.parameters()]

    first, again, other = start(0), start(0), start(1)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    drawn = [i for i, p in enumerate(first) if p.ndim == 2 and bool(p.any())]
    assert bool(drawn) == (kind in GATES)
    assert not any(torch.equal(first[i], other[i]) for i in drawn)
    assert len({float(first[i].flatten()[0]) for i in drawn}) == len(drawn)


# ---- where each one sits ------------------------------------------------------------------------


@pytest.mark.parametrize("tower", TOWERS.values(), ids=TOWERS)
def test_an_adapter_reads_and_changes_the_output_of_the_mlp(tower):
    frozen = backbone(**tower)
    visual: Any = frozen.model.visual
    ours = shaken(adapted(task_on(frozen), "adapter").double())
    images = pictures(frozen)
    x = visual._embeds(images)
    for slots, block in zip(ours.slots, visual.transformer.resblocks, strict=True):
        h = x + block.ls_1(block.attention(block.ln_1(x)))
        out = block.ls_2(block.mlp(block.ln_2(h)))
        x = h + out + slots.after_mlp(out.flatten(0, 1)).view_as(out)
    expected = pooled(visual, x)
    torch.testing.assert_close(ours(images), expected, atol=1e-9, rtol=1e-9)
    assert float((expected - AdaptedViT(visual)(images)).detach().abs().max()) > 0.01


@pytest.mark.parametrize("tower", TOWERS.values(), ids=TOWERS)
def test_low_rank_changes_are_those_of_merged_weights(tower):
    frozen = backbone(**tower)
    ours = shaken(adapted(task_on(frozen), "lora", bottleneck=3).double())
    merged: Any = copy.deepcopy(frozen.model.visual)
    merged.proj = None
    for slots, block in zip(ours.slots, merged.transformer.resblocks, strict=True):
        weight = block.attn.in_proj_weight  # (3 W, W): queries, keys, values
        for part, low in ((0, slots.query), (2, slots.value)):
            weight[24 * part : 24 * (part + 1)] += (low.a @ low.b).detach().T / 3
    images = pictures(frozen)
    torch.testing.assert_close(ours(images), merged(images), atol=1e-9, rtol=1e-9)
    assert not torch.allclose(ours(images), AdaptedViT(vit(frozen))(images), atol=1e-2)


@pytest.mark.parametrize("tower", TOWERS.values(), ids=TOWERS)
@pytest.mark.parametrize("length", [2, 70])  # the longer one takes the other attention kernel
def test_prompts_are_tokens_of_one_block_only(tower, length):
    frozen = backbone(**tower)
    visual: Any = frozen.model.visual
    ours = adapted(task_on(frozen), "vpt", prompts=length).double()
    images = pictures(frozen)
    x = visual._embeds(images)
    tokens = x.shape[1]
    for slots, block in zip(ours.slots, visual.transformer.resblocks, strict=True):
        prompts = slots.prompts.expand(len(x), -1, -1)
        x = block(torch.cat([x[:, :tokens], prompts], 1))
    expected = pooled(visual, x[:, :tokens])
    torch.testing.assert_close(ours(images), expected, atol=1e-9, rtol=1e-9)

    weights = torch.randn_like(expected)
    theirs = torch.autograd.grad((expected * weights).sum(), list(ours.parameters()))
    mine = torch.autograd.grad((ours(images) * weights).sum(), list(ours.parameters()))
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=1e-9, rtol=1e-9)
        assert float(b.abs().max()) > 1e-6


def test_prompts_and_low_rank_values_combine():
    """Prompts pass through the changed weights like any other token."""
    frozen = backbone()
    both = shaken(adapted(task_on(frozen), "lora", bottleneck=2).double())
    prompts = adapted(task_on(frozen), "vpt", prompts=3).double()
    merged = copy.deepcopy(vit(frozen))
    for slots, other, block in zip(
        both.slots, prompts.slots, merged.transformer.resblocks, strict=True
    ):
        slots.prompts = other.prompts
        weight = block.attn.in_proj_weight
        weight[:24] += (slots.query.a @ slots.query.b).detach().T / 2
        weight[48:] += (slots.value.a @ slots.value.b).detach().T / 2
    images = pictures(frozen)
    expected = AdaptedViT(merged, list(prompts.slots))(images)
    torch.testing.assert_close(both(images), expected, atol=1e-9, rtol=1e-9)


def test_bitfit_trains_only_the_biases_of_the_blocks():
    frozen = backbone()
    tower = adapted(task_on(frozen), "bitfit")
    blocks = frozen.model.visual.transformer.resblocks
    biases = {n: p for n, p in blocks.named_parameters() if n.endswith("bias")}
    assert len(biases) == 3 * 6  # two norms, attention in and out, MLP in and out
    assert [p.shape for p in tower.parameters()] == [p.shape for p in biases.values()]
    images, weights = pictures(frozen), torch.randn(3, 24, dtype=torch.float64)
    mine = torch.autograd.grad((tower(images) * weights).sum(), list(tower.parameters()))
    reference: Any = copy.deepcopy(frozen.model.visual).requires_grad_()
    reference.proj = None
    theirs = [p for n, p in reference.transformer.resblocks.named_parameters() if n in biases]
    theirs = torch.autograd.grad((reference(images) * weights).sum(), theirs)
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=1e-9, rtol=1e-9)


def test_blocks_alone_or_the_whole_tower():
    task = task_on(backbone())
    names = {n: p.numel() for n, p in task.backbone.model.visual.named_parameters()}
    whole = sum(numel for name, numel in names.items() if name != "proj")
    blocks = sum(numel for name, numel in names.items() if "resblocks" in name)
    assert sum(p.numel() for p in unfrozen(task).parameters()) == whole
    assert sum(p.numel() for p in unfrozen(task, "blocks").parameters()) == blocks < whole


# ---- by hand ------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", [AdaptFormer, Adapter])
def test_bottlenecks_by_hand(cls):
    adapter = cls(8, 3, seed=1)
    x = torch.randn(5, 8)
    assert torch.equal(adapter(x), torch.zeros(5, 8))
    assert bool((adapter.down.weight != 0).all())
    if cls is AdaptFormer:
        assert adapter.scale.tolist() == [1.0]
    with torch.no_grad():
        for p in adapter.parameters():
            p.add_(0.3 * torch.randn(p.shape))
    p = {name: value.detach().double().numpy() for name, value in adapter.named_parameters()}
    rows = x.double().numpy()
    unit = (rows - rows.mean(1, keepdims=True)) / np.sqrt(rows.var(1, keepdims=True) + 1e-5)
    if cls is AdaptFormer:  # its input is already standardised
        x = torch.from_numpy(unit).float()
    normed = unit * p["norm.weight"] + p["norm.bias"]
    hidden = np.maximum(normed @ p["down.weight"].T + p["down.bias"], 0)
    expected = p.get("scale", 1) * (hidden @ p["up.weight"].T + p["up.bias"])
    np.testing.assert_allclose(adapter(x).detach().numpy(), expected, atol=1e-5)


def test_initial_spreads():
    weight = AdaptFormer(768, 256, seed=0).down.weight.detach()
    # Kaiming-normal: gain sqrt(2 / (1 + 5)) over sqrt(fan in 768).
    assert float(weight.std()) == pytest.approx((2 / 6 / 768) ** 0.5, rel=0.02)
    # Kaiming-uniform on a (768, d) tensor, whose fan in is d: LIFT's code draws A that way.
    a = LowRank(768, 16, seed=0).a.detach()
    reference = nn.init.kaiming_uniform_(torch.empty(768, 16), a=5**0.5)
    assert float(a.abs().max()) == pytest.approx(float(reference.abs().max()), rel=0.01)
    assert float(a.std()) == pytest.approx(float(reference.std()), rel=0.02)
    # Xavier for a patch embedding of 3 * 16^2 inputs and 768 outputs.
    prompts = prompt_tokens(768, 16, 100, seed=0).detach()
    reference = nn.init.xavier_uniform_(torch.empty(768, 3 * 16**2))
    assert float(prompts.abs().max()) == pytest.approx(float(reference.abs().max()), rel=0.01)
    assert float(prompts.mean()) == pytest.approx(0, abs=0.001)


# ---- sizes --------------------------------------------------------------------------------------


def without_values(**vision: Any) -> Backbone:
    """ViT-B/16 on the meta device."""
    config = open_clip.get_model_config("ViT-B-16")
    with torch.device("meta"):
        model = open_clip.CLIP(**config | {"vision_cfg": config["vision_cfg"] | vision})
    return dataclasses.replace(tiny_backbone(), model=model.requires_grad_(False))


@pytest.fixture(scope="module")
def vit_b_16() -> Backbone:
    return without_values()


PUBLISHED = {  # classes -> parameters of adapters and head in LIFT's code
    100: (101_436, 76_800),
    365: (175_212, 280_320),
    1000: (617_868, 768_000),
    8142: (4_749_324, 6_253_056),
}


@pytest.mark.parametrize("classes", PUBLISHED)
def test_parameters_are_those_of_the_published_code(vit_b_16, classes):
    texts = dataclasses.replace(tiny_task()[0].texts, class_names=("a",) * classes)
    task = dataclasses.replace(task_on(vit_b_16), texts=texts)
    head = CosineHead(torch.ones(classes, 768))
    sizes = [
        sum(p.numel() for p in module.parameters() if p.requires_grad)
        for module in (adapted(task, "adaptformer"), head)
    ]
    assert tuple(sizes) == PUBLISHED[classes]


def test_parameters_of_the_other_kinds(vit_b_16):
    texts = dataclasses.replace(tiny_task()[0].texts, class_names=("a",) * 100)  # bottleneck 4
    task = dataclasses.replace(task_on(vit_b_16), texts=texts)
    # The mask has a number for each weight: two of the twelve blocks are enough.
    tasks = dict.fromkeys(KINDS, task) | {"mask": task_on(without_values(layers=2))}
    sizes = {
        kind: sum(p.numel() for p in adapted(tasks[kind], kind).parameters()) for kind in KINDS
    }
    assert sizes == {
        "adaptformer": 101_436,
        "adapter": 101_436 - 12,  # no scale
        "lora": 12 * 2 * 2 * 768 * 4,
        "lora_mlp": 12 * 2 * (768 + 3072) * 4,
        "vpt": 12 * 10 * 768,
        "vpt_shallow": 10 * 768,
        "ssf": 12 * 2 * (3 + 1 + 4 + 1 + 1 + 1) * 768,
        "ssf_attention": 12 * 2 * (3 + 1) * 768,
        "ssf_mlp": 12 * 2 * (4 + 1) * 768,
        "ssf_norms": 12 * 2 * (1 + 1) * 768,
        "mask": 2 * sum(map(int, (2304 * 0.769, 768 * 0.769, 3072 * 0.769, 768 * 3.073))),
        "norms": 12 * 2 * 2 * 768,
        "bitfit": 12 * (3 + 1 + 1 + 1 + 4 + 1) * 768,
        "none": 0,
    }
    tower = sum(p.numel() for p in unfrozen(task).parameters())
    assert tower == sum(p.numel() for p in vit_b_16.model.visual.parameters()) - 768 * 512
