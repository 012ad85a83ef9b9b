"""Our forward pass of the ViT against open_clip's, and the places of adapters in it."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.conformance.tiny import tiny_backbone
from benchmarks.errors import NotApplicable
from benchmarks.towers.attention import SHORT
from methods.base import Batch
from methods.parts.heads.linear_classifiers import CosineHead
from methods.parts.image.adapters import AdaptFormer, Slots, Sum
from methods.parts.image.vit import AdaptedClassifier, AdaptedViT, project_to_width, vit, with_own
from tests.methods.towers import TEXT, TOWERS, backbone, pictures


@pytest.mark.parametrize("tower", TOWERS.values(), ids=TOWERS)
def test_forward_and_input_gradient_equal_open_clips(tower):
    frozen = backbone(**tower)
    visual: Any = frozen.model.visual
    images = pictures(frozen).requires_grad_()
    weights = torch.randn(3, 10, dtype=torch.float64)

    theirs = visual(images)
    (their_gradient,) = torch.autograd.grad((theirs * weights).sum(), images)
    ours = AdaptedViT(vit(frozen)).train()(images) @ visual.proj
    (our_gradient,) = torch.autograd.grad((ours * weights).sum(), images)

    torch.testing.assert_close(ours, theirs, atol=1e-10, rtol=1e-10)
    torch.testing.assert_close(our_gradient, their_gradient, atol=1e-10, rtol=1e-10)
    assert float(their_gradient.abs().max()) > 1e-3


def test_both_attention_routes_are_among_the_towers():
    def tokens(**vision: Any) -> int:
        return len(backbone(**vision).model.visual.positional_embedding)

    assert tokens() < SHORT < tokens(image_size=64, patch_size=8)


def test_float32_agrees_with_the_features_of_encode_image():
    frozen = tiny_backbone()
    images = torch.randn(5, 3, 32, 32)
    ours = F.normalize(AdaptedViT(vit(frozen))(images) @ frozen.model.visual.proj, dim=-1)
    torch.testing.assert_close(ours, frozen.encode_images(images), atol=1e-5, rtol=0)


# ---- adapters -----------------------------------------------------------------------------------


def adapters(width: int = 24) -> list[Slots]:
    pairs = ((AdaptFormer(width, 2, seed=i), AdaptFormer(width, 3, seed=9 + i)) for i in range(3))
    return [Slots(mlp=Sum(*pair)) for pair in pairs]


@pytest.mark.parametrize("image_size", [32, 144])
def test_zero_initialised_adapters_leave_the_forward_bit_equal(image_size):
    frozen = backbone(dtype=torch.float32, image_size=image_size)
    images = pictures(frozen)
    with torch.no_grad():
        ours, plain = AdaptedViT(vit(frozen), adapters())(images), AdaptedViT(vit(frozen))(images)
    assert torch.equal(ours, plain)


def test_up_projections_have_a_gradient_at_the_first_step():
    frozen = backbone(dtype=torch.float32)
    tower, head = AdaptedViT(vit(frozen), adapters()), CosineHead(torch.randn(4, 24))
    F.cross_entropy(head(tower(pictures(frozen))), torch.tensor([0, 1, 2])).backward()
    for slots in tower.slots:
        for adapter in slots.mlp.adapters:
            assert float(adapter.up.weight.grad.abs().max()) > 0
    assert float(head.weight.grad.abs().max()) > 0


@pytest.mark.parametrize("vision", [{}, {"ls_init_value": 0.5, "image_size": 64, "patch_size": 8}])
def test_adapters_run_in_parallel_to_the_mlp(vision):
    frozen = backbone(**vision)
    visual: Any = frozen.model.visual
    own = [slots.mlp.double() for slots in adapters()]
    with torch.no_grad():
        for adapter in own:
            for parameter in adapter.parameters():
                parameter.add_(0.3 * torch.randn(parameter.shape))
    images = pictures(frozen)
    x = visual._embeds(images)  # (B, T, W), block by block in open_clip's own terms
    for adapter, block in zip(own, visual.transformer.resblocks, strict=True):
        h = x + block.ls_1(block.attention(block.ln_1(x)))
        # LIFT's form: the adapter reads the residual before the second norm, through its own.
        beside = sum(
            part.scale * part.up(F.relu(part.down(part.norm(h)))) for part in adapter.adapters
        )
        x = h + block.ls_2(block.mlp(block.ln_2(h))) + beside
    expected = visual.ln_post(x)[:, 0]
    ours = AdaptedViT(vit(frozen), [Slots(mlp=a) for a in own])(images)
    torch.testing.assert_close(ours, expected, atol=1e-10, rtol=1e-10)
    assert float((ours - AdaptedViT(vit(frozen))(images)).detach().abs().max()) > 0.01


def test_only_adapters_are_parameters_and_state():
    tower = AdaptedViT(vit(backbone()), adapters())
    assert all(name.startswith("slots.") for name, _ in tower.named_parameters())
    assert all(name.startswith("slots.") for name in tower.state_dict())
    assert not any(
        name.endswith("texts") for name in tower.state_dict()
    )  # frozen texts are not part of the state
    assert not list(AdaptedViT(vit(backbone())).parameters())


def test_one_adapter_per_block():
    with pytest.raises(ValueError, match="one Slots per block"):
        AdaptedViT(vit(backbone()), adapters()[:2])


@pytest.mark.parametrize(
    "vision",
    [
        {"layers": [1, 1, 1, 1], "width": 16, "image_size": 64},  # a ResNet
        {"qk_norm": True},
        {"scale_fc": True},
    ],
    ids=["resnet", "normalised queries", "scaled mlp"],
)
def test_other_towers_are_not_applicable(vision):
    settings = {
        "image_size": 32,
        "patch_size": 16,
        "width": 24,
        "layers": 3,
        "head_width": 8,
    } | vision
    model = open_clip.CLIP(embed_dim=10, vision_cfg=settings, text_cfg=TEXT)
    with pytest.raises(NotApplicable, match="tiny"):
        vit(dataclasses.replace(tiny_backbone(), model=model))


# ---- beside the attention -----------------------------------------------------------------------


class Recorder(nn.Module):
    """Returns twice its input and records it."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Tensor, int]] = []

    def forward(self, x: Tensor, tokens: int) -> Tensor:
        self.calls.append((x, tokens))
        return 2 * x


