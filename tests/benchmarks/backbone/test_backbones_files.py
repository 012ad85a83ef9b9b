"""Checkpoint files in all common formats, loaded strictly."""

from __future__ import annotations

import hashlib
import json
import warnings
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from torch import Tensor, nn

from benchmarks.backbones import Backbone
from benchmarks.errors import DataMissing, UserError
from tests.benchmarks.small import ARCH, MODEL, load_on_cpu

pytestmark = pytest.mark.usefixtures("small_arch")


@pytest.mark.parametrize("ending", ["pt", "safetensors"])
def test_a_checkpoint_file(tmp_path: Path, ending: str) -> None:
    from safetensors.torch import save_file

    torch.manual_seed(7)
    state = open_clip.CLIP(**MODEL).state_dict()
    file = tmp_path / f"mine.{ending}"
    (save_file if ending == "safetensors" else torch.save)(state, file)
    loaded = load_on_cpu(f"{ARCH}/{file}")
    found = loaded.model.state_dict()
    assert all(torch.equal(found[name], state[name]) for name in state)
    assert loaded.id.form == "file"


@pytest.mark.parametrize("case", ["a tensor missing", "another shape", "junk", "empty", "a list"])
@pytest.mark.parametrize("ending", ["pt", "safetensors"])
def test_a_checkpoint_file_that_does_not_fit(tmp_path: Path, case: str, ending: str) -> None:
    from safetensors.torch import save_file

    state = dict(open_clip.CLIP(**MODEL).state_dict())
    file = tmp_path / f"mine.{ending}"
    if case == "a tensor missing":
        del state["visual.proj"]
    elif case == "another shape":
        state["visual.proj"] = torch.zeros(32, 8)
    (save_file if ending == "safetensors" else torch.save)(state, file)
    if case in ("junk", "empty"):
        file.write_bytes(b"junk" * 10 if case == "junk" else b"")
    elif case == "a list":
        torch.save([1, 2], file)
    with pytest.raises(UserError, match=r"does not load: .") as caught:
        load_on_cpu(f"{ARCH}/{file}")
    assert not isinstance(caught.value, DataMissing)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_position_embeddings_are_not_resized(tmp_path: Path) -> None:
    """open_clip's reader would silently do so, to fit images of another size."""
    model = MODEL | {"vision_cfg": MODEL["vision_cfg"] | {"image_size": 64}}  # type: ignore[operator]
    file = tmp_path / "larger.pt"
    torch.save(open_clip.CLIP(**model).state_dict(), file)
    with pytest.raises(UserError, match=r"visual.positional_embedding is 17 × 32 in the file"):
        load_on_cpu(f"{ARCH}/{file}")


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("parallel", [False, True])
def test_wrappers_around_a_state_dict(tmp_path: Path, wrapped: bool, parallel: bool) -> None:
    torch.manual_seed(7)
    state = dict(open_clip.CLIP(**MODEL).state_dict())
    before = "module." if parallel else ""
    saved: dict[str, Any] = {before + name: tensor for name, tensor in state.items()}
    if wrapped:  # a training checkpoint of open_clip
        saved = {"epoch": 3, "name": "a run", "state_dict": saved, "optimizer": {"lr": 0.1}}
    torch.save(saved, tmp_path / "mine.pt")
    loaded = load_on_cpu(f"{ARCH}/{tmp_path / 'mine.pt'}").model.state_dict()
    assert all(torch.equal(loaded[name], state[name]) for name in state)


# ---- OpenAI's naming -----------------------------------------------------------------------------

Shapes = dict[str, tuple[int, ...]]
VIT, RESNET = f"{ARCH}-quickgelu", "small-resnet-of-the-tests"


