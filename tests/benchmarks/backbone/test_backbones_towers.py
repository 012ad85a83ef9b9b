"""Towers other than CLIP's ViT (SigLIP, ResNet, ConvNeXt), run from the command line.

Methods on features and those that train a whole tower run on all of them; methods that need blocks
for adapters, or a text tower like CLIP's, report that they do not apply.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import timm
import torch
from safetensors.torch import save_file

import run_benchmarks
from benchmarks.backbone import hub, weight_files
from benchmarks.backbone.identify import identify
from benchmarks.conformance.tiny import tiny_task
from methods.registry import METHODS
from methods.zero_shot import ZeroShot
from results.store import Store
from tests.benchmarks.small import MODEL, load_on_cpu, pixels_of

TEXT: Any = MODEL["text_cfg"]
VISION: Any = MODEL["vision_cfg"]
SIGLIP_TEXT = TEXT | {
    "no_causal_mask": True,
    "proj_bias": True,
    "pool_type": "last",
    "norm_kwargs": {"eps": 1e-06},
}
SIGLIP = {"embed_dim": 16, "init_logit_bias": -10, "custom_text": True, "text_cfg": SIGLIP_TEXT}
TOWERS: dict[str, dict[str, Any]] = {
    "siglip": SIGLIP | {"vision_cfg": VISION | {"attentional_pool": True, "attn_pooler_heads": 2}},
    # As open_clip's ViT-B-16-SigLIP, on timm's own small ViT of 160 pixels and 64 channels.
    "siglip-timm": SIGLIP
    | {
        "embed_dim": 64,
        "vision_cfg": {
            "image_size": 160,
            "timm_model_name": "test_vit",
            "timm_pool": "map",
            "timm_proj": "none",
        },
    },
    "resnet": {
        "embed_dim": 16,
        "quick_gelu": True,
        "vision_cfg": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "patch_size": None},
        "text_cfg": TEXT,
    },
    "convnext": {
        "embed_dim": 16,
        "vision_cfg": {
            "image_size": 160,
            "timm_model_name": "test_convnext",
            "timm_pool": "",
            "timm_proj": "linear",
        },
        "text_cfg": TEXT,
    },
}
FEW = {"classes": 4, "n_max": 8, "imbalance": 4, "test_per_class": 1}
IMAGES = [word for name, n in FEW.items() for word in ("--set", f"glyphs100_lt.{name}={n}")]
EVERY = np.arange(8)
FEATURES = "zero_shot,ncm,linear_probe,logit_adjustment,tau_norm,tip_adapter,clip_adapter,prototype"
PROMPTS = "coop,lmpt"
BLOCKS = "lift,sage,crt,lws"


@pytest.fixture(scope="module")
def tower(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Makes a folder with a model of random weights, for `local-dir:`."""
    root = tmp_path_factory.mktemp("towers")

    def make(name: str) -> Path:
        folder = root / name
        if folder.is_dir():
            return folder
        config = dict(TOWERS[name])
        custom = config.pop("custom_text", False)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = (open_clip.CustomTextCLIP if custom else open_clip.CLIP)(**config)
        folder.mkdir()
        preprocess = {"mean": [0.5] * 3, "std": [0.5] * 3}
        if custom:
            preprocess["resize_mode"] = "squash"  # type: ignore[assignment]
        written = {"model_cfg": TOWERS[name], "preprocess_cfg": preprocess}
        (folder / "open_clip_config.json").write_text(json.dumps(written), encoding="utf-8")
        save_file(model.state_dict(), folder / "open_clip_model.safetensors")
        return folder

    return make


