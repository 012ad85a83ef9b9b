"""Exports of saved models: other libraries compute the logits of `predict` from the files."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import run_benchmarks
from benchmarks.run.model_files import read_model
from benchmarks.run.onnx_files import PACKAGES
from tests.benchmarks.small import DATA, load_on_cpu

MISSING = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
ONNX = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")
ROWS = [
    "full_finetune",
    "clip_lora",
    "lift (adapter=lora)",
    "lift (adapter=ssf)",
    "gla (mode=weights)",
    "lift (adapter=adaptformer)",
    "linear_probe",
]


SWEEP = """
methods:
  - full_finetune
  - clip_lora
  - linear_probe
  - lift: {adapter: lora}
  - lift: {adapter: ssf}
  - lift: {adapter: adaptformer}
  - gla: {mode: weights, base_method: full_finetune, base_fields: ""}
"""


@pytest.fixture(scope="module")
def saved(clip_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of several methods with their models, and a folder of images in it."""
    out = tmp_path_factory.mktemp("exported")
    (out / "s.yaml").write_text(SWEEP)
    flags = ["--config", str(out / "s.yaml"), "--backbone", f"local-dir:{clip_folder}", *DATA]
    flags += ["--protocol", "equal", "--device", "cpu", "--out", str(out), "--save-model"]
    assert run_benchmarks.main([*flags, "--seeds", "0"]) == 0
    pixels = np.random.default_rng(0).integers(0, 256, (3, 40, 50, 3), dtype=np.uint8)
    (out / "images").mkdir()
    for i, one in enumerate(pixels):
        Image.fromarray(one).save(out / "images" / f"{i}.png")
    return out


def export(saved: Path, row: str, to: Path) -> int:
    images = ["--images", str(saved / "images")]
    return run_benchmarks.main(["export", str(saved), "--method", row, "--to", str(to), *images])


def predicted(saved: Path, row: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """(3, 4) probabilities in the order of the classes, and the names."""
    capsys.readouterr()
    words = ["predict", str(saved), str(saved / "images"), "--method", row, "--json"]
    assert run_benchmarks.main(words) == 0
    images = json.loads(capsys.readouterr().out)["images"]
    by_name = [{e["class"]: e["probability"] for e in image["classes"]} for image in images]
    return by_name


@pytest.mark.parametrize("row", ROWS[:5])
def test_weights_in_open_clips_layout(
    row: str, saved: Path, clip_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Loaded as `local-dir:`, the tower and the classifier beside it give `predict`'s classes."""
    folder = shutil.copytree(clip_folder, tmp_path / "mine")
    file = folder / "open_clip_model.safetensors"
    before = load_file(file)
    assert export(saved, row, file) == 0
    assert "Logits differ from those of `predict` by at most" in capsys.readouterr().out
    assert load_file(file).keys() == before.keys()
    backbone = load_on_cpu(f"local-dir:{folder}")
    images = [Image.open(saved / "images" / f"{i}.png") for i in range(3)]
    pixels = torch.stack([backbone.transform(image) for image in images])
    with safe_open(folder / "open_clip_model.head.safetensors", framework="pt") as opened:
        texts = {name: json.loads(text) for name, text in opened.metadata().items()}
        weight, bias = opened.get_tensor("weight"), opened.get_tensor("bias")
    model: Any = backbone.model
    if texts["reads"] == "pooled":
        model.visual.proj = None
    with torch.no_grad():
        x = model.visual(pixels)
    x = torch.nn.functional.normalize(x, dim=-1) if texts["normalised"] else x
    probabilities = (x @ weight.T + bias).softmax(-1)
    for found, wanted in zip(probabilities, predicted(saved, row, tmp_path, capsys), strict=True):
        by_name = [wanted[name] for name in texts["class_names"]]
        np.testing.assert_allclose(found.numpy(), by_name, atol=1e-4)


@ONNX
@pytest.mark.parametrize("row", ROWS)
def test_onnx(row: str, saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import onnxruntime

    assert export(saved, row, tmp_path / "m.onnx") == 0
    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"))
    texts = session.get_modelmeta().custom_metadata_map
    mean, std = (np.array(json.loads(texts["preprocess"])[name]) for name in ("mean", "std"))
    pixels = np.zeros((5, 3, 32, 32), dtype=np.float32) - (mean / std)[:, None, None]
    (logits,) = session.run(None, {"images": pixels.astype(np.float32)})
    assert logits.shape == (5, 4)
    assert json.loads(texts["class_names"]) == list(
        read_model(next((saved / "models").iterdir())).about.class_names
    )
    assert "Logits differ from those of `predict` by at most" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("lift (adapter=adaptformer)", "has AdaptFormer in its tower"),
        ("linear_probe", "leaves the weights of local-dir:small_clip"),
    ],
)
def test_what_open_clips_layout_has_no_place_for(
    row: str, reason: str, saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(saved, row, tmp_path / "m.safetensors") == 2
    error = capsys.readouterr().err
    assert reason in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_file_with_other_logits_is_not_written(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """A weight that is written wrongly is seen, and files of an earlier export stay."""
    from benchmarks.cli.parts import exported

    write = exported.write_tower

    def wrong(file: Path, *rest: Any) -> None:
        write(file, *rest)
        state = load_file(file)
        state["visual.ln_post.weight"] = state["visual.ln_post.weight"].roll(1)
        save_file(state, file)

    monkeypatch.setattr(exported, "write_tower", wrong)
    earlier = {tmp_path / "m.safetensors": b"tower", tmp_path / "m.head.safetensors": b"head"}
    for file, content in earlier.items():
        file.write_bytes(content)
    assert export(saved, "full_finetune", tmp_path / "m.safetensors") == 2
    assert "gives other logits than `predict`" in capsys.readouterr().err
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == earlier


def test_the_saved_model_itself_is_not_replaced(
    saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = next(
        file for file in (saved / "models").iterdir()
        if read_model(file).about.method == "full_finetune"
    )  # fmt: skip
    before = model.read_bytes()
    assert run_benchmarks.main(["export", str(model), "--to", str(model)]) == 2
    assert "this is the saved model itself" in capsys.readouterr().err
    assert model.read_bytes() == before


def test_arguments_of_export(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(saved, "linear_probe", tmp_path / "m.pt") == 2
    assert "name a file that ends in .onnx or .safetensors" in capsys.readouterr().err
    if MISSING:
        assert export(saved, "linear_probe", tmp_path / "m.onnx") == 2
        assert "pip install -e '.[onnx]'" in capsys.readouterr().err