def _linear(name: str, inputs: int, outputs: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _transformer(name: str, width: int, layers: int) -> Shapes:
    found: Shapes = {}
    for i in range(layers):
        block = f"{name}.resblocks.{i}"
        found |= {f"{block}.attn.in_proj_weight": (3 * width, width)}
        found |= {f"{block}.attn.in_proj_bias": (3 * width,)}
        found |= _linear(f"{block}.attn.out_proj", width, width)
        found |= _norm(f"{block}.ln_1", width) | _norm(f"{block}.ln_2", width)
        found |= _linear(f"{block}.mlp.c_fc", width, 4 * width)
        found |= _linear(f"{block}.mlp.c_proj", 4 * width, width)
    return found


def _vit(side: int, patch: int, width: int, layers: int, joint: int) -> Shapes:
    """The image tower's tensors in the published ViT-B-16.pt, for other sizes."""
    return {
        "visual.class_embedding": (width,),
        "visual.positional_embedding": ((side // patch) ** 2 + 1, width),
        "visual.proj": (width, joint),
        "visual.conv1.weight": (width, 3, patch, patch),
        **_norm("visual.ln_pre", width),
        **_transformer("visual.transformer", width, layers),
        **_norm("visual.ln_post", width),
    }


def _batch_norm(name: str, width: int) -> Shapes:
    found = {f"{name}.{kind}": (width,) for kind in ("weight", "bias")}
    found |= {f"{name}.{kind}": (width,) for kind in ("running_mean", "running_var")}
    return found | {f"{name}.num_batches_tracked": ()}


def _resnet(side: int, width: int, joint: int) -> Shapes:
    """The image tower's tensors in the published RN50.pt, for one block per stage."""
    found: Shapes = {}
    stem = (3, width // 2, width // 2, width)
    for i in (1, 2, 3):
        found |= {f"visual.conv{i}.weight": (stem[i], stem[i - 1], 3, 3)}
        found |= _batch_norm(f"visual.bn{i}", stem[i])
    inputs = width
    for stage in range(4):
        block, planes = f"visual.layer{stage + 1}.0", width * 2**stage
        sizes = [(inputs, planes, 1), (planes, planes, 3), (planes, 4 * planes, 1)]
        for i, (a, b, kernel) in enumerate(sizes):
            found |= {f"{block}.conv{i + 1}.weight": (b, a, kernel, kernel)}
            found |= _batch_norm(f"{block}.bn{i + 1}", b)
        found |= {f"{block}.downsample.0.weight": (4 * planes, inputs, 1, 1)}
        found |= _batch_norm(f"{block}.downsample.1", 4 * planes)
        inputs = 4 * planes
    found |= {"visual.attnpool.positional_embedding": ((side // 32) ** 2 + 1, inputs)}
    for name in ("q_proj", "k_proj", "v_proj"):
        found |= _linear(f"visual.attnpool.{name}", inputs, inputs)
    return found | _linear("visual.attnpool.c_proj", inputs, joint)


def _text(length: int, width: int, layers: int, joint: int) -> Shapes:
    return {
        "positional_embedding": (length, width),
        "text_projection": (width, joint),
        "logit_scale": (),
        "token_embedding.weight": (49408, width),
        **_norm("ln_final", width),
        **_transformer("transformer", width, layers),
    }


def _openai(shapes: Shapes, side: int, length: int) -> dict[str, Tensor]:
    """Random values, in half precision as in OpenAI's files, and the three extra numbers."""
    generator = torch.Generator().manual_seed(3)
    state = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    for name in state:
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(7)
        elif state[name].ndim > 1 and "embedding" not in name:
            state[name] = state[name].half()
    state["input_resolution"] = torch.tensor(side)
    state["context_length"] = torch.tensor(length)
    state["vocab_size"] = torch.tensor(49408)
    return state


def _save(state: dict[str, Tensor], file: Path, form: str) -> None:
    if form == "state dict":
        torch.save(state, file)
    elif form == "wrapped":
        torch.save({"state_dict": {f"module.{name}": t for name, t in state.items()}}, file)
    else:
        _save_torchscript(state, file)


class _Tree(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x


def _save_torchscript(state: dict[str, Tensor], file: Path) -> None:
    """Write an archive like those of OpenAI, whose modules contain these tensors."""
    root = _Tree()
    for name, tensor in state.items():
        *path, last = name.split(".")
        node: nn.Module = root
        for part in path:
            if part not in node._modules:
                node.add_module(part, _Tree())
            node = node.get_submodule(part)
        node.register_buffer(last, tensor)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch deprecates TorchScript
        torch.jit.save(torch.jit.trace(root, torch.zeros(1)), str(file))


@pytest.fixture(scope="module")
def archs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Tensor]]:
    """Two small architectures with QuickGELU, and a state dict in OpenAI's naming for each."""
    folder = tmp_path_factory.mktemp("configs")
    resnet = {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "patch_size": None}
    for arch, vision in ((VIT, MODEL["vision_cfg"]), (RESNET, resnet)):
        config = MODEL | {"quick_gelu": True, "vision_cfg": vision}
        (folder / f"{arch}.json").write_text(json.dumps(config), encoding="utf-8")
    open_clip.add_model_config(folder)
    text = _text(length=32, width=8, layers=1, joint=16)
    return {
        VIT: _openai(_vit(32, 16, 32, 2, 16) | text, 32, 32),
        RESNET: _openai(_resnet(32, 8, 16) | text, 32, 32),
    }


def _same(loaded: Backbone, state: dict[str, Tensor]) -> None:
    """Check that all tensors of the model equal the file's, and that all of them are used."""
    found = loaded.model.state_dict()
    extras = {"input_resolution", "context_length", "vocab_size"}
    assert found.keys() == state.keys() - extras
    for name, tensor in found.items():
        assert tensor.dtype == (torch.int64 if name.endswith("tracked") else torch.float32), name
        assert torch.equal(tensor, state[name].to(tensor.dtype)), name


@pytest.mark.parametrize("form", ["state dict", "wrapped", "TorchScript"])
@pytest.mark.parametrize("arch", [VIT, RESNET])
def test_openai_naming(
    archs: dict[str, dict[str, Tensor]], tmp_path: Path, arch: str, form: str
) -> None:
    _save(archs[arch], tmp_path / "published.pt", form)
    loaded = load_on_cpu(f"{arch}/{tmp_path / 'published.pt'}")
    _same(loaded, archs[arch])
    assert isinstance(loaded.model.visual, nn.Module)
    assert any(type(module).__name__ == "QuickGELU" for module in loaded.model.modules())
    assert loaded.preprocess["mean"] == (0.48145466, 0.4578275, 0.40821073)
    assert loaded.preprocess["resize_mode"] == "shortest"
    assert loaded.encode_images(torch.zeros(1, 3, 32, 32)).shape == (1, 16)


@pytest.mark.parametrize("form", ["state dict", "TorchScript"])
@pytest.mark.parametrize("case", ["missing", "extra"])
def test_openai_naming_is_loaded_strictly(
    archs: dict[str, dict[str, Tensor]], tmp_path: Path, case: str, form: str
) -> None:
    state = dict(archs[VIT])
    if case == "missing":
        del state["ln_final.bias"], state["visual.proj"]
        says = "the file lacks 2 tensors: ln_final.bias, visual.proj$"
    else:
        state["visual.adapter"] = torch.zeros(2)
        says = "the architecture lacks 1 tensor: visual.adapter$"
    _save(state, tmp_path / "published.pt", form)
    with pytest.raises(UserError, match=says) as caught:
        load_on_cpu(f"{VIT}/{tmp_path / 'published.pt'}")
    assert "\n" not in str(caught.value)


def test_openai_naming_requires_quickgelu(
    archs: dict[str, dict[str, Tensor]], tmp_path: Path
) -> None:
    """open_clip builds the architecture with GELU, without a warning."""
    file = tmp_path / "published.pt"
    for form in ("state dict", "wrapped", "TorchScript"):
        _save(archs[VIT], file, form)
        with pytest.raises(UserError, match=f"trained with QuickGELU; use {VIT}/{file}"):
            load_on_cpu(f"{ARCH}/{file}")
    plain = {n: t for n, t in archs[VIT].items() if n not in ("context_length", "vocab_size")}
    del plain["input_resolution"]
    torch.save(plain, file)  # the origin is unknown: the architecture decides
    _same(load_on_cpu(f"{ARCH}/{file}"), plain)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["state dict", "TorchScript"])
def test_openai_naming_at_full_size(tmp_path: Path, form: str) -> None:
    """ViT-B/16: 149,620,737 parameters."""
    text = _text(length=77, width=512, layers=12, joint=512)
    state = _openai(_vit(224, 16, 768, 12, 512) | text, 224, 77)
    assert sum(tensor.numel() for tensor in state.values()) == 149_620_737 + 3
    _save(state, tmp_path / "ViT-B-16.pt", form)
    _same(load_on_cpu(f"ViT-B-16-quickgelu/{tmp_path / 'ViT-B-16.pt'}"), state)
    with pytest.raises(UserError, match="use ViT-B-16-quickgelu/"):
        load_on_cpu(f"ViT-B-16/{tmp_path / 'ViT-B-16.pt'}")


# ---- the transform of a file ---------------------------------------------------------------------


def test_a_files_transform_is_that_of_its_architecture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file itself does not contain it."""
    file = tmp_path / "mine.pt"
    torch.save(open_clip.CLIP(**MODEL).state_dict(), file)
    keys = ("mean", "std", "interpolation", "resize_mode")
    one = dict(zip(keys, ((0.5,) * 3, (0.5,) * 3, "bilinear", "squash"), strict=True))
    other = one | {"resize_mode": "shortest"}
    table = open_clip.pretrained._PRETRAINED
    monkeypatch.setitem(table, ARCH, {"a": one, "b": dict(one)})
    loaded = load_on_cpu(f"{ARCH}/{file}")
    assert {key: loaded.preprocess[key] for key in keys} == one
    assert loaded.preprocess["size"] == (32, 32)
    monkeypatch.setitem(table, ARCH, {"a": one, "b": other})
    with pytest.raises(UserError, match=r"different preprocessing.*local-dir:FOLDER"):
        load_on_cpu(f"{ARCH}/{file}")
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    url = f"https://openaipublic.azureedge.net/clip/models/{sha256}/b.pt"
    monkeypatch.setitem(table, ARCH, {"a": one, "b": other | {"url": url}})
    assert load_on_cpu(f"{ARCH}/{file}").preprocess["resize_mode"] == "shortest"


def test_openai_naming_implies_openais_transform(
    archs: dict[str, dict[str, Tensor]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if other weights of the architecture were trained with another one."""
    _save(archs[VIT], tmp_path / "published.pt", "state dict")
    other = {"mean": (0.5,) * 3, "std": (0.5,) * 3, "interpolation": "bilinear"}
    entry = other | {"resize_mode": "squash", "quick_gelu": True}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, VIT, {"a": entry})
    loaded = load_on_cpu(f"{VIT}/{tmp_path / 'published.pt'}")
    assert loaded.preprocess["std"] == (0.26862954, 0.26130258, 0.27577711)
    assert loaded.preprocess["interpolation"] == "bicubic"
    assert loaded.preprocess["resize_mode"] == "shortest"
