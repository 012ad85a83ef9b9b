"""Backbones at another image size than that of their weights."""

from __future__ import annotations

from pathlib import Path

import open_clip
import pytest
import timm
import torch
from open_clip.model import ModifiedResNet
from open_clip.timm_model import TimmModel
from safetensors.torch import save_file
from torch.nn import functional as F

from benchmarks.backbone import image_sizes
from benchmarks.backbones import Backbone
from benchmarks.errors import UserError
from tests.benchmarks.small import ARCH, FEATURE, load_on_cpu

pytestmark = pytest.mark.usefixtures("small_arch")


@pytest.mark.numeric
@pytest.mark.parametrize("side", [16, 64, 80])
def test_positions_are_those_of_open_clips_own_loading(clip_folder: Path, side: int) -> None:
    """The reference is open_clip's `force_image_size`, its weights and its forward pass."""
    name = f"local-dir:{clip_folder}"
    loaded = load_on_cpu(name, image_size=side)
    reference = open_clip.create_model(name, force_image_size=side).eval()
    ours, theirs = loaded.model.state_dict(), reference.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    images = torch.randn(2, 3, side, side)
    with torch.no_grad():
        expected = reference.encode_image(images, normalize=True)
    torch.testing.assert_close(loaded.encode_images(images), expected, rtol=0, atol=FEATURE)
    assert loaded.image_size == side
    assert not any(p.requires_grad for p in loaded.model.parameters())


def test_every_form_of_name_takes_a_size(
    small: Backbone, clip_folder: Path, tmp_path: Path
) -> None:
    file = tmp_path / "model.safetensors"
    save_file(small.model.state_dict(), file)
    folder = load_on_cpu(f"local-dir:{clip_folder}", image_size=64)
    of_file = load_on_cpu(f"{ARCH}/{file}", image_size=64)
    key = "visual.positional_embedding"
    assert torch.equal(folder.model.state_dict()[key], of_file.model.state_dict()[key])
    assert load_on_cpu("glyph", image_size=48).image_size == 48
    assert load_on_cpu(f"{ARCH}/random", image_size=64).encode_images(
        torch.randn(1, 3, 64, 64)
    ).shape == (1, 16)


def test_the_transform_follows_the_size(small: Backbone, clip_folder: Path) -> None:
    large = load_on_cpu(f"local-dir:{clip_folder}", image_size=64)
    assert large.preprocess == small.preprocess | {"size": 64}
    assert large.preprocess_hash != small.preprocess_hash
    assert large.id == small.id  # the same weights
    lift = load_on_cpu(f"local-dir:{clip_folder}", "lift", image_size=64).preprocess
    assert (lift["size"], lift["resize"]) == (64, 73)  # 64 * 8 / 7


@pytest.mark.numeric
@pytest.mark.parametrize("arch", ["test_vit", "test_vit3"])
def test_positions_are_those_of_timms_own_loading(arch: str, tmp_path: Path) -> None:
    """The reference is timm's `img_size` with its reader of the same file."""
    file = str(tmp_path / "model.safetensors")
    save_file(timm.create_model(arch).state_dict(), file)
    loaded = load_on_cpu(f"timm:{arch}/{file}", image_size=96)
    reference = timm.create_model(
        arch, pretrained=True, pretrained_cfg_overlay={"file": file}, img_size=96
    ).eval()
    images = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        pooled = reference.forward_head(reference.forward_features(images), pre_logits=True)
    found = loaded.encode_images(images)
    torch.testing.assert_close(found, F.normalize(pooled, dim=-1), rtol=0, atol=FEATURE)
    assert loaded.image_size == 96


def test_towers_of_timm_inside_open_clip() -> None:
    tower = TimmModel("test_vit3", embed_dim=0, image_size=160, pool="map", proj="none").eval()
    image_sizes.resize(tower, 96, "siglip")
    assert tower.image_size == (96, 96)
    assert tower(torch.randn(1, 3, 96, 96)).shape == (1, 96)


def test_convolutional_towers_take_any_size() -> None:
    loaded = load_on_cpu("timm:test_convnext/random", image_size=72)
    assert loaded.encode_images(torch.randn(1, 3, 72, 72)).shape == (1, 64)


@pytest.mark.parametrize(
    ("name", "side", "line"),
    [
        (f"{ARCH}/random", 40, "has patches of 16 pixels, and 40 is no multiple of 16"),
        ("timm:test_vit/random", 40, "has patches of 16 pixels, and 40 is no multiple of 16"),
        ("timm:test_convnext/random", 1, "takes no images of this size"),
    ],
)
def test_a_size_that_does_not_fit_is_refused(name: str, side: int, line: str) -> None:
    with pytest.raises(UserError, match=f"^--image-size {side}: .*{line}") as caught:
        load_on_cpu(name, image_size=side)
    assert "\n" not in str(caught.value)


def test_positions_that_no_library_resizes_are_refused() -> None:
    tower = ModifiedResNet([1, 1, 1, 1], output_dim=16, heads=4, image_size=64, width=8)
    line = "--image-size 96: the position embeddings of a ModifiedResNet cannot be resized."
    with pytest.raises(UserError, match=line):
        image_sizes.resize(tower, 96, "RN50")


def test_a_size_that_timm_fixes_is_refused() -> None:
    tower = TimmModel("test_convnext", embed_dim=8, image_size=160)
    tower.trunk.pretrained_cfg["fixed_input_size"] = True
    with pytest.raises(UserError, match="timm fixes the image size"):
        image_sizes.resize(tower, 96, "mixer")