@pytest.mark.parametrize(
    "vision", [{}, {"pool_type": "avg"}, {"ls_init_value": 0.5}], ids=["class", "average", "scale"]
)
def test_adapters_in_parallel_to_the_attention_have_its_input(vision):
    frozen = backbone(**vision)
    visual: Any = frozen.model.visual
    images = pictures(frozen)
    recorders = [Recorder() for _ in range(3)]
    ours = AdaptedViT(vit(frozen), [Slots(attention=r) for r in recorders])(images)

    x = visual._embeds(images)
    for i, (recorder, block) in enumerate(
        zip(recorders, visual.transformer.resblocks, strict=True)
    ):
        normed = block.ln_1(x)
        read, tokens = recorder.calls[0]
        last = i == 2 and not vision.get("pool_type")  # of which only the class token is read
        assert tokens == (1 if last else 5) and len(recorder.calls) == 1
        expected = normed[:, :1] if last else normed
        torch.testing.assert_close(read, expected.flatten(0, 1), atol=1e-10, rtol=1e-10)
        x = x + block.ls_1(block.attention(normed)) + 2 * normed
        x = x + block.ls_2(block.mlp(block.ln_2(x)))
    x = visual.ln_post(x)
    pooled = x[:, 1:].mean(1) if vision.get("pool_type") else x[:, 0]
    torch.testing.assert_close(ours, pooled, atol=1e-10, rtol=1e-10)


# ---- parameters of one's own --------------------------------------------------------------------


