"""Our forward pass of timm's ViTs and of CoCa's against open_clip's, and slots in their blocks."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from benchmarks.backbones import Backbone
from benchmarks.conformance.tiny import tiny_task
from benchmarks.errors import NotApplicable
from benchmarks.towers import image
from methods.parts.image.adapters import Adapter, AdaptFormer, LowRank, Slots, prompt_tokens
from methods.parts.image.finetune import AdapterKind, adapted, unfrozen
from methods.parts.image.vit import AdaptedViT, project_to_width, vit
from tests.methods.towers import COCA, TIMM, backbone, in_timm, pictures

pytestmark = pytest.mark.numeric

FAMILIES = TIMM | COCA
OTHERS: dict[str, dict[str, Any]] = {
    "resnet": {"layers": [1, 1, 1, 1], "width": 16, "image_size": 64},
    "convnext": {"timm_model_name": "test_convnext", "timm_pool": "", "timm_proj": "linear"},
    "vitamin": in_timm(
        "vitamin_small_224", "", "linear", img_size=64, patch_size=1, embed_dim=384, num_heads=6,
        depth=1,
    ) | {"image_size": 64},
    "normalised queries": {"qk_norm": True},
    "scaled mlp": {"scale_fc": True},
    "two poolings": {
        "attentional_pool": "parallel", "attn_pooler_heads": 2, "width": 10, "head_width": 5,
    },
    "timm, normalised queries": in_timm("vit_base_patch16_224", "token", qk_norm=True),
}  # fmt: skip
TIMM_NAMES = pytest.mark.parametrize("family", TIMM)


def theirs_of(visual: Any, images: Tensor) -> Tensor:
    out = visual(images)
    return out[0] if isinstance(out, tuple) else out


@pytest.mark.parametrize("family", FAMILIES)
def test_forward_and_all_gradients_equal_open_clips(family: str) -> None:
    frozen = backbone(**FAMILIES[family])
    visual: Any = vit(frozen)
    images = pictures(frozen).requires_grad_()
    with torch.no_grad():
        expected, folded = theirs_of(visual, images), image.pooled(visual, images)
        torch.testing.assert_close(image.projected(visual, folded), expected, atol=1e-9, rtol=1e-9)

    visual.requires_grad_()
    names, trained = zip(*visual.named_parameters(), strict=True)
    weights = torch.randn_like(expected)

    def gradients(features: Tensor) -> tuple[Tensor | None, ...]:
        wanted = [images, *trained]
        return torch.autograd.grad((features * weights).sum(), wanted, allow_unused=True)

    theirs = gradients(theirs_of(visual, images))
    ours = gradients(image.projected(visual, image.pooled(visual, images)))
    for name, a, b in zip(("images", *names), ours, theirs, strict=True):
        if b is None:
            assert a is None, name
        else:
            torch.testing.assert_close(a, b, atol=1e-8, rtol=1e-8, msg=name)
            assert name.endswith(("k_proj.bias", "kv.bias")) or float(b.abs().max()) > 1e-4, name


@pytest.mark.parametrize("family", OTHERS)
def test_other_towers_run_in_open_clips_pass(family: str) -> None:
    frozen = backbone(dtype=torch.float32, **OTHERS[family])
    visual: Any = frozen.model.visual
    assert not image.supports(visual)
    images = pictures(frozen)
    expected = theirs_of(visual, images)
    assert torch.equal(AdaptedViT(visual).train()(images), expected)
    assert torch.equal(image.projected(visual, expected), expected)


# ---- slots --------------------------------------------------------------------------------------


class Beside(nn.Module):
    """In parallel to the attention: a linear layer and a record of its tokens per image."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)
        self.tokens = 0

    def forward(self, x: Tensor, tokens: int) -> Tensor:
        self.tokens = tokens
        return self.linear(x)


def slots_for(frozen: Backbone, *, prompts: int) -> list[Slots]:
    """Every part in every block, none of them neutral."""
    tower = image.reader(frozen.model.visual)
    w = tower.width
    layers = tower.layers(tower.blocks[0], torch.float64)
    up, down = len(layers.up.weight), layers.down.weight.shape[1]
    torch.manual_seed(3)
    parts = [
        Slots(
            attention=Beside(w), query=LowRank(w, 2, i), key=LowRank(w, 2, 9 + i),
            value=LowRank(w, 3, i), up=LowRank(w, 2, i, up), down=LowRank(down, 2, i, w),
            prompts=prompt_tokens(w, tower.patch, prompts, i) if prompts else None,
            after_mlp=Adapter(w, 2, i), mlp=AdaptFormer(w, 2, i),
        ).double()
        for i in range(len(tower.blocks))
    ]  # fmt: skip
    with torch.no_grad():
        for parameter in nn.ModuleList(parts).parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return parts


