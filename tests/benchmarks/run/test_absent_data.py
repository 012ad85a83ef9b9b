"""Notes of `plan` on missing data."""

from __future__ import annotations

from pathlib import Path

import pytest

import run_benchmarks
from benchmarks.datasets.registry import DATASETS, resolve

LISTED = {
    "places_lt": "no Places_LT_train.txt, Places_LT_val.txt, Places_LT_test.txt under",
    "voc_lt": "voc_lt_train.txt",
    "imagenet_lt": "ImageNet_LT_train.txt",
    "cifar10_lt": "no CIFAR-10 under",
    "tiny_imagenet_lt": "no Tiny-ImageNet under",
}


@pytest.mark.parametrize("name", sorted(DATASETS.entries()))
def test_every_data_set_that_is_read_from_files_knows_when_it_is_absent(
    name: str, tmp_path: Path
) -> None:
    family, fields = resolve(name)
    said = family(**fields).absent(tmp_path)
    assert bool(said) == family.on_disk
    assert "\n" not in said
    assert len(said) < 300
    assert LISTED.get(name, "") in said


def test_plan_notes_missing_data_and_continues(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["plan", "--methods", "ncm", "--datasets", "places_lt,glyphs100_lt", "--seeds", "0"]
    flags += ["--backbone", "ViT-B-16/random", "--data-root", str(tmp_path), "--device", "cpu"]
    assert run_benchmarks.main([*flags, "--out", str(tmp_path / "o")]) == 0
    shown = capsys.readouterr().out
    assert shown.count("note: ") == 1
    assert f"note: places_lt: {LISTED['places_lt']} {tmp_path} (`show places_lt` says" in shown
    assert "2 cells, 2 to run" in shown


def test_present_data_are_not_reported(tmp_path: Path) -> None:
    (tmp_path / "tiny-imagenet-200").mkdir()
    (tmp_path / "tiny-imagenet-200" / "wnids.txt").touch()
    assert resolve("tiny_imagenet_lt")[0]().absent(tmp_path) == ""
    (tmp_path / "cifar10" / "train").mkdir(parents=True)
    assert resolve("cifar10_lt")[0]().absent(tmp_path) == ""
