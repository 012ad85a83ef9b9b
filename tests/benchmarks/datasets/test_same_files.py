"""Files that two splits share, through links or as copies."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from benchmarks.datasets import same_files as module
from benchmarks.datasets.base import ArrayImages
from benchmarks.datasets.carving import ImageSubset
from benchmarks.datasets.files.image_files import FileImages
from benchmarks.datasets.files.resized import ResizedImages
from benchmarks.datasets.same_files import same_files


def images(root: Path, *files: str) -> FileImages:
    return FileImages(root, files)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two files of five bytes and one of six."""
    for name, content in (("a", b"aaaaa"), ("b", b"bbbbb"), ("c", b"cccccc")):
        (tmp_path / name).write_bytes(content)
    return tmp_path


def test_a_file_under_two_names_is_found_whatever_it_is(root: Path) -> None:
    (root / "link").symlink_to(root / "b")
    os.link(root / "c", root / "hard")
    (root / "copy").write_bytes((root / "a").read_bytes())
    (root / "new").write_bytes(b"fffff")  # as long as others, and different
    first = images(root, "a", "b", "c")
    assert same_files(first, images(root, "new", "c", "link", "copy", "hard")) == [
        (0, 3), (1, 2), (2, 1), (2, 4),
    ]  # fmt: skip
    assert same_files(first, images(root, "new")) == []


def test_parts_of_splits_and_images_with_smaller_copies(root: Path) -> None:
    first = ImageSubset(images(root, "a", "b", "c"), np.array([2, 1]))
    assert same_files(first, ResizedImages(images(root, "a", "b"), 16)) == [(1, 1)]


def test_files_that_cannot_be_read_and_images_in_memory_are_left_out(root: Path) -> None:
    assert same_files(images(root, "a", "gone"), images(root, "gone", "a")) == [(0, 1)]
    array = ArrayImages(np.zeros((2, 4, 4, 3), dtype=np.uint8))
    assert same_files(array, array) == []
    assert same_files(images(root, "a"), array) == []


@pytest.mark.parametrize("limit", ["MOST_FILES", "MOST_BYTES"])
def test_contents_are_compared_only_if_that_is_quick(
    root: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    (root / "copy").write_bytes((root / "a").read_bytes())
    (root / "link").symlink_to(root / "a")
    pair = images(root, "a"), images(root, "copy", "link")
    assert same_files(*pair) == [(0, 0), (0, 1)]
    monkeypatch.setattr(module, limit, 1)
    assert same_files(*pair) == [(0, 1)]