class Reference(nn.Module):
    """A timm block with slots, in the plainest terms: prompts are tokens before the patches."""

    def __init__(self, block: Any, slots: Any, prefix: int) -> None:
        super().__init__()
        self.block, self.slots, self.prefix = block, slots, prefix
        self.late = type(block).__name__ == "EvaBlockPostNorm"
        attn = block.attn
        if hasattr(attn, "num_prefix_tokens") and slots.prompts is not None:
            attn.num_prefix_tokens = prefix + len(slots.prompts)
        changes = [self._change(low) for low in (slots.query, slots.key, slots.value)]
        if attn.qkv is None:
            for linear, change in zip(
                (attn.q_proj, attn.k_proj, attn.v_proj), changes, strict=True
            ):
                linear.weight += change
        else:
            attn.qkv.weight += torch.cat(changes)
        mlp, change = block.mlp, self._change(slots.up)
        if hasattr(mlp, "fc1_g"):
            mlp.fc1_g.weight += change[: len(change) // 2]
            mlp.fc1_x.weight += change[len(change) // 2 :]
        else:
            mlp.fc1.weight += change
        mlp.fc2.register_forward_pre_hook(lambda module, read: setattr(self, "hidden", read[0]))

    def _change(self, low: Any) -> Tensor:
        return (low.a @ low.b).detach().T / len(low.b)

    def forward(self, x: Tensor, **known: Any) -> Tensor:
        block, slots, p = self.block, self.slots, self.prefix
        read = nn.Identity() if self.late else block.norm1
        tokens, count = x, 0
        if slots.prompts is not None:
            count = len(slots.prompts)
            tokens = torch.cat([x[:, :p], slots.prompts.expand(len(x), -1, -1), x[:, p:]], 1)
        mixed = block.attn(read(tokens), **known)
        mixed = self._end(block, 1, torch.cat([mixed[:, :p], mixed[:, p + count :]], 1))
        h = x + mixed + slots.attention.linear(read(x))
        out = self._end(block, 2, block.mlp(h if self.late else block.norm2(h)))
        out = out + slots.down(self.hidden)
        plain = (h - h.mean(-1, keepdim=True)) / (
            h.var(-1, unbiased=False, keepdim=True) + (1e-5 if self.late else block.norm2.eps)
        ).sqrt()
        return h + out + slots.after_mlp(out) + slots.mlp(plain)

    def _end(self, block: Any, which: int, x: Tensor) -> Tensor:
        """The norm or the layer scale behind a branch."""
        if self.late:
            return getattr(block, f"norm{which}")(x)
        scale = getattr(block, f"ls{which}", None)
        gamma = getattr(block, f"gamma_{which}", None)
        return scale(x) if scale is not None else x if gamma is None else gamma * x


@TIMM_NAMES
@pytest.mark.parametrize("prompts", [0, 5])
def test_every_slot_has_its_place_in_timms_blocks(family: str, prompts: int) -> None:
    frozen = backbone(**TIMM[family])
    visual: Any = frozen.model.visual
    slots = slots_for(frozen, prompts=prompts)
    images = pictures(frozen)
    reference: Any = copy.deepcopy(visual)
    trunk = reference.trunk
    wrapped = [
        Reference(block, part, trunk.num_prefix_tokens)
        for block, part in zip(trunk.blocks, slots, strict=True)
    ]
    trunk.blocks = type(trunk.blocks)(*wrapped) if isinstance(trunk.blocks, nn.Sequential) else (
        nn.ModuleList(wrapped)
    )  # fmt: skip
    expected = reference(images)
    tower = AdaptedViT(visual, slots)
    ours = image.projected(visual, tower(images))
    torch.testing.assert_close(ours, expected, atol=1e-8, rtol=1e-8)
    assert not torch.allclose(ours, visual(images), atol=1e-2)
    last = image.reader(visual).reads_first
    assert (slots[-1].attention.tokens == 1) == last and slots[0].attention.tokens > 1

    # The low-rank parts are merged into the reference's weights, without gradients.
    merged = (".query.", ".key.", ".value.", ".up.a", ".up.b")
    named = {n: p for n, p in tower.named_parameters() if not any(part in n for part in merged)}
    weights = torch.randn_like(expected)
    theirs, mine = (
        torch.autograd.grad((out * weights).sum(), list(named.values())) for out in (expected, ours)
    )
    for name, a, b in zip(named, mine, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=1e-8, rtol=1e-8, msg=name)


@pytest.mark.parametrize("family", FAMILIES)
def test_shallow_prompts_have_no_place_among_the_patches(family: str) -> None:
    """Behind the patches or among the class tokens: no position, and the pooling omits them."""
    frozen = backbone(**FAMILIES[family])
    visual: Any = frozen.model.visual
    prompts = nn.Parameter(torch.randn(4, image.reader(visual).width, dtype=torch.float64))
    images = pictures(frozen)
    ours = AdaptedViT(visual, prompts=prompts)(images)
    assert not torch.allclose(ours, AdaptedViT(visual)(images), atol=1e-3)
    again = AdaptedViT(visual, prompts=nn.Parameter(prompts.detach().flip(0)))(images)
    torch.testing.assert_close(ours, again, atol=1e-9, rtol=1e-9)


# ---- kinds of adapters, heads -------------------------------------------------------------------


@pytest.mark.parametrize(
    "family", ["siglip", "pe-core", "eva01", "eva02", "eva02 enormous", "dinov3", "coca"]
)
def test_every_kind_of_adapter_runs_or_says_why_not(family: str) -> None:
    frozen = backbone(dtype=torch.float32, **FAMILIES[family])
    task = dataclasses.replace(tiny_task()[0], backbone=frozen)
    images = pictures(frozen)
    plain = AdaptedViT(vit(frozen))(images)
    without = set()
    for kind in get_args(AdapterKind):
        try:
            tower = adapted(task, kind, prompts=2, mask=0.1)
        except NotApplicable as refusal:
            assert "\n" not in str(refusal)
            without.add(kind)
            continue
        out = tower(images)
        neutral = kind.partition("_")[0] not in ("vpt", "ssf")
        assert torch.allclose(out, plain, atol=1e-4) == neutral, kind
        if kind != "none":
            gradients = torch.autograd.grad(out.square().sum(), list(tower.parameters()))
            assert any(float(gradient.abs().max()) > 0 for gradient in gradients), kind
    # A scale and a shift need a bias, which the keys of EVA and DINOv3 do not have.
    no_bias = family in ("eva01", "eva02", "eva02 enormous", "dinov3")
    assert without == ({"ssf", "ssf_attention"} if no_bias else set())


@pytest.mark.parametrize("family", FAMILIES)
def test_a_token_that_gets_all_attention_goes_to_the_joint_space(family: str) -> None:
    """Differences of tokens, since biases cancel; without the MLP and the norm after a pooling."""
    frozen = backbone(**FAMILIES[family])
    visual: Any = frozen.model.visual
    tower = image.reader(visual)
    norm, to_joint = tower.to_joint()
    assert isinstance(norm, nn.LayerNorm)
    x = torch.randn(2, 1, tower.width, dtype=torch.float64)
    gain: Any = 1.0
    if getattr(visual, "attn_pool", None) is not None:
        gain, visual.ln_post = visual.ln_post.weight, nn.Identity()
    elif getattr(visual.trunk, "attn_pool", None) is not None:
        visual.trunk.attn_pool.mlp = nn.Sequential(nn.Linear(tower.width, tower.width).double())
        nn.init.zeros_(visual.trunk.attn_pool.mlp[0].weight)
    prefix = getattr(getattr(visual, "trunk", None), "num_prefix_tokens", 1)
    tokens = x.expand(-1, prefix + 3, -1)
    pooled = tower.pool(tokens[:, :1] if tower.reads_first else tokens) * gain
    seen = image.projected(visual, pooled)
    with torch.no_grad():
        expected = (norm(x[0, 0]) - norm(x[1, 0])) @ to_joint.to(x)
        torch.testing.assert_close(seen[0] - seen[1], expected, atol=1e-8, rtol=1e-8)


def test_heads_start_at_texts_projected_to_the_width() -> None:
    frozen = backbone(dtype=torch.float32, **TIMM["eva02"])
    visual: Any = frozen.model.visual
    texts = torch.randn(4, 10)
    rows = texts / texts.norm(dim=1, keepdim=True) @ visual.trunk.head.weight  # (4, 24)
    expected = rows / rows.norm(dim=1, keepdim=True)
    torch.testing.assert_close(project_to_width(visual, texts), expected, atol=1e-6, rtol=0)
    for other in (TIMM["siglip"], OTHERS["resnet"]):  # the pooled output is in the joint space
        found = project_to_width(backbone(**other).model.visual, texts)
        torch.testing.assert_close(found, texts / texts.norm(dim=1, keepdim=True))


def test_the_whole_of_any_tower_is_trained_but_for_what_no_head_reads() -> None:
    for settings, unread in (
        (TIMM["eva02"], {"trunk.head.weight", "trunk.head.bias"}),
        (TIMM["linear after average"], {"head.proj.weight"}),
        (TIMM["siglip"], set()), (COCA["coca"], {"proj"}), (OTHERS["resnet"], set()),
        (OTHERS["convnext"], set()),
    ):  # fmt: skip
        frozen = backbone(dtype=torch.float32, **settings)
        task = dataclasses.replace(tiny_task()[0], backbone=frozen)
        known = dict(frozen.model.visual.named_parameters())
        trained = sum(p.numel() for p in unfrozen(task).parameters())
        assert trained == sum(p.numel() for name, p in known.items() if name not in unread)
    with pytest.raises(NotApplicable, match="trained blocks have no place in the image tower"):
        unfrozen(task, "blocks")


@pytest.mark.parametrize("family", FAMILIES)
def test_parts_that_are_zero_leave_the_output_bit_equal(family: str) -> None:
    frozen = backbone(dtype=torch.float32, **FAMILIES[family])
    tower = image.reader(frozen.model.visual)
    parts = [
        Slots(mlp=AdaptFormer(tower.width, 2, i), query=LowRank(tower.width, 2, i))
        for i in range(len(tower.blocks))
    ]
    images = pictures(frozen)
    with torch.no_grad():
        plain = AdaptedViT(vit(frozen))(images)
        assert torch.equal(AdaptedViT(vit(frozen), parts)(images), plain)
