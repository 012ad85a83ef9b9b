"""timm's image encoders as backbones: names, weights, features, transforms, no texts."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from timm.data import create_transform, resolve_data_config
from torch.nn import functional as F

from benchmarks import backbones
from benchmarks.backbone import timm_models, timm_names, transforms
from benchmarks.backbone.identify import identify
from benchmarks.backbones import Backbone
from benchmarks.conformance.tiny import tiny_task
from benchmarks.errors import DataMissing, NotApplicable, UserError
from methods.parts.heads.linear_classifiers import class_means, initial_weight
from tests.benchmarks.small import load_on_cpu

VIT = "timm:test_vit"
"""A ViT of 0.4 M parameters, whose weights of timm are r160_in1k."""


@pytest.fixture(scope="module")
def vit() -> Backbone:
    return load_on_cpu(f"{VIT}/random")


# ---- names ---------------------------------------------------------------------------------------


def test_names_are_those_of_timm() -> None:
    # Small models of other tests may be in timm's registry, too.
    theirs = {name for name in timm.list_models() if not name.startswith("small_")}
    assert timm_names.models() == theirs and len(theirs) > 1000
    pretrained = [name.partition(".") for name in timm.list_pretrained()]
    assert len(pretrained) > 1000
    assert all(timm_names.has_weights(arch, tag) for arch, _, tag in pretrained)
    assert not timm_names.has_weights("test_vit", "r160")
    assert timm_names.tags("test_vit") == ["r160_in1k"]


def test_identification_does_not_import_torch() -> None:
    code = (
        "import sys; from benchmarks.backbone.identify import identify; "
        "print(identify('timm:vit_base_patch16_224.augreg_in21k').weights_id); "
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "timm:vit_base_patch16_224.augreg_in21k"


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("timm:test_vt", "Unknown model of timm 'test_vt'. Did you mean: test_vit"),
        ("timm:test_vit.r160", "Unknown weights of timm:test_vit 'r160'. Did you mean: r160_in1k"),
        (VIT, "names no weights: write timm:test_vit.r160_in1k, timm:test_vit/random"),
        (f"{VIT}/nowhere.pt", "no file at nowhere.pt"),
        (f"{VIT}/", "names no weights"),
        ("timm/test_vit.r160_in1k", "timm's model is timm:test_vit.r160_in1k."),
        ("test_vit", "timm's model is timm:test_vit."),
    ],
)
def test_a_wrong_name_is_one_line(name: str, line: str) -> None:
    with pytest.raises(UserError) as caught:
        identify(name)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_name_says_what_is_loaded(tmp_path: Path) -> None:
    file = tmp_path / "model.pt"
    file.write_bytes(b"weights")
    tag, random, own = (
        identify(name) for name in (f"{VIT}.r160_in1k", f"{VIT}/random", f"{VIT}/{file}#ema")
    )
    assert (tag.form, random.form, own.form) == ("tag", "random", "file")
    assert tag.typed == tag.name == tag.weights_id == "timm:test_vit.r160_in1k"
    assert own.typed == f"{VIT}/{file}#ema"
    assert own.name == f"{VIT}/model.pt#ema@{own.weights_id[:8]}"
    assert all(ident.of_timm for ident in (tag, random, own))
    assert not identify("glyph").of_timm


# ---- features ------------------------------------------------------------------------------------


@pytest.mark.numeric
@pytest.mark.parametrize(
    ("name", "pooled"),
    [
        ("test_vit", "token"), ("test_vit2", "avg"), ("test_vit3", "map"), ("test_convnext", "avg"),
        ("test_resnet", "avg"), ("test_efficientnet", "avg"), ("mobilenetv3_small_050", "avg"),
    ],
)  # fmt: skip
def test_the_feature_is_what_the_classifier_reads(name: str, pooled: str) -> None:
    loaded = load_on_cpu(f"timm:{name}/random")
    visual: Any = loaded.model.visual
    assert timm_models.pooling(visual) == pooled
    whole = timm.create_model(name, num_classes=7).eval()
    missing = whole.load_state_dict(visual.trunk.state_dict(), strict=False).missing_keys
    classifier = whole.get_classifier()
    assert len(missing) == 2
    images = torch.randn(2, 3, loaded.image_size, loaded.image_size)
    with torch.no_grad():
        raw = loaded.model.encode_image(images)  # type: ignore[operator]
        torch.testing.assert_close(classifier(raw), whole(images), rtol=1e-4, atol=1e-5)
    assert raw.shape == (2, loaded.feature_dim)
    found = loaded.encode_images(images)
    torch.testing.assert_close(found, F.normalize(raw, dim=-1))
    assert not loaded.model.training
    assert not any(p.requires_grad for p in loaded.model.parameters())


def test_random_weights_are_the_same_every_time(vit: Backbone) -> None:
    torch.manual_seed(1)
    again = load_on_cpu(f"{VIT}/random").model.state_dict()
    assert all(torch.equal(tensor, again[name]) for name, tensor in vit.model.state_dict().items())


# ---- transforms ----------------------------------------------------------------------------------

CONFIGS: dict[str, dict[str, Any]] = {
    name: timm.get_pretrained_cfg(name).to_dict()
    for name in (
        "test_vit.r160_in1k",  # shorter side to 160 / 0.95, bicubic
        "vit_base_patch16_224.augreg_in21k",  # 224 / 0.9
        "vit_small_patch14_dinov2.lvd142m",  # crop_pct 1
        "resnet18.tv_in1k",  # bilinear, 224 / 0.875
        "eva02_base_patch14_448.mim_in22k_ft_in22k",  # squashed
    )
}
CONFIGS["squashed and cropped"] = CONFIGS["test_vit.r160_in1k"] | {"crop_mode": "squash"}
CONFIGS["another size"] = CONFIGS["test_vit.r160_in1k"] | {"input_size": (3, 96, 96)}


@pytest.mark.parametrize("name", CONFIGS)
def test_pixels_are_those_of_timms_evaluation(name: str) -> None:
    config = CONFIGS[name]
    theirs = create_transform(**resolve_data_config(pretrained_cfg=config), is_training=False)
    settings = timm_models.transform_of(config)
    ours = transforms.pipeline(settings)
    draw = np.random.default_rng(0)
    for shape in ((50, 70), (460, 300), (32, 32)):
        image = Image.fromarray(draw.integers(0, 256, (*shape, 3), dtype=np.uint8))
        torch.testing.assert_close(ours(image), theirs(image), rtol=0, atol=1e-6)


def test_another_size_keeps_the_crops_share() -> None:
    config = CONFIGS["test_vit.r160_in1k"]
    smaller = timm_models.transform_of(config | {"input_size": (3, 96, 96)})
    assert timm_models.transform_of(config, 96) == smaller
    assert smaller["resize"] == 101  # 96 / 0.95


def test_images_that_timm_pads_are_refused() -> None:
    with pytest.raises(UserError, match="crop mode 'border' of test_vit is not supported"):
        timm_models.transform_of(CONFIGS["test_vit.r160_in1k"] | {"crop_mode": "border"})


def test_named_transforms(vit: Backbone) -> None:
    lift = load_on_cpu(f"{VIT}/random", "lift").preprocess
    own = {"size": 160, "mean": (0.5,) * 3, "std": (0.5,) * 3}
    assert vit.preprocess == own | {
        "interpolation": "bicubic", "resize_mode": "shortest", "resize": 168
    }  # fmt: skip
    assert lift == own | {
        "interpolation": "bilinear", "resize_mode": "shortest", "resize": 182, "margin": 24
    }  # fmt: skip
    assert "resize" not in load_on_cpu(f"{VIT}/random", "lmpt").preprocess


# ---- files ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained() -> dict[str, torch.Tensor]:
    """The state dict of a trained model, with its classifier of 1,000 classes."""
    torch.manual_seed(3)
    state: dict[str, torch.Tensor] = timm.create_model("test_vit").state_dict()
    return state


def holds(loaded: Backbone, state: dict[str, torch.Tensor]) -> bool:
    """True if a backbone has these weights, except for the classifier."""
    own = {f"visual.trunk.{n}": t for n, t in state.items() if not n.startswith("head.")}
    found = loaded.model.state_dict()
    return found.keys() == own.keys() and all(torch.equal(found[n], own[n]) for n in own)


@pytest.mark.parametrize("form", ["safetensors", "checkpoint", "no classifier"])
def test_weights_of_a_file(form: str, tmp_path: Path, trained: dict[str, torch.Tensor]) -> None:
    name = str(tmp_path / "model.pt")
    if form == "safetensors":
        name = str(tmp_path / "model.safetensors")
        save_file(trained, name)
    elif form == "checkpoint":
        wrapped = {f"module.{key}": tensor for key, tensor in trained.items()}
        noise = {key: torch.zeros_like(tensor) for key, tensor in trained.items()}
        torch.save({"epoch": 3, "state_dict": noise, "state_dict_ema": wrapped}, name)
        name += "#state_dict_ema"
    else:
        torch.save({k: t for k, t in trained.items() if not k.startswith("head.")}, name)
    loaded = load_on_cpu(f"{VIT}/{name}")
    assert holds(loaded, trained)
    assert loaded.preprocess["mean"] == (0.5, 0.5, 0.5)


def test_a_file_of_another_model_is_refused(
    tmp_path: Path, trained: dict[str, torch.Tensor]
) -> None:
    file = tmp_path / "model.pt"
    cases = {
        "the file lacks 1 tensor: cls_token": {
            k: t for k, t in trained.items() if k != "cls_token"
        },
        "the architecture lacks 1 tensor: extra": trained | {"extra": torch.zeros(2)},
        "another size: pos_embed is": trained | {"pos_embed": torch.zeros(1, 50, 64)},
    }
    for line, state in cases.items():
        torch.save(state, file)
        with pytest.raises(UserError, match=line) as caught:
            load_on_cpu(f"{VIT}/{file}")
        assert "\n" not in str(caught.value)


def in_flax(state: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """The weights of the small ViT by the names and in the layouts of Google's files."""
    heads, width = 2, 64

    def of(name: str, *shape: int) -> np.ndarray:
        """A linear layer's weight as (in, out), or a bias or gain, in another shape."""
        found = state[name].T if state[name].ndim == 2 else state[name]
        return found.reshape(shape or found.shape).numpy()

    found = {
        "embedding/kernel": state["patch_embed.proj.weight"].permute(2, 3, 1, 0).numpy(),
        "embedding/bias": of("patch_embed.proj.bias"),
        "cls": of("cls_token"),
        "Transformer/posembed_input/pos_embedding": of("pos_embed"),
        "Transformer/encoder_norm/scale": of("norm.weight"),
        "Transformer/encoder_norm/bias": of("norm.bias"),
    }
    for i in range(6):
        ours, theirs = f"blocks.{i}.", f"Transformer/encoderblock_{i}/"
        for norm, name in (("norm1", "LayerNorm_0"), ("norm2", "LayerNorm_2")):
            found[f"{theirs}{name}/scale"] = of(f"{ours}{norm}.weight")
            found[f"{theirs}{name}/bias"] = of(f"{ours}{norm}.bias")
        attention = f"{theirs}MultiHeadDotProductAttention_1/"
        for part, name in enumerate(("query", "key", "value")):
            rows = slice(part * width, (part + 1) * width)
            kernel = state[f"{ours}attn.qkv.weight"][rows].T.reshape(width, heads, -1)
            found[f"{attention}{name}/kernel"] = kernel.numpy()
            bias = state[f"{ours}attn.qkv.bias"][rows].reshape(heads, -1)
            found[f"{attention}{name}/bias"] = bias.numpy()
        found[f"{attention}out/kernel"] = of(
            f"{ours}attn.proj.weight", heads, width // heads, width
        )
        found[f"{attention}out/bias"] = of(f"{ours}attn.proj.bias")
        for layer, name in (("fc1", "Dense_0"), ("fc2", "Dense_1")):
            found[f"{theirs}MlpBlock_3/{name}/kernel"] = of(f"{ours}mlp.{layer}.weight")
            found[f"{theirs}MlpBlock_3/{name}/bias"] = of(f"{ours}mlp.{layer}.bias")
    return found