@pytest.mark.parametrize("tower", TOWERS.values(), ids=TOWERS)
def test_gradients_of_all_parameters_equal_open_clips(tower):
    frozen = backbone(**tower)
    before = {n: p.clone() for n, p in frozen.model.visual.named_parameters()}
    images, weights = pictures(frozen), torch.randn(3, 24, dtype=torch.float64)
    own = with_own(vit(frozen), lambda name: name != "proj")
    (AdaptedViT(own)(images) * weights).sum().backward()

    theirs: Any = backbone(**tower).model.visual.requires_grad_()
    theirs.proj = None  # the pooled output itself
    (theirs(images) * weights).sum().backward()
    reference = dict(theirs.named_parameters())
    assert {n for n, p in own.named_parameters() if p.grad is not None} == set(reference)
    for name, parameter in own.named_parameters():
        if name != "proj":
            torch.testing.assert_close(
                parameter.grad, reference[name].grad, atol=1e-9, rtol=1e-9, msg=name
            )
    for name, parameter in frozen.model.visual.named_parameters():
        assert parameter.grad is None and not parameter.requires_grad
        assert torch.equal(parameter, before[name])


def test_a_copy_owns_the_selected_parameters_and_shares_the_others():
    frozen = backbone()
    visual = vit(frozen)
    before = {name: p.clone() for name, p in visual.named_parameters()}
    own = with_own(visual, lambda name: name.endswith("bias"))
    originals, copies = dict(visual.named_parameters()), dict(own.named_parameters())
    assert originals.keys() == copies.keys()
    for name, copied in copies.items():
        if name.endswith("bias"):
            assert copied is not originals[name] and copied.requires_grad
            assert torch.equal(copied, originals[name])
            assert copied.data_ptr() != originals[name].data_ptr()
        else:
            assert copied is originals[name] and not copied.requires_grad
    tower = AdaptedViT(own)
    trained = sum(p.numel() for n, p in copies.items() if n.endswith("bias"))
    assert sum(p.numel() for p in tower.parameters()) == trained
    assert sum(v.numel() for v in tower.state_dict().values()) == trained
    with torch.no_grad():
        for parameter in tower.parameters():
            parameter.add_(1)
    assert all(torch.equal(p, before[name]) for name, p in visual.named_parameters())
    images = pictures(frozen)
    assert not torch.allclose(tower(images), AdaptedViT(visual)(images), atol=1e-3)


def test_the_state_of_a_copy_is_loaded_into_the_tower_that_runs():
    frozen = backbone()
    first, second = (AdaptedViT(with_own(vit(frozen), lambda name: True)) for _ in range(2))
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    second.load_state_dict(first.state_dict())
    images = pictures(frozen)
    assert torch.equal(first(images), second(images))
    assert not torch.allclose(first(images), AdaptedViT(vit(frozen))(images), atol=1e-3)


# ---- head initialisation ------------------------------------------------------------------------


def test_project_to_width_by_hand():
    frozen = backbone(dtype=torch.float32)
    visual: Any = frozen.model.visual
    texts = 3 * torch.randn(4, 10)
    rows = texts.double().numpy()
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    wide = rows @ visual.proj.double().numpy().T
    expected = wide / np.linalg.norm(wide, axis=1, keepdims=True)
    np.testing.assert_allclose(project_to_width(visual, texts).numpy(), expected, atol=1e-5)
    visual.proj = None  # a tower without a projection: the joint space is the width
    torch.testing.assert_close(project_to_width(visual, texts), F.normalize(texts, dim=-1))


def test_the_head_of_an_adapted_classifier_is_never_rounded():
    """bf16 cosines tie, and argmax then picks the first class, which has the most images."""

    class Probe(torch.nn.Module):
        def forward(self, x):
            assert x.dtype == torch.float32
            assert not torch.is_autocast_enabled("cpu")
            return x

    class Rounding(torch.nn.Module):
        def forward(self, images):
            return images.flatten(1).bfloat16()  # as at the end of a tower under autocast

    classifier = AdaptedClassifier(Rounding(), Probe())
    batch = Batch(torch.arange(2), None, torch.randn(2, 3, 2, 2))
    with torch.autocast("cpu", torch.bfloat16):
        assert classifier(batch).dtype == torch.float32
