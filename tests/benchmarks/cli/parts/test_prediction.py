from __future__ import annotations

import json
import os
import shutil
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
from benchmarks.cli.parts.prediction import found_images
from benchmarks.datasets.families.glyphs import Glyphs
from benchmarks.datasets.families.glyphscenes import GlyphScenes
from benchmarks.errors import DataError, UserError
from benchmarks.run.model_files import About, checksum, model_file, read_model
from methods.registry import METHODS
from results.store import Store
from tests.benchmarks.cli.test_json_answers import refuse_unlike_page
from tests.benchmarks.damage import damages
from tests.benchmarks.small import DATA, FIELDS, make_clip_folder

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


def _model(record: Path) -> str:
    return str(model_file(record.parent.parent, record.stem))


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
    """Every single-label method on the small world, trained for two epochs."""
    epochs = {name: {"epochs": 2} for name in SINGLE if "epochs" in METHODS.fields(name)}
    short = [
        f"--set={name}.{field}={value}"
        for name in SINGLE
        for field, value in {**epochs.get(name, {}), **METHODS.get(name).quick}.items()
    ]
    return _run(",".join(SINGLE), tmp_path_factory.mktemp("saved"), clip_folder, *DATA, *short)


@pytest.mark.parametrize("method", SINGLE)
def test_predictions_equal_those_of_the_run(
    method: str, records: dict[str, Path], images: Path, tmp_path: Path
) -> None:
    file, out = records[method], tmp_path / "p.csv"
    assert run_benchmarks.main(["predict", _model(file), str(images), "--out", str(out)]) == 0
    table = pd.read_csv(out)
    assert table["file"].tolist() == [f"{i:03}.png" for i in range(16)]
    record = json.loads(file.read_text("utf-8"))
    arrays = Store(file.parent.parent).predictions(record["key"])
    names = np.array(record["class_names"])
    for rank, end in enumerate(("", "_2", "_3", "_4")):
        probabilities = table[f"probability{end}"]
        np.testing.assert_allclose(probabilities, arrays["top5_prob"][:, rank], atol=2e-5)
        clear = rank == 0 or (arrays["top5_prob"][:, rank - 1] - probabilities > 1e-4)
        clear &= (rank == 3) | (
            arrays["top5_prob"][:, rank] - arrays["top5_prob"][:, min(rank + 1, 3)] > 1e-4
        )
        same = table[f"class{end}"].to_numpy() == names[arrays["top5"][:, rank]]
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
        flags = ["predict", str(model), str(images), "--out", str(out)]
        assert run_benchmarks.main(flags) == 0
    finally:
        model.write_bytes(whole)
    record = json.loads(file.read_text("utf-8"))
    arrays = Store(file.parent.parent).predictions(record["key"])
    flipped = np.array(record["class_names"])[::-1][arrays["top5"][:, 0]]
    assert pd.read_csv(out)["class"].tolist() == flipped.tolist()


def test_content_of_a_model_file(records: dict[str, Path]) -> None:
    held = {method: read_model(Path(_model(file))) for method, file in records.items()}
    for method, model in held.items():
        record = json.loads(records[method].read_text("utf-8"))
        assert list(model.about.class_names) == record["class_names"]
        assert list(model.about.train_counts) == record["groups"]["train_counts"]
    # Without the frozen tower: 2 blocks of width 32 with their adapters and a head.
    lift = sum(tensor.numel() for tensor in held["lift"].tensors.values())
    assert lift == json.loads(records["lift"].read_text("utf-8"))["cost"]["trainable_params"]
    # Statistics of training features in place of the features, and the weights of a whole tower.
    assert {name: tuple(t.shape) for name, t in held["ncm"].tensors.items()} == {
        "means": (4, 16), "transformed.centre": (16,), "weight": (4, 16),
    }  # fmt: skip
    assert "tower.own.0" in held["full_finetune"].tensors


def test_a_damaged_model_is_refused_by_name(records: dict[str, Path], tmp_path: Path) -> None:
    file = Path(_model(records["linear_probe"]))
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
            assert read.about == expected.about
            assert all(torch.equal(t, expected.tensors[n]) for n, t in read.tensors.items())
    assert len(unseen) <= 1  # padding of the header