def test_weights_of_a_file_of_googles(tmp_path: Path, trained: dict[str, torch.Tensor]) -> None:
    file = tmp_path / "ViT.npz"
    arrays = in_flax(trained)
    np.savez(file, **arrays)
    assert holds(load_on_cpu(f"{VIT}/{file}"), trained)
    short = arrays["Transformer/posembed_input/pos_embedding"][:, :50]
    np.savez(file, **arrays | {"Transformer/posembed_input/pos_embedding": short})
    with pytest.raises(UserError, match="another size: Transformer/posembed_input/pos_embedding"):
        load_on_cpu(f"{VIT}/{file}")
    np.savez(file, **in_flax(trained))
    scaled = timm.create_model("test_vit", num_classes=0, init_values=1e-5)
    with pytest.raises(ValueError, match=r"the file lacks blocks\.0\.ls1\.gamma"):
        timm_models._fill_from_flax(scaled, file)  # timm would leave them as they are
    with pytest.raises(UserError, match=r"timm reads no \.npz files for this model"):
        load_on_cpu(f"timm:test_resnet/{file}")


def test_a_file_needs_a_tag_where_weights_have_different_transforms(tmp_path: Path) -> None:
    file = tmp_path / "model.pt"
    torch.save({}, file)
    with pytest.raises(UserError, match=r"write timm:vit_base_patch16_224\.TAG/FILE|TAG/FILE"):
        load_on_cpu(f"timm:vit_base_patch16_224/{file}")


