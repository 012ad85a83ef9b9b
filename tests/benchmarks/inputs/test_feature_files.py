from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from benchmarks.inputs.feature_files import read_rows, write_rows


@pytest.fixture
def rows() -> torch.Tensor:
    return torch.randn(10, 6)


def test_files_are_safetensors(tmp_path: Path, rows: torch.Tensor) -> None:
    file = tmp_path / "rows.safetensors"
    assert write_rows(file, 10, [rows[:3], rows[3:4], rows[4:]])
    stored = load_file(file)
    assert torch.equal(stored["features"], rows)
    expected = hashlib.sha256(b"rows 10 6\n" + rows.numpy().tobytes()).digest()
    assert bytes(stored["sha256"].tolist()) == expected
    assert [f.name for f in tmp_path.iterdir()] == ["rows.safetensors"]


def test_files_written_by_safetensors_are_read(tmp_path: Path, rows: torch.Tensor) -> None:
    checksum = hashlib.sha256(b"a 10 6\n" + rows.numpy().tobytes()).digest()
    tensors = {"features": rows, "sha256": torch.tensor(list(checksum), dtype=torch.uint8)}
    save_file(tensors, tmp_path / "a")
    found = read_rows(tmp_path / "a")
    assert found is not None
    assert torch.equal(found, rows)
    save_file({"features": rows}, tmp_path / "b")
    assert read_rows(tmp_path / "b") is None
    assert read_rows(tmp_path / "none") is None


def test_rows_are_memory_mapped_and_aligned_to_cache_lines(
    tmp_path: Path, rows: torch.Tensor
) -> None:
    file = tmp_path / "rows.safetensors"
    write_rows(file, 10, [rows])
    found = read_rows(file)
    assert found is not None
    assert found.data_ptr() % 64 == 0
    maps = Path("/proc/self/maps")
    if maps.exists():
        assert str(file) in maps.read_text()
    found.zero_()  # changes a private copy of this process
    again = read_rows(file)
    assert again is not None
    assert torch.equal(again, rows)


def test_the_rows_of_another_file_are_not_read(tmp_path: Path, rows: torch.Tensor) -> None:
    write_rows(tmp_path / "a", 10, [rows])
    assert read_rows(tmp_path / "a") is not None
    assert read_rows((tmp_path / "a").rename(tmp_path / "b")) is None


@pytest.mark.parametrize("shape", [[6, 10], [60, 1], [1, 10, 6]])
def test_rows_of_another_shape_are_not_read(
    shape: list[int], tmp_path: Path, rows: torch.Tensor
) -> None:
    file = tmp_path / "rows"
    write_rows(file, 10, [rows])
    old, new = b"[10, 6]", str(shape).encode()
    content = file.read_bytes()
    assert old in content
    spare = b" " * (len(new) - len(old))  # of the padding of the header
    content = content.replace(old, new + b" " * (len(old) - len(new)), 1)
    file.write_bytes(content.replace(b"}}" + spare, b"}}", 1) if spare else content)
    assert read_rows(file) is None


def test_any_changed_byte_is_detected(tmp_path: Path, rows: torch.Tensor) -> None:
    file = tmp_path / "rows.safetensors"
    write_rows(file, 10, [rows])
    good = file.read_bytes()
    for place in range(len(good) - 32 - rows.nbytes, len(good)):  # rows and checksum
        (tmp_path / "bad").unlink(missing_ok=True)
        (tmp_path / "bad").write_bytes(good[:place] + bytes([good[place] ^ 4]) + good[place + 1 :])
        assert read_rows(tmp_path / "bad") is None
    for length in range(0, len(good), 7):
        (tmp_path / "cut").unlink(missing_ok=True)
        (tmp_path / "cut").write_bytes(good[:length])
        assert read_rows(tmp_path / "cut") is None


def test_a_folder_that_cannot_be_written(tmp_path: Path, rows: torch.Tensor) -> None:
    assert not write_rows(tmp_path / "no folder" / "rows", 10, [rows])
    with pytest.raises(ValueError, match="float32 expected"):
        write_rows(tmp_path / "rows", 10, [rows.double()])
    assert not (tmp_path / "rows").exists()


def test_rows_that_fail_halfway_leave_no_file(tmp_path: Path, rows: torch.Tensor) -> None:
    def parts():  # type: ignore[no-untyped-def]
        yield rows[:4]
        raise OSError("the disk of the rows is gone")

    assert not write_rows(tmp_path / "rows", 10, parts())
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_write_leaves_no_file(tmp_path: Path, rows: torch.Tensor) -> None:
    def parts():  # type: ignore[no-untyped-def]
        yield rows[:4]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_rows(tmp_path / "rows", 10, parts())
    assert list(tmp_path.iterdir()) == []
