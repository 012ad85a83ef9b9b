from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import run_benchmarks
from benchmarks.conformance.tiny import tiny_data
from benchmarks.datasets.base import ArrayImages, DataSet, Split
from benchmarks.datasets.checking import examine, find_train_test_duplicates, report
from benchmarks.datasets.files.image_files import FileImages
from benchmarks.errors import DataError
from tests.benchmarks.small import DATA


@pytest.fixture
def on_disk(tmp_path: Path) -> DataSet:
    """The tiny world in files; test image 3 duplicates training image 10 in another format."""
    data = tiny_data()
    splits = {}
    for name in ("train", "test"):
        split: Split = getattr(data, name)
        files = tuple(f"{name}/{i}.{'bmp' if name == 'test' else 'png'}" for i in range(len(split)))
        (tmp_path / "images" / name).mkdir(parents=True)
        for i, file in enumerate(files):
            source = (
                data.train.images.read(10) if (name, i) == ("test", 3) else split.images.read(i)
            )
            Image.fromarray(source).save(tmp_path / "images" / file)
        images = FileImages(tmp_path / "images", files)
        splits[name] = dataclasses.replace(split, images=images, ids=files)
    return dataclasses.replace(data, **splits)


def test_undamaged_images_are_reported_as_such(on_disk: DataSet, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    found = examine(on_disk, lambda done, total: told.append((done, total)))
    assert found.images == 64 + 16
    assert found.damaged == ()
    assert found.duplicates == (("train/10.png", "test/3.bmp"),)
    assert told[-1] == (80, 80)
    line = report("my data", found, tmp_path / "check")
    assert "80 images read, none damaged; 1 test image is identical to a training image" in line
    (file,) = (tmp_path / "check").iterdir()
    assert file.read_text("utf-8") == "train/10.png = test/3.bmp\n"


def test_all_damaged_images_are_named_together(on_disk: DataSet, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    wrong = ["train/0.png", "train/63.png", "test/0.bmp", "test/15.bmp"]
    (folder / wrong[0]).write_bytes(b"")
    (folder / wrong[1]).write_text("no image")
    (folder / wrong[2]).write_bytes((folder / wrong[2]).read_bytes()[:60])
    (folder / wrong[3]).unlink()
    found = examine(on_disk)
    assert [any(w in line for line in found.damaged) for w in wrong] == [True] * 4
    assert len(found.damaged) == 4
    with pytest.raises(
        DataError, match=r"4 of 80 images are damaged, all listed in .*m-y\.txt"
    ) as e:
        report("m y", found, tmp_path / "check")
    assert "\n" not in str(e.value)
    (file,) = (tmp_path / "check").iterdir()
    assert len(file.read_text("utf-8").splitlines()) == 5  # four damaged images and one duplicate


def test_repaired_images_are_no_longer_listed(on_disk: DataSet, tmp_path: Path) -> None:
    file, whole = tmp_path / "images/train/0.png", (tmp_path / "images/train/0.png").read_bytes()
    (tmp_path / "images/test/3.bmp").write_bytes((tmp_path / "images/test/2.bmp").read_bytes())
    file.write_bytes(b"")
    with pytest.raises(DataError, match="1 of 80 images"):
        report("my data", examine(on_disk), tmp_path / "check")
    file.write_bytes(whole)
    report("my data", examine(on_disk), tmp_path / "check")
    assert list((tmp_path / "check").iterdir()) == []


def test_validation_images_are_read_if_a_run_uses_them(on_disk: DataSet, tmp_path: Path) -> None:
    split = on_disk.test
    own = tuple(f"val/{i}.bmp" for i in range(len(split)))
    shutil.copytree(tmp_path / "images/test", tmp_path / "images/val")
    (tmp_path / "images" / own[5]).write_bytes(b"")
    validation = dataclasses.replace(split, images=FileImages(tmp_path / "images", own), ids=own)
    data = dataclasses.replace(on_disk, validation=lambda: validation)
    assert examine(data).damaged == ()
    found = examine(data, validation=True)
    assert found.images == 64 + 16 + 16
    assert len(found.damaged) == 1
    assert own[5] in found.damaged[0]
    assert found.duplicates == (("train/10.png", "test/3.bmp"),)


def test_each_split_seed_has_its_own_list(clip_folder: Path, tmp_path: Path) -> None:
    for label in ("jay", "crow"):
        (tmp_path / "birds" / label).mkdir(parents=True)
        for i in range(8):
            image = tmp_path / "birds" / label / f"{i}.png"
            image.write_bytes(b"no image")
    (tmp_path / "birds.yaml").write_text("images: birds\nimbalance: 4\n")
    flags = ["--methods", "zero_shot", "--datasets", str(tmp_path / "birds.yaml"), "--split-seeds"]
    flags += ["0,1", "--backbone", f"local-dir:{clip_folder}", "--device", "cpu", "--check-data"]
    assert run_benchmarks.main([*flags, "--out", str(tmp_path / "o")]) != 0
    listed = [set(f.read_text().splitlines()) for f in (tmp_path / "o/data_check").iterdir()]
    assert len(listed) == 2
    assert listed[0] != listed[1]


def test_images_of_different_shapes_are_not_duplicates() -> None:
    flat, tall = (np.zeros(shape, dtype=np.uint8) for shape in ((1, 2, 8, 3), (1, 8, 2, 3)))
    data = tiny_data()
    label = data.train.labels[:1]
    pair = dataclasses.replace(
        data,
        train=Split(ArrayImages(flat), label, ("a",)),
        test=Split(ArrayImages(tall), label, ("b",)),
    )
    assert find_train_test_duplicates(pair) == ()
    same = dataclasses.replace(pair, test=Split(ArrayImages(flat), label, ("b",)))
    assert find_train_test_duplicates(same) == (("a", "b"),)


def test_check_data_reads_all_images_and_the_run_continues(
    clip_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--methods", "zero_shot", *DATA, "--backbone", f"local-dir:{clip_folder}"]
    out = ["--out", str(tmp_path / "o"), "--device", "cpu"]
    assert run_benchmarks.main([*flags, *out, "--check-data"]) == 0
    assert "80 images read, none damaged." in capsys.readouterr().out
    assert not (tmp_path / "o" / "data_check").exists()
    (record,) = (tmp_path / "o" / "records").glob("*.json")
    assert not any(
        "identical to a training" in note for note in json.loads(record.read_text())["notes"]
    )
