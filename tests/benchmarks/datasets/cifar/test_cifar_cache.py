"""Cached decoding and downloads of CIFAR."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.datasets.families.cifar import Cifar10LT, Cifar100LT
from benchmarks.datasets.files import class_folders
from benchmarks.datasets.files.cifar_files import CIFAR10
from benchmarks.errors import DataMissing
from tests.benchmarks.datasets.cifar.small import TEST, content, load, one_line

pytestmark = pytest.mark.usefixtures("cache")


def test_images_are_decoded_once(tree: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = content(load(tree))
    with monkeypatch.context() as patch:
        patch.setattr(class_folders, "_decode", _must_not_run)
        assert content(load(tree)) == first
    for file in cache.rglob("*.npy"):
        file.write_bytes(file.read_bytes()[:64])
    assert content(load(tree)) == first, "a damaged entry is rebuilt"
    assert not [p for p in (cache / "cifar").iterdir() if p.name.startswith(".")]


def test_a_changed_tree_is_read_again(damaged: Path) -> None:
    before = content(load(damaged))
    image = damaged / "cifar10" / load(damaged).train.ids[0]
    Image.new("RGB", (32, 32)).save(image)
    assert content(load(damaged)) != before


def test_works_without_a_writable_cache(tree: Path, cache: Path) -> None:
    cache.write_text("a file where the cache folder should be")
    assert len(load(tree).test) == 10 * TEST


def test_failed_download_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match="could not be downloaded") as error:
        Cifar100LT().download(tmp_path / "data")
    assert "cifar-100-python.tar.gz" in one_line(error)
    assert not (tmp_path / "data").exists()


def test_download_is_not_repeated(pickles: Path) -> None:
    assert "already" in Cifar10LT().download(pickles)


def test_download_puts_the_official_folder_in_place(
    pickles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def publisher(root: str, download: bool) -> None:
        assert download
        shutil.copytree(pickles / CIFAR10.folder, Path(root) / CIFAR10.folder)

    monkeypatch.setattr("torchvision.datasets.CIFAR10", publisher)
    assert CIFAR10.folder in Cifar10LT().download(tmp_path)
    assert [p.name for p in tmp_path.iterdir() if p.name != "cache"] == [CIFAR10.folder]
    assert load(tmp_path).recipe == "cao2019"


def _must_not_run(*_: object) -> None:
    raise AssertionError("decoded although the cache has it")