@pytest.mark.parametrize(
    ("name", "done", "not_applicable"),
    [
        ("siglip", f"{FEATURES},{BLOCKS},full_finetune", PROMPTS),
        ("siglip-timm", "zero_shot,lift,sage", "coop"),
        ("resnet", f"{FEATURES},{PROMPTS},full_finetune", BLOCKS),
        ("convnext", "zero_shot,linear_probe,coop,full_finetune", "lift,sage"),
    ],
    ids=TOWERS,
)
def test_the_methods_that_run_on_each_tower(
    tower: Callable[[str], Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    done: str,
    not_applicable: str,
) -> None:
    methods = f"{done},{not_applicable}"
    words = ["--methods", methods, "--datasets", "glyphs100_lt", *IMAGES]
    words += [f"--set={m}.epochs=2" for m in methods.split(",") if "epochs" in METHODS.fields(m)]
    words += ["--backbone", f"local-dir:{tower(name)}", "--protocol", "equal", "--seeds", "0"]
    words += ["--device", "cpu", "--offline", "--out", str(tmp_path)]
    assert run_benchmarks.main(words) == 0
    said = " ".join(capsys.readouterr().out.split())
    records, _ = Store(tmp_path).all()
    found = {record.method: record for record in records}
    assert found.keys() == {*done.split(","), *not_applicable.split(",")}
    for method in done.split(","):
        assert found[method].status == "done", found[method].error
    for method in not_applicable.split(","):
        assert found[method].status == "not_applicable", found[method].error
        tower_of = "text tower" if method in PROMPTS.split(",") else "image tower"
        reason = found[method].error or ""
        assert f"the {tower_of} of local-dir:{name}@" in reason
        # Methods with one reason share a footnote.
        assert re.search(rf"\b{method}[\w, ]* ‡: not applicable: {re.escape(reason)}", said)


@pytest.mark.parametrize("name", ["siglip", "siglip-timm"])
def test_siglip_scores_with_scale_and_bias(tower: Callable[[str], Path], name: str) -> None:
    loaded = load_on_cpu(f"local-dir:{tower(name)}")
    assert loaded.logit_bias == -10.0
    side = loaded.image_size
    pixels = pixels_of(loaded, [np.full((40, 70, 3), v, np.uint8) for v in (0, 90, 255)])
    assert pixels.shape == (3, 3, side, side)
    tokens = open_clip.get_tokenizer("ViT-B-32", context_length=32)(["a cat", "a long red boat"])
    with torch.no_grad():
        expected, _ = loaded.model.get_logits(pixels, tokens)
    scores = loaded.encode_images(pixels) @ loaded.encode_text(["a cat", "a long red boat"]).T
    torch.testing.assert_close(loaded.logit_scale * scores + loaded.logit_bias, expected)
    torch.testing.assert_close((loaded.logit_scale * scores).softmax(-1), expected.softmax(-1))


def test_multi_label_scores_of_siglip_are_logits_of_its_probabilities(
    tower: Callable[[str], Path],
) -> None:
    loaded = load_on_cpu(f"local-dir:{tower('siglip')}")
    task, test = tiny_task(kind="multi", backbone=loaded)
    with torch.no_grad():
        found = ZeroShot(ensemble=False).fit(task).logits(test.batch(EVERY, needs="features"))
        images = test.batch(EVERY, needs="images").inputs
        prompts = [task.texts.templates[0].format(name) for name in task.texts.class_names]
        expected, _ = loaded.model.get_logits(images, loaded.tokenizer(prompts))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    single, samples = tiny_task(backbone=loaded)
    batch = samples.batch(EVERY, needs="features")
    without = loaded.logit_scale * batch.inputs @ single.text_features().T
    torch.testing.assert_close(ZeroShot().fit(single).logits(batch), without)


@pytest.mark.slow
def test_random_weights_have_the_transform_of_the_published_ones() -> None:
    loaded = load_on_cpu("MobileCLIP-S1/random")
    published = open_clip.get_pretrained_cfg("MobileCLIP-S1", "datacompdr")
    assert published["std"] == (1.0, 1.0, 1.0)  # not CLIP's
    assert {key: loaded.preprocess[key] for key in ("mean", "std", "interpolation")} == {
        key: published[key] for key in ("mean", "std", "interpolation")
    }


SIGLIPS = [pair for pair in open_clip.list_pretrained() if "SigLIP" in pair[0]]


@pytest.mark.parametrize(("arch", "tag"), SIGLIPS)
def test_the_settings_of_siglip_come_from_its_configuration(arch: str, tag: str) -> None:
    """Settings of open_clip for each checkpoint agree with those of timm's tower and with ours."""
    config, published = open_clip.get_model_config(arch), open_clip.get_pretrained_cfg(arch, tag)
    vision, text = config["vision_cfg"], config["text_cfg"]
    theirs = timm.get_pretrained_cfg(vision["timm_model_name"])
    assert theirs.input_size == (3, vision["image_size"], vision["image_size"])
    own = {key: published[key] for key in ("mean", "std", "interpolation", "resize_mode")}
    assert own == {
        "mean": (0.5,) * 3, "std": (0.5,) * 3, "interpolation": "bicubic", "resize_mode": "squash"
    }  # fmt: skip
    random = identify(f"{arch}/random")
    assert hub.text_settings(random) == text
    (need,) = hub.needs(random)
    assert (need.what, need.repository) == ("tokenizer", text["hf_tokenizer_name"])
    assert vision["timm_pool"] == "map"
    assert config["init_logit_bias"] == -10


def test_only_siglip_has_a_bias(tower: Callable[[str], Path]) -> None:
    for name in ("resnet", "convnext"):
        assert load_on_cpu(f"local-dir:{tower(name)}").logit_bias is None


def test_a_bias_missing_from_the_file_is_an_error(tower: Callable[[str], Path]) -> None:
    """open_clip's reader would use zero."""
    weights = weight_files.read(tower("siglip") / "open_clip_model.safetensors").tensors
    without = {name: tensor for name, tensor in weights.items() if name != "logit_bias"}
    with pytest.raises(ValueError, match="the file lacks 1 tensor: logit_bias"):
        weight_files.load_into(load_on_cpu(f"local-dir:{tower('siglip')}").model, without)


def test_text_towers_of_the_older_naming() -> None:
    """Files from before the text tower had its own prefix; a bias as a one-element vector."""
    torch.manual_seed(1)
    config = {"embed_dim": 16, "vision_cfg": VISION, "text_cfg": TEXT, "init_logit_bias": -10}
    older = open_clip.CLIP(**config).state_dict()
    model = open_clip.CustomTextCLIP(**config)
    weight_files.load_into(model, older | {"logit_bias": older["logit_bias"].reshape(1)})
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, older[name.removeprefix("text.")]), name