SCENES = {"classes": 4, "n_max": 54, "imbalance": 5, "test_per_class": 8}
SCENE_FLAGS = [
    "--datasets",
    "glyphscenes_lt",
    *(w for n, v in SCENES.items() for w in ("--set", f"glyphscenes_lt.{n}={v}")),
]


@pytest.mark.parametrize("select", ["val", "last"])
def test_multi_label_decisions(
    select: str, clip_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Thresholds come from validation images; the F1 that they give is the record's."""
    flags = [*SCENE_FLAGS, "--select", select]
    file = _run("linear_probe", tmp_path / "o", clip_folder, *flags)["linear_probe"]
    _write(GlyphScenes(**SCENES).load(Path(), 0), tmp_path / "images")  # type: ignore[arg-type]
    out = tmp_path / "new" / "p.csv"
    flags = ["predict", str(tmp_path / "o"), str(tmp_path / "images"), "--out", str(out)]
    capsys.readouterr()
    assert run_benchmarks.main(flags) == 0
    shown = capsys.readouterr().out
    arrays = Store(tmp_path / "o").predictions(file.stem)
    table = pd.read_csv(out, keep_default_na=False)
    record = json.loads(file.read_text("utf-8"))
    names = record["class_names"]
    assert list(table) == ["file", "classes", *names]
    probabilities = 1 / (1 + np.exp(-arrays["scores"].astype(float)))
    np.testing.assert_allclose(table[names].to_numpy(), probabilities, atol=1e-4)
    chosen = np.array([[name in cell.split("; ") for name in names] for cell in table["classes"]])
    if select == "last":
        assert "threshold: probability 0.5" in shown
        clear = np.abs(arrays["scores"]) > 1e-4
        assert (chosen == (arrays["scores"] > 0))[clear].all()
        return
    assert "thresholds: highest F1 of each class on validation images" in shown
    labels = arrays["labels"] > 0
    f1 = 200 * (chosen & labels).sum(0) / (chosen.sum(0) + labels.sum(0))
    # One image whose score is rounded across a threshold changes the F1 of its class.
    assert np.abs(f1.mean() - record["metrics"]["macro_f1"]) < 100 / labels.sum(0).min()


def test_classes_with_the_same_name_have_separate_columns(
    clip_folder: Path, tmp_path: Path
) -> None:
    """Own names, of which two have the names of columns."""
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3), dtype=np.uint8)
    rows = ["path,label,split"]
    (tmp_path / "images").mkdir()
    for i, label in enumerate(("mouse|file", "classes", "mouse", "file|classes") * 2):
        Image.fromarray(pixels[i]).save(tmp_path / "images" / f"{i}.png")
        rows.append(f"{i}.png,{label},{'train' if i < 4 else 'test'}")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    (tmp_path / "d.yaml").write_text(
        "{task: multi, table: labels.csv, images: images, "
        "classes: {mouse: small animal, classes: lessons, file: tool}}"
    )
    typed, out = str(tmp_path / "d.yaml"), tmp_path / "p.csv"
    found = _run("linear_probe", tmp_path / "o", clip_folder, "--datasets", typed)["linear_probe"]
    flags = ["predict", _model(found), str(tmp_path / "images"), "--out", str(out)]
    assert run_benchmarks.main(flags) == 0
    table = pd.read_csv(out)
    columns = ["mouse", "classes (1)", "file (2)"]
    assert list(table) == ["file", "classes", *columns]
    assert table["file"].tolist() == [f"{i}.png" for i in range(8)]
    scores = Store(tmp_path / "o").predictions(found.stem)["scores"]  # of the last four
    probabilities = 1 / (1 + np.exp(-scores.astype(float)))
    np.testing.assert_allclose(table[columns].to_numpy()[4:], probabilities, atol=1e-4)


# ---- a machine without the data ------------------------------------------------------------------


