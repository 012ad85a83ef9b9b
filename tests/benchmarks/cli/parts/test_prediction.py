from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import run_benchmarks
from benchmarks.datasets.families.glyphs import Glyphs
from benchmarks.datasets.families.glyphscenes import GlyphScenes
from benchmarks.errors import UserError
from benchmarks.run.model_files import checksum, model_file, read_model
from methods.registry import METHODS
from results.store import Store
from tests.benchmarks.damage import damages
from tests.benchmarks.small import DATA, FIELDS

SINGLE = sorted(
    name
    for name, entry in METHODS.entries().items()
    if "single" in entry.options.get("tasks", ("single",))
)


def _run(methods: str, out: Path, folder: Path, *more: str) -> dict[str, Path]:
    """The record of each method, run with --save-model."""
    flags = ["--methods", methods, "--backbone", f"local-dir:{folder}", "--seeds", "1"]
    flags += ["--protocol", "equal", "--device", "cpu", "--out", str(out), "--save-model", *more]
    assert run_benchmarks.main(flags) == 0
    files = list((out / "records").glob("*.json"))
    return {json.loads(file.read_text("utf-8"))["method"]: file for file in files}


def _write(data: Any, folder: Path) -> None:
    """Write the test images as files named by their index."""
    folder.mkdir()
    for i in range(len(data.test)):
        Image.fromarray(data.test.images.read(i)).save(folder / f"{i:03}.png")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small world's test images."""
    folder = tmp_path_factory.mktemp("predict") / "images"
    _write(Glyphs(**FIELDS).load(Path(), 0), folder)  # type: ignore[arg-type]
    return folder


