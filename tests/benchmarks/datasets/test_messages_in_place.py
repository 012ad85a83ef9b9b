"""Pointers of Git LFS and servers' messages under the names of data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.datasets.files.split_lists import read_list
from benchmarks.errors import DataError
from tests.benchmarks.datasets.own_files import describe, load

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
PAGE = b"<!DOCTYPE html><html><title>Quota exceeded</title></html>"


@pytest.mark.parametrize(("content", "what"), [(POINTER, "git lfs pull"), (PAGE, "a web page")])
@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("labels.csv", {"table": "labels.csv"}),
        ("labels.parquet", {"table": "labels.parquet"}),
        ("birds.tar", {"shards": "birds.tar"}),
        ("data/train-00000-of-00001.parquet", {"huggingface": "data"}),
    ],
)
def test_own_data(
    name: str, keys: dict[str, Any], content: bytes, what: str, tmp_path: Path
) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content)
    with pytest.raises(DataError) as caught:
        load(describe(tmp_path, **keys))
    assert what in str(caught.value)
    assert str(file) in str(caught.value)


def test_split_lists(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_bytes(PAGE)
    with pytest.raises(DataError, match=r"train\.txt: it is a web page"):
        read_list(tmp_path / "train.txt", 3)