@pytest.fixture
def signs(clip_folder: Path, tmp_path: Path) -> Path:
    """A run of two seeds on own data in class folders, which are gone."""
    pixels = np.random.default_rng(1).integers(0, 256, (24, 8, 8, 3), dtype=np.uint8)
    for i, one in enumerate(pixels):
        place = tmp_path / "photos" / ("test" if i % 4 == 0 else "train") / f"red_{'ab'[i % 2]}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(one).save(place / f"{i}.png")
    (tmp_path / "signs.yaml").write_text(
        "{images: photos, classes: {red_b: b in red, red_a: a in red}}"
    )
    data = ["--datasets", str(tmp_path / "signs.yaml"), "--seeds", "1,2"]
    _run("linear_probe,ncm", tmp_path / "o", clip_folder, *data)
    shutil.move(tmp_path / "photos", tmp_path / "new")
    (tmp_path / "signs.yaml").unlink()
    return tmp_path


def test_a_model_needs_no_training_images_and_speaks_of_the_users_classes(
    signs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = signs / "p.csv"
    words = ["predict", str(signs / "o"), str(signs / "new"), "--out", str(out)]
    capsys.readouterr()
    assert run_benchmarks.main([*words, "--method", "linear_probe"]) == 0
    assert "linear_probe on signs, seed 1" in (shown := capsys.readouterr().out)
    assert "seed 1 of 1, 2" in shown
    table = pd.read_csv(out)
    assert set(table["class"]) <= {"red_a", "red_b"}
    assert table["file"][0] == "test/red_a/0.png"
    assert run_benchmarks.main([*words, "--method", "linear_probe", "--seed", "2"]) == 0
    assert "seed 2" in capsys.readouterr().out
    # One model file, elsewhere, and its weights elsewhere, too.
    (found,) = (p for p in (signs / "o" / "models").iterdir() if _about(p).method == "ncm")
    moved = Path(shutil.copy(found, signs / "mine.safetensors"))
    shutil.rmtree(signs / "o")
    one = str(signs / "new" / "test" / "red_a" / "0.png")
    words = ["predict", str(moved), one, "--out", str(out), "--top", "1"]
    assert run_benchmarks.main(words) == 0
    assert pd.read_csv(out).columns.tolist() == ["file", "class", "probability"]
    assert pd.read_csv(out)["file"].tolist() == [one]


def _about(file: Path) -> About:
    return read_model(file).about


def test_the_permissions_of_a_model_are_those_of_other_files(records: dict[str, Path]) -> None:
    record = records["ncm"]
    modes = {os.stat(file).st_mode & 0o777 for file in (record, _model(record))}
    assert modes == {0o666 & ~_umask()}


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_an_answer_in_json(
    records: dict[str, Path], images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.png").touch()
    words = ["predict", _model(records["lift"]), str(images / "003.png"), str(tmp_path), "--json"]
    capsys.readouterr()
    assert run_benchmarks.main([*words, "--top", "2"]) == 1
    found = json.loads(capsys.readouterr().out)
    refuse_unlike_page("predict", found)
    assert (found["method"], found["thresholds"]) == ("lift", None)
    assert found["left_out"] == [f"{tmp_path / 'bad.png'}: the file is empty."]
    (image,) = found["images"]
    arrays = Store(records["lift"].parent.parent).predictions(records["lift"].stem)
    probabilities = [entry["probability"] for entry in image["classes"]]
    np.testing.assert_allclose(probabilities, arrays["top5_prob"][3, :2], atol=2e-5)


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
    flags = ["predict", _model(records["ncm"]), str(folder), "--out", str(out)]
    assert run_benchmarks.main(flags) == 1
    assert "Left out: " in (shown := capsys.readouterr().out)
    assert "bad.jpg: the file is empty." in shown
    assert pd.read_csv(out)["file"].tolist() == ["below/good.PNG"]


def test_folders_behind_links_are_searched_as_those_of_data_sets(tmp_path: Path) -> None:
    for file in ("photos/a.png", "photos/real/b.png", "other/c.png"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    photos = tmp_path / "photos"
    (photos / "alias").symlink_to("real")
    (photos / "real" / "up").symlink_to("..")
    assert found_images([photos]).files == ("a.png", "alias/b.png", "real/b.png")
    (photos / "out").symlink_to(tmp_path / "other")
    with pytest.raises(DataError, match=r"out is a link to .*other, outside"):
        found_images([photos])


def test_nothing_is_made_for_images_that_are_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_benchmarks.main(["predict", "m.safetensors", "nowhere", "--out", "new/p.csv"]) == 2
    words = ["export", "m.safetensors", "--images", "nowhere", "--to", "new/m.safetensors"]
    assert run_benchmarks.main(words) == 2
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_output_is_refused_before_and_after_the_work(
    records: dict[str, Path], images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def flags(out: Path) -> list[str]:
        return ["predict", _model(records["ncm"]), str(images), "--out", str(out)]

    def full(self: object, *_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("benchmarks.backbones.load", None)  # refused before loading
        assert run_benchmarks.main(flags(tmp_path)) == 2
    assert f"Cannot write {tmp_path}: it is a folder" in capsys.readouterr().err
    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    assert run_benchmarks.main(flags(tmp_path / "p.csv")) == 2
    assert "p.csv: No space left on device." in capsys.readouterr().err


def test_bad_arguments_of_predict_end_in_one_line(
    records: dict[str, Path], images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(*words: str) -> str:
        assert run_benchmarks.main(["predict", *words, "--out", str(tmp_path / "p.csv")]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        return error

    model, here = _model(records["ncm"]), str(images)
    folder = str(records["ncm"].parent.parent)
    (tmp_path / "empty").mkdir()
    assert "no images in it" in said(model, str(tmp_path / "empty"))
    assert "no such file or folder" in said(model, str(tmp_path / "nowhere"))
    assert "unreadable or truncated image" in said(model, str(records["ncm"]))
    assert "required: IMAGES" in said(model)
    assert "--top 0" in said(model, here, "--top", "0")
    assert "No records under" in said(str(tmp_path), here)
    assert "No records under" in said(str(records["ncm"]), here)
    assert "name one with --method: 'clap'; " in said(folder, here)
    assert "Did you mean: lift" in said(folder, here, "--method", "lfit")
    assert "Unknown data set" in said(folder, here, "--method", "lift", "--dataset", "birds")
    lost = said(folder, here, "--method", "lift", "--seed", "5")
    assert "No saved model of 'lift' on glyphs100_lt" in lost
    assert "with seed 5. Known: 1." in lost
    (tmp_path / "m.safetensors").write_bytes(b"no tensors")
    assert "damaged, or not a safetensors file" in said(str(tmp_path / "m.safetensors"), here)
    assert "No " in said(str(tmp_path / "n.safetensors"), here)


def test_cells_without_a_saved_model(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], clip_folder: Path
) -> None:
    flags = ["--methods", "ncm", *DATA, "--backbone", f"local-dir:{clip_folder}", "--device", "cpu"]
    out = tmp_path / "unsaved"
    assert run_benchmarks.main([*flags, "--out", str(out)]) == 0
    predict = ["predict", str(out), str(images), "--out", str(tmp_path / "p.csv")]
    capsys.readouterr()
    assert run_benchmarks.main(predict) == 2
    assert "No run here has a saved model: run it again with --save" in capsys.readouterr().err
    assert run_benchmarks.main([*predict, "--method", "ncm"]) == 2
    assert f"{out} has no saved model of 'ncm' on glyphs100_lt_ir8" in capsys.readouterr().err
    flags += ["--out", str(out), "--save-model"]
    assert run_benchmarks.main(flags) == 0
    assert "1 finished cell without a saved model: --rerun always" in capsys.readouterr().out
    assert run_benchmarks.main([*flags, "--rerun", "always"]) == 0
    assert "without a saved model" not in capsys.readouterr().out
    assert run_benchmarks.main(flags) == 0
    assert "without a saved model" not in capsys.readouterr().out
    assert run_benchmarks.main([*predict, "--seed", "7"]) == 0  # ncm draws no random numbers


def test_other_weights_are_refused(
    records: dict[str, Path], clip_folder: Path, images: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    other = make_clip_folder(tmp_path / "weights", seed=5)
    flags = ["predict", _model(records["lift"]), str(images), "--out", str(tmp_path / "p.csv")]
    assert run_benchmarks.main([*flags, "--backbone", f"local-dir:{other}"]) == 2
    assert "other weights than those that " in capsys.readouterr().err
    same = shutil.copytree(clip_folder, tmp_path / "same")
    assert run_benchmarks.main([*flags, "--backbone", f"local-dir:{same}"]) == 0