@pytest.fixture(scope="module")
def records(clip_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every single-label method on the small world."""
    short = [
        f"--set={name}.{field}={value}"
        for name in SINGLE
        for field, value in METHODS.get(name).quick.items()
    ]
    return _run(",".join(SINGLE), tmp_path_factory.mktemp("saved"), clip_folder, *DATA, *short)


@pytest.mark.parametrize("method", SINGLE)
def test_predictions_equal_those_of_the_run(
    method: str, records: dict[str, Path], images: Path, tmp_path: Path
) -> None:
    file, out = records[method], tmp_path / "p.csv"
    assert (
        run_benchmarks.main(["predict", str(file), "--images", str(images), "--out", str(out)]) == 0
    )
    table = pd.read_csv(out)
    assert table["path"].tolist() == [f"{i:03}.png" for i in range(16)]
    record = json.loads(file.read_text("utf-8"))
    arrays = Store(file.parent.parent).predictions(record["key"])
    names = np.array(record["class_names"])
    for rank in range(4):
        probabilities = table[f"probability_{rank + 1}"]
        np.testing.assert_allclose(probabilities, arrays["top5_prob"][:, rank], atol=2e-5)
        clear = rank == 0 or (arrays["top5_prob"][:, rank - 1] - probabilities > 1e-4)
        clear &= (rank == 3) | (
            arrays["top5_prob"][:, rank] - arrays["top5_prob"][:, min(rank + 1, 3)] > 1e-4
        )
        same = table[f"class_{rank + 1}"].to_numpy() == names[arrays["top5"][:, rank]]
        assert same[clear].all()


def test_predictions_come_from_the_saved_weights(
    records: dict[str, Path], images: Path, tmp_path: Path
) -> None:
    """Changed weights in the file change the predictions: the method is not trained again."""
    file = records["lift"]
    model = model_file(file.parent.parent, file.stem)
    whole = model.read_bytes()
    with safe_open(model, framework="pt") as opened:  # type: ignore[no-untyped-call]
        metadata = opened.metadata()
    kept = load_file(model)
    (weight,) = (name for name in kept if name.endswith("head.weight"))
    changed = kept | {weight: kept[weight].flip(0).contiguous()}
    try:
        save_file(changed, model, metadata | {"sha256": checksum(changed, metadata)})
        out = tmp_path / "p.csv"
        flags = ["predict", str(file), "--images", str(images), "--out", str(out)]
        assert run_benchmarks.main(flags) == 0
    finally:
        model.write_bytes(whole)
    record = json.loads(file.read_text("utf-8"))
    arrays = Store(file.parent.parent).predictions(record["key"])
    flipped = np.array(record["class_names"])[::-1][arrays["top5"][:, 0]]
    assert pd.read_csv(out)["class_1"].tolist() == flipped.tolist()


def test_content_of_a_model_file(records: dict[str, Path]) -> None:
    files = {m: model_file(f.parent.parent, f.stem) for m, f in records.items()}
    held = {method: read_model(file) for method, file in files.items()}
    assert [len(held[m].stages) for m in ("lift", "crt", "prototype", "zero_shot")] == [1, 2, 2, 0]
    assert held["zero_shot"].last == {}
    for method, model in held.items():
        cost = json.loads(records[method].read_text("utf-8"))["cost"]["trainable_params"]
        tensors = [*model.last.values(), *(t for stage in model.stages for t in stage.values())]
        if model.stages:  # what was not trained by the loop, `predict` fits again
            assert sum(t.numel() for t in tensors) >= cost
    # Without the frozen tower: 2 blocks of width 32 with their adapters and a head.
    lift = sum(t.numel() for t in held["lift"].last.values())
    assert lift == json.loads(records["lift"].read_text("utf-8"))["cost"]["trainable_params"]


def test_a_damaged_model_is_refused_by_name(
    records: dict[str, Path], images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = model_file(records["linear_probe"].parent.parent, records["linear_probe"].stem)
    expected = read_model(file)
    copy = tmp_path / file.name
    copy.write_bytes(file.read_bytes())
    unseen = []
    for damage in damages(copy, flips=60, seed=0):
        try:
            read = read_model(copy)
        except UserError as error:
            assert str(error).startswith(f"{copy}: damaged, or not a "), damage
        else:
            unseen.append(damage)
            assert read.origin == expected.origin
            assert all(torch.equal(t, expected.last[n]) for n, t in read.last.items())
    assert len(unseen) <= 1  # padding of the header
    # The model of another cell under this one's name.
    record = records["ncm"]
    other = model_file(record.parent.parent, record.stem)
    whole = other.read_bytes()
    try:
        other.write_bytes(file.read_bytes())
        flags = ["--images", str(images), "--out", str(tmp_path / "p.csv")]
        assert run_benchmarks.main(["predict", str(record), *flags]) == 2
    finally:
        other.write_bytes(whole)
    assert f"{other}: the model of another cell; run " in capsys.readouterr().err


def test_multi_label_scores(clip_folder: Path, tmp_path: Path) -> None:
    world = {"classes": 4, "n_max": 54, "imbalance": 5, "test_per_class": 8}
    data = [w for n, v in world.items() for w in ("--set", f"glyphscenes_lt.{n}={v}")]
    found = _run("linear_probe", tmp_path / "o", clip_folder, "--datasets", "glyphscenes_lt", *data)
    _write(GlyphScenes(**world).load(Path(), 0), tmp_path / "images")  # type: ignore[arg-type]
    out = tmp_path / "new" / "p.csv"
    file = found["linear_probe"]
    flags = ["predict", str(file), "--images", str(tmp_path / "images"), "--out", str(out)]
    assert run_benchmarks.main(flags) == 0
    arrays = Store(tmp_path / "o").predictions(file.stem)
    table = pd.read_csv(out)
    names = json.loads(file.read_text("utf-8"))["class_names"]
    assert list(table) == ["path", *names]
    np.testing.assert_allclose(table[names].to_numpy(), arrays["scores"], atol=1e-4)


def test_classes_with_the_same_name_have_separate_columns(
    clip_folder: Path, tmp_path: Path
) -> None:
    """Two classes share a name in prompts, and one has the name of the column of paths."""
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3), dtype=np.uint8)
    rows = ["path,label,split"]
    (tmp_path / "images").mkdir()
    for i, label in enumerate(("mouse;file", "rodent", "mouse", "file;rodent") * 2):
        Image.fromarray(pixels[i]).save(tmp_path / "images" / f"{i}.png")
        rows.append(f"{i}.png,{label},{'train' if i < 4 else 'test'}")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    (tmp_path / "d.yaml").write_text(
        "{task: multi, table: labels.csv, images: images, "
        "classes: {mouse: mouse, rodent: mouse, file: path}}"
    )
    typed, out = str(tmp_path / "d.yaml"), tmp_path / "p.csv"
    found = _run("linear_probe", tmp_path / "o", clip_folder, "--datasets", typed)["linear_probe"]
    flags = ["predict", str(found), "--images", str(tmp_path / "images"), "--out", str(out)]
    assert run_benchmarks.main(flags) == 0
    table = pd.read_csv(out)
    columns = ["mouse (0)", "mouse (1)", "path (2)"]
    assert list(table) == ["path", *columns]
    assert table["path"].tolist() == [f"{i}.png" for i in range(8)]
    scores = Store(tmp_path / "o").predictions(found.stem)["scores"]  # of the last four
    np.testing.assert_allclose(table[columns].to_numpy()[4:], scores, atol=1e-4)


# ---- what a hurried user gets wrong --------------------------------------------------------------


def test_damaged_images_are_left_out_and_named(
    records: dict[str, Path], images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "mixed"
    (folder / "below").mkdir(parents=True)
    (folder / "below" / "good.PNG").write_bytes((images / "000.png").read_bytes())
    (folder / "bad.jpg").write_bytes(b"")
    (folder / ".hidden.png").write_bytes(b"")
    (folder / "notes.txt").write_text("no image")
    out = tmp_path / "p.csv"
    flags = ["predict", str(records["ncm"]), "--images", str(folder), "--out", str(out)]
    assert run_benchmarks.main(flags) == 1
    assert "Left out: " in (shown := capsys.readouterr().out)
    assert "bad.jpg: the file is empty." in shown
    assert pd.read_csv(out)["path"].tolist() == ["below/good.PNG"]


def test_an_unwritable_output_is_refused_before_and_after_the_work(
    records: dict[str, Path], images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def flags(out: Path) -> list[str]:
        return ["predict", str(records["ncm"]), "--images", str(images), "--out", str(out)]

    def full(self: object, *_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("benchmarks.run.bench.Bench.load", None)  # refused before loading
        assert run_benchmarks.main(flags(tmp_path)) == 2
    assert f"Cannot write {tmp_path}: it is a folder" in capsys.readouterr().err
    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    assert run_benchmarks.main(flags(tmp_path / "p.csv")) == 2
    assert "p.csv: No space left on device." in capsys.readouterr().err


def test_bad_arguments_of_predict_end_in_one_line(
    records: dict[str, Path], images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    clip_folder: Path,
) -> None:  # fmt: skip
    def said(*words: str) -> str:
        assert run_benchmarks.main(["predict", *words, "--out", str(tmp_path / "p.csv")]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        return error

    record, here = str(records["ncm"]), ["--images", str(images)]
    assert "cannot be read as a record (No such file" in said(str(tmp_path / "r.json"), *here)
    (tmp_path / "empty").mkdir()
    assert "no images in it" in said(record, "--images", str(tmp_path / "empty"))
    assert "no such folder" in said(record, "--images", str(tmp_path / "nowhere"))
    assert "is a file, not a folder" in said(record, "--images", record)
    assert "cannot be read as a record (not JSON" in said(str(images / "000.png"), *here)
    assert "--images" in said(record)
    (tmp_path / "a.json").write_text("{}")
    assert "cannot be read as a record (not a record" in said(str(tmp_path / "a.json"), *here)
    flags = ["--methods", "ncm", *DATA, "--backbone", f"local-dir:{clip_folder}", "--device", "cpu"]
    assert run_benchmarks.main([*flags, "--out", str(tmp_path / "unsaved")]) == 0
    capsys.readouterr()
    (unsaved,) = (tmp_path / "unsaved" / "records").glob("*.json")
    assert "run the cell again with --save-model --rerun always" in said(str(unsaved), *here)
    flags += ["--out", str(tmp_path / "unsaved"), "--save-model"]
    assert run_benchmarks.main(flags) == 0
    assert "1 finished cell without a saved model: --rerun always" in capsys.readouterr().out
    assert run_benchmarks.main([*flags, "--rerun", "always"]) == 0
    assert "without a saved model" not in capsys.readouterr().out
    assert run_benchmarks.main(flags) == 0
    assert "without a saved model" not in capsys.readouterr().out
    out = ["--out", str(tmp_path / "p.csv")]
    assert run_benchmarks.main(["predict", str(unsaved), *here, *out]) == 0
    capsys.readouterr()
    model = tmp_path / "unsaved" / "models" / f"{unsaved.stem}.safetensors"
    model.write_bytes(b"no tensors")
    assert "damaged, or not a safetensors file" in said(str(unsaved), *here)


def test_changed_weights_are_refused(
    clip_folder: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    from tests.benchmarks.small import make_clip_folder

    weights = tmp_path / "weights"
    shutil.copytree(clip_folder, weights)
    found = _run("linear_probe", tmp_path / "o", weights, *DATA)
    make_clip_folder(weights, seed=5)
    flags = ["predict", str(found["linear_probe"]), "--images", str(images)]
    assert run_benchmarks.main(flags) == 2
    assert "The weights of linear_probe on glyphs100_lt" in capsys.readouterr().err
