"""Pickles and archives in the place of CIFAR's, made to run code or to fill the memory."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.datasets.files import cifar_files, class_folders
from benchmarks.errors import DataError
from tests.benchmarks.datasets.cifar.small import load, one_line

pytestmark = pytest.mark.usefixtures("cache")


class _Call:
    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.made = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.made


ATTACKS: dict[str, Any] = {
    "a call": _Call(os.mkdir, "made-by-a-pickle"),
    "a call of a builtin": _Call(eval, "1 + 1"),
    "bytes as pointers": _Call(np.ndarray, (1,), np.dtype(object), b"A" * 8),
    "an array of objects": np.array([[], {}], dtype=object),
    "an array of a petabyte": _Call(np.ndarray, (1 << 50,)),
    "numbers with a point": np.zeros((2, 3072)),
    "a codec": _Call(pickle.codecs.encode, b"x" * 9, "zlib"),
    "a memo of gigabytes": b"\x80\x02Nr\xff\xff\xff\x7f.",
    "a changed constructor": b"\x80\x02cnumpy.core.multiarray\n_reconstruct\n}(X\x01\x00\x00\x00a"
    b"K\x01ub.",
    "no dictionary": b"\x80\x02K\x01.",
    "lists in lists": b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".",
    "an extension": b"\x80\x02\x82\x01.",
}


@pytest.mark.parametrize("case", ATTACKS)
def test_a_pickle_that_attacks(
    pickles: Path, tmp_path: Path, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = pickles / "cifar-10-batches-py" / "data_batch_3"
    before, attack = file.read_bytes(), ATTACKS[case]
    try:
        file.write_bytes(attack if isinstance(attack, bytes) else pickle.dumps({"data": attack}))
        with pytest.raises(DataError, match="not an official CIFAR pickle") as caught:
            load(pickles)
    finally:
        file.write_bytes(before)
    assert str(file.parent) in one_line(caught)
    assert not (tmp_path / "made-by-a-pickle").exists()


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("order", "CF")
def test_pickles_of_all_kinds_are_read(protocol: int, order: str) -> None:
    data = {
        "data": np.asarray(np.arange(12, dtype=np.uint8).reshape(3, 4), order=order),  # type: ignore[call-overload]
        "labels": [1, 2],
        "wide": np.arange(3, dtype=">i4"),
    }
    found = cifar_files._load(io.BytesIO(pickle.dumps(data, protocol)))
    assert found["labels"] == [1, 2]
    assert (found["data"] == data["data"]).all() and found["data"].dtype == np.uint8
    assert (found["wide"] == [0, 1, 2]).all()


def _archive(file: Path, members: list[tuple[tarfile.TarInfo, bytes]]) -> Path:
    with tarfile.open(file, "w:gz") as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return file


def _member(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = size, kind, "/etc/passwd"
    return info


def test_an_archive_that_unpacks_to_gigabytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(class_folders, "_UNPACKED_BYTES", 10**6)
    for i, name in enumerate(("train/frog/a.png", "other", "././@LongLink")):
        kind = tarfile.GNUTYPE_LONGNAME if i == 2 else tarfile.REGTYPE
        size = 999_999 if i == 0 else 10**8
        file = tmp_path / "cifar10.tar.gz"
        with gzip.open(file, "wb") as out:
            for _ in range(3):
                out.write(_member(name, size, kind).tobuf())
                out.write(bytes(2 * 10**6 if i else size // 512 * 512 + 512))
        with pytest.raises(DataError) as caught:
            class_folders.read_archive(file, ["frog"], 32)
        assert str(file) in one_line(caught)


def test_links_devices_and_large_members_of_an_archive(tmp_path: Path) -> None:
    """Links and devices are no images; a large member is refused before it is read."""
    members = [
        (_member("train/frog/a.png", kind=kind), b"")
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE)
    ]
    file = _archive(tmp_path / "links.tar.gz", members)
    with pytest.raises(DataError, match="no images of class 'frog'"):
        class_folders.read_archive(file, ["frog"], 32)
    large = (_member("train/frog/a.png", 10**6 + 1), bytes(10**6 + 1))
    file = _archive(tmp_path / "large.tar.gz", [large])
    with pytest.raises(DataError, match=r"a.png in .*large.tar.gz: 1,000,001 bytes"):
        class_folders.read_archive(file, ["frog"], 32)
