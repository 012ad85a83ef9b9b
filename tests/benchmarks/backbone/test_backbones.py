"""Loaded backbones and their properties."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from benchmarks.backbones import Backbone
from benchmarks.datasets.registry import DATASETS
from benchmarks.errors import UserError
from tests.benchmarks.small import ARCH, PREPROCESS, load_on_cpu, make_clip_folder

pytestmark = pytest.mark.usefixtures("small_arch")


def test_a_local_folder_is_loaded_unchanged(small: Backbone, clip_folder: Path) -> None:
    saved = load_file(clip_folder / "open_clip_model.safetensors")
    loaded = small.model.state_dict()
    assert loaded.keys() == saved.keys()
    assert all(torch.equal(loaded[name], saved[name]) for name in saved)
    assert not small.model.training
    assert not any(p.requires_grad for p in small.model.parameters())
    assert small.image_size == 32
    assert small.feature_dim == 16
    assert [list(small.preprocess[k]) for k in ("mean", "std")] == [
        PREPROCESS["mean"],
        PREPROCESS["std"],
    ]
    assert small.logit_scale == pytest.approx(1 / 0.07)  # CLIP's initial value
    assert small.knows("anything")


def test_features_are_normalised(small: Backbone) -> None:
    images = small.encode_images(torch.randn(3, 3, 32, 32))
    texts = small.encode_text(["a", "b c", "d"], chunk=2)
    for features in (images, texts):
        assert features.shape == (3, 16)
        assert features.dtype == torch.float32
        torch.testing.assert_close(features.norm(dim=-1), torch.ones(3))
    one_by_one = torch.cat([small.encode_text([t]) for t in ["a", "b c", "d"]])
    torch.testing.assert_close(texts, one_by_one, rtol=1e-4, atol=1e-6)


def test_loading_does_not_change_the_random_state(clip_folder: Path) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    load_on_cpu(f"local-dir:{clip_folder}")
    load_on_cpu(f"{ARCH}/random")
    assert torch.equal(torch.get_rng_state(), before)


def test_random_weights_are_the_same_every_time() -> None:
    torch.manual_seed(1)
    first = load_on_cpu(f"{ARCH}/random")
    torch.manual_seed(2)
    second = load_on_cpu(f"{ARCH}/random", offline=True)
    states = first.model.state_dict(), second.model.state_dict()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not first.knows("cat")


@pytest.mark.parametrize("config", ["{}", "no json", '{"model_cfg": {"embed_dim": 16}}'])
def test_a_local_folder_with_a_bad_configuration(
    clip_folder: Path, tmp_path: Path, config: str
) -> None:
    folder = shutil.copytree(clip_folder, tmp_path / "bad")
    (folder / "open_clip_config.json").write_text(config)
    with pytest.raises(UserError, match="does not load") as caught:
        load_on_cpu(f"local-dir:{folder}")
    assert "\n" not in str(caught.value)


def test_the_default_depends_on_the_data() -> None:
    assert DATASETS.get("glyphs100_lt").default_backbone == "glyph"
    assert DATASETS.get("cifar100_lt").default_backbone == "ViT-B-16-quickgelu/openai"


def test_other_weights_give_other_features(small: Backbone, tmp_path: Path) -> None:
    other = load_on_cpu(f"local-dir:{make_clip_folder(tmp_path, seed=1)}")
    pixels = torch.randn(2, 3, 32, 32)
    assert not torch.allclose(other.encode_images(pixels), small.encode_images(pixels))
    assert isinstance(other.model, nn.Module)
