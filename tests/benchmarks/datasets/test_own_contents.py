"""Messages about a folder that holds something else than images in class folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.errors import DataError
from tests.benchmarks.datasets.own_files import describe, load


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (["a-0.tar", "a-1.tar"], r"folders; .*p holds 2 \.tar: write `shards: .*p/\*\.tar"),
        (["train/0.arrow", "test/1.arrow"], r"no class folders; .*p holds 2 \.arrow: write `hugg"),
        (["a/0.arrow", "b/1.arrow"], r"have no images .*p holds 2 \.arrow: write `hugg"),
        (["data/0.parquet", "README"], r"1 \.parquet, 1 without an ending: write `hugg"),
        (["labels.CSV", "1.jpg"], r"holds 1 \.csv, 1 \.jpg: write `table: FILE`"),
        (["all.zip"], r"holds 1 \.zip: unpack it\."),
        (["notes.docx", ".hidden.tar", ".git/a.tar"], r"holds 1 \.docx\."),
    ],
)  # fmt: skip
def test_a_refused_folder_is_described(tmp_path: Path, files: list[str], said: str) -> None:
    for file in files:
        (tmp_path / "p" / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "p" / file).write_bytes(b"x")
    with pytest.raises(DataError, match=said) as caught:
        load(describe(tmp_path, images="p"))
    assert "\n" not in str(caught.value)


def test_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    with pytest.raises(DataError, match=r"p has no class folders; .*p is empty\."):
        load(describe(tmp_path, images="p"))
