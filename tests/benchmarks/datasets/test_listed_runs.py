"""Runs on small Places-LT and VOC-LT trees, from the command line to the table."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

import run_benchmarks
from results.schema import Record
from results.store import Store
from tests.benchmarks.datasets.layouts import first_of_each, place, write_list
from tests.benchmarks.small import make_clip_folder

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"local-dir:{make_clip_folder(tmp_path_factory.mktemp('model') / 'small_clip')}"


@pytest.fixture
def run(
    model: str,
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Run methods on a data set under `tmp_path/data`; return (exit status, output, errors)."""
    monkeypatch.setenv("COLUMNS", "300")

    def ran(dataset: str, methods: str, *more: str) -> tuple[int, str, str]:
        words = ["--datasets", dataset, "--methods", methods, "--backbone", model, "--seeds", "0"]
        words += ["--data-root", str(tmp_path / "data"), "--out", str(tmp_path / "out")]
        status = run_benchmarks.main([*words, "--protocol", "equal", "--offline", *more])
        return status, *capsys.readouterr()

    return ran


@pytest.fixture
def places(shared: Path, tmp_path: Path) -> Path:
    """Places-LT with the first images of twelve classes."""
    root = tmp_path / "data"
    for split, per_class in (("train", 6), ("val", 2), ("test", 3)):
        public = shared / f"data/splits/places_lt/Places_LT_{split}.txt"
        lines = first_of_each(public, per_class, 12)
        place(root / "places", write_list(root / "places_lt" / public.name, lines))
    return root


@pytest.fixture
def voc(shared: Path, tmp_path: Path) -> Path:
    """VOC-LT with 60 training and 80 test images, and all captions."""
    root = tmp_path / "data"
    shutil.copytree(shared / "data/splits/voc_lt", root / "voc_lt")
    for split, count in (("train", 60), ("test", 80)):
        file = root / f"voc_lt/voc_lt_{split}.txt"
        place(root, write_list(file, file.read_text().splitlines()[:count]))
    return root


def records(tmp_path: Path) -> dict[str, Record]:
    found, damaged = Store(tmp_path / "out").all()
    assert not damaged
    return {record.method: record for record in found}


def test_places_from_lists_to_the_table(places: Path, run: Run, tmp_path: Path) -> None:
    status, out, err = run("places_lt", "zero_shot,linear_probe", "--select", "val")
    assert status == 0, err
    assert "not comparable with published ones" in " ".join((out + err).split())
    found = records(tmp_path)
    assert set(found) == {"zero_shot", "linear_probe"}
    tested = (places / "places_lt/Places_LT_test.txt").read_text().splitlines()
    for record in found.values():
        assert (record.status, record.dataset_version) == ("done", "1-reduced-72-36")
        stored = Store(tmp_path / "out").predictions(record.key)
        assert stored["ids"].tolist() == [line.split()[0] for line in tested]
        assert stored["labels"].tolist() == [int(line.split()[1]) for line in tested]
    assert "the official validation list, 24 images" in str(found["linear_probe"].selection)


def test_voc_from_lists_and_captions_to_the_table(voc: Path, run: Run, tmp_path: Path) -> None:
    status, out, err = run("voc_lt", "lmpt,zero_shot", "--set", "lmpt.epochs=1")
    assert status == 0, out + err
    assert run("voc_lt", "zero_shot", "--set", "voc_lt.scores=softmax")[0] == 0
    found, _ = Store(tmp_path / "out").all()
    assert sorted(record.method for record in found) == ["lmpt", "zero_shot", "zero_shot"]
    for record in found:
        stored = Store(tmp_path / "out").predictions(record.key)
        labels, scores = stored["labels"], stored["scores"]
        assert scores.shape == (80, 20)
        shown = [c for c in range(20) if labels[:, c].any()]
        expected = [100 * average_precision_score(labels[:, c], scores[:, c]) for c in shown]
        assert record.metrics.overall == pytest.approx(np.mean(expected), abs=1e-6)


def test_a_truncated_image_ends_the_run_and_is_named(places: Path, run: Run) -> None:
    lines = (places / "places_lt/Places_LT_train.txt").read_text().splitlines()
    image = places / "places" / lines[5].split()[0]
    image.write_bytes(image.read_bytes()[:200])
    status, out, err = run("places_lt", "linear_probe")
    assert status == 2
    assert f"{image}: unreadable or truncated image" in " ".join((out + err).split())
    assert "Traceback" not in out + err


def test_missing_images_end_the_run_with_one_line(voc: Path, run: Run) -> None:
    shutil.rmtree(voc / "VOCdevkit/VOC2007")
    status, _, err = run("voc_lt", "zero_shot")
    assert status == 2
    line = [text for text in err.splitlines() if text.strip()]
    assert len(line) == 1
    assert "80 of 80 test images are missing" in line[0]