# ---- the hub -------------------------------------------------------------------------------------


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache with timm's weights of the small ViT; returns the folder of its files."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    model = tmp_path / "models--timm--test_vit.r160_in1k"
    (model / "snapshots" / "abc").mkdir(parents=True)
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text("abc")
    return model / "snapshots" / "abc"


def test_cached_weights_load_offline(hub: Path, trained: dict[str, torch.Tensor]) -> None:
    save_file(trained, hub / "model.safetensors")
    assert holds(load_on_cpu(f"{VIT}.r160_in1k", offline=True), trained)
    assert backbones.download(f"{VIT}.r160_in1k").endswith("weights are in place.")


def test_weights_that_are_not_here(hub: Path) -> None:
    with pytest.raises(
        DataMissing, match=r"--offline.*run_benchmarks.py download timm:test_vit"
    ) as e:
        load_on_cpu(f"{VIT}.r160_in1k", offline=True)
    assert "--backbone timm:test_vit.r160_in1k/FILE" in str(e.value)
    shutil.rmtree(hub)


def test_cached_weights_of_another_model_are_refused(
    hub: Path, trained: dict[str, torch.Tensor]
) -> None:
    save_file({k: t for k, t in trained.items() if k != "cls_token"}, hub / "model.safetensors")
    with pytest.raises((UserError, DataMissing), match="cls_token"):
        load_on_cpu(f"{VIT}.r160_in1k", offline=True)


# ---- no texts ------------------------------------------------------------------------------------


def test_what_needs_texts_does_not_apply(vit: Backbone) -> None:
    small = load_on_cpu(f"{VIT}/random", image_size=32)
    line = r"^needs texts, and timm:test_vit/random has no text tower$"
    task, _ = tiny_task(backbone=small)
    assert not small.has_text
    for asked in (
        lambda: small.encode_text(["a ring"]),
        lambda: small.logit_scale,
        task.text_features,
        lambda: task.text_cache(["a ring"]),
        lambda: initial_weight(task, "text", 64),
    ):
        with pytest.raises(NotApplicable, match=line):
            asked()
    means = class_means(task)
    features, labels = task.train.features(), task.train.labels
    expected = torch.stack([features[labels == c].mean(0) for c in range(4)])
    torch.testing.assert_close(means, expected)
    task.counts[3] = 0
    with pytest.raises(NotApplicable, match="without training images has no mean, and timm:test"):
        class_means(task)
