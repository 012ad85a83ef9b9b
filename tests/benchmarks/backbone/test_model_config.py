"""A folder of a model from elsewhere: its configuration leads to no code and fills no memory."""

from __future__ import annotations

import json
import os
import shutil
import sys
import types
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch

from benchmarks.backbone import model_config
from benchmarks.backbone.identify import identify
from benchmarks.backbone.open_clip_tables import config, models
from benchmarks.errors import UserError
from tests.benchmarks.small import load_on_cpu


@pytest.fixture
def folder(tmp_path: Path, clip_folder: Path) -> Path:
    return Path(shutil.copytree(clip_folder, tmp_path / "model"))


def _set(folder: Path, tower: str, **entries: Any) -> Path:
    file = folder / "open_clip_config.json"
    data = json.loads(file.read_text("utf-8"))
    (data["model_cfg"][tower] if tower else data["model_cfg"]).update(entries)
    file.write_text(json.dumps(data), encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("tower", "entries", "says"),
    [
        ("text_cfg", {"layers": 10**9}, "layers is 1e.09, beyond 10,000"),
        ("vision_cfg", {"layers": [1, 1, 10**9, 1]}, "layers is 1e.09, beyond"),
        ("vision_cfg", {"width": 10**12}, "width is 1e.12, beyond"),
        ("text_cfg", {"vocab_size": 10**12}, "vocab_size is 1e.12, beyond 10,000,000"),
        ("text_cfg", {"context_length": 10**6}, "context_length is 1e.06, beyond"),
        ("text_cfg", {"width": 9_000, "layers": 9_000}, "million parameters or more, and 1 file"),
        ("vision_cfg", {"width": 9_000, "layers": 9_000}, "million parameters or more"),
        ("vision_cfg", {"image_size": 9_000, "patch_size": 1}, "million parameters or more"),
        ("text_cfg", {"layers": -(10**9)}, "beyond"),
        ("text_cfg", {"layers": "many"}, "."),
        ("text_cfg", {"tokenizer_kwargs": {"trust_remote_code": True}}, "may run code; remove it"),
        ("text_cfg", {"tokenizer_kwargs": {"use_fast": False}}, "'use_fast', which may run code"),
        ("text_cfg", {"tokenizer_kwargs": [1]}, "tokenizer_kwargs is not a mapping"),
        ("text_cfg", {"hf_model_name": "../../evil"}, "not the name of a published model"),
        ("text_cfg", {"hf_model_name": "/tmp/evil"}, "not the name of a published model"),
        ("text_cfg", {"hf_tokenizer_name": 3}, "not the name of a published model"),
        ("vision_cfg", {"timm_model_name": "hf-hub:a/b"}, "not the name of a published model"),
        ("vision_cfg", {"timm_model_name": "local-dir:/tmp"}, "not the name of a published model"),
        ("", {"vision_cfg": None}, "vision_cfg is not a mapping"),
        ("", {"embed_dim": None}, "."),
    ],
)
def test_a_configuration_that_attacks(folder: Path, tower: str, entries: Any, says: str) -> None:
    file = _set(folder, tower, **entries)
    with pytest.raises(ValueError, match=says) as caught:
        model_config.refuse_unsafe(file, [folder / "open_clip_model.safetensors"])
    assert str(file) in str(caught.value)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "[1]", "{}", '{"model_cfg": 1}', "", '{"a": NaN}', "\xff\0\xfe"]
)
def test_a_configuration_that_is_none(folder: Path, text: str) -> None:
    (folder / "open_clip_config.json").write_text(text, encoding="latin1")
    with pytest.raises(UserError, match=r"does not load: .*open_clip_config.json") as caught:
        load_on_cpu(f"local-dir:{folder}")
    assert "\n" not in str(caught.value)


def test_all_published_configurations_are_accepted(tmp_path: Path) -> None:
    """Their weights would be larger than any limit, so no file of weights is given."""
    file = tmp_path / "open_clip_config.json"
    for name in models():
        file.write_text(json.dumps({"model_cfg": config(name)}), encoding="utf-8")
        model_config.refuse_unsafe(file, [])


def test_the_estimate_is_below_the_parameters_of_a_model() -> None:
    for name in ("ViT-S-32", "ViT-B-32"):
        settings = config(name)
        settings["text_cfg"]["vocab_size"] = settings["vision_cfg"]["layers"] = 3
        with torch.device("meta"):  # without the memory
            model = open_clip.CLIP(**settings)
        size = sum(p.numel() for p in model.parameters())
        towers = settings["vision_cfg"], settings["text_cfg"]
        assert size / 4 < model_config._parameters(settings["embed_dim"], *towers) < size


def test_a_tokenizer_of_the_hub_never_runs_code(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without `trust_remote_code=False` its loader asks at the terminal, and may be told yes."""
    _set(folder, "text_cfg", hf_tokenizer_name="org/name")
    (folder / "tokenizer.json").write_text("{}")
    asked: list[dict[str, Any]] = []

    class AutoTokenizer:
        @staticmethod
        def from_pretrained(_: Any, **arguments: Any) -> object:
            asked.append(arguments)
            return object()

    fake = types.ModuleType("transformers")
    fake.AutoTokenizer = AutoTokenizer  # type: ignore[attr-defined]
    fake.__spec__ = types.SimpleNamespace(name="transformers")  # type: ignore[assignment]
    monkeypatch.setitem(sys.modules, "transformers", fake)
    load_on_cpu(f"local-dir:{folder}")
    assert [arguments["trust_remote_code"] for arguments in asked] == [False]


def test_links_out_of_the_folder_are_refused(tmp_path: Path, folder: Path) -> None:
    weights = folder / "open_clip_model.safetensors"
    outside = weights.rename(tmp_path / "elsewhere")
    weights.symlink_to(outside)
    with pytest.raises(UserError, match=r"is a link to .*elsewhere, outside the folder; copy"):
        identify(f"local-dir:{folder}")
    weights.unlink()
    (folder / "blob").write_bytes(outside.read_bytes())
    weights.symlink_to("blob")
    (tmp_path / "linked").symlink_to(folder)  # the folder itself may be a link
    assert identify(f"local-dir:{tmp_path / 'linked'}").name.startswith("local-dir:model@")


def test_the_links_of_the_hubs_cache_are_followed(tmp_path: Path, folder: Path) -> None:
    snapshot = tmp_path / "models--org--name" / "snapshots" / "0123abc"
    snapshot.mkdir(parents=True)
    (snapshot.parents[1] / "blobs").mkdir()
    for i, file in enumerate(folder.iterdir()):
        file.rename(snapshot.parents[1] / "blobs" / str(i))
        (snapshot / file.name).symlink_to(f"../../blobs/{i}")
    assert identify(f"local-dir:{snapshot}").name.startswith("local-dir:0123abc@")


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_weights_without_end_are_not_read(folder: Path, kind: str) -> None:
    weights = folder / "open_clip_model.safetensors"
    weights.unlink()
    if kind == "pipe":
        os.mkfifo(weights)
    else:
        weights.symlink_to("/dev/zero")
    with pytest.raises(UserError, match=r"not a regular file|outside the folder"):
        identify(f"local-dir:{folder}")
