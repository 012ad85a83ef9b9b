"""Regular files only, and of bounded size."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks import input_files


def test_a_pipe_a_device_and_a_folder_are_no_files(tmp_path: Path) -> None:
    """Reading a pipe without a writer waits for ever, and /dev/zero has no end."""
    pipe, link = tmp_path / "pipe.jpg", tmp_path / "link.jpg"
    os.mkfifo(pipe)
    link.symlink_to("/dev/zero")
    for file, says in ((pipe, "a pipe"), (link, "a device"), (tmp_path, "a folder")):
        with pytest.raises(OSError, match=says) as caught:
            input_files.read_bytes(file, 10)
        assert caught.value.filename == str(file)
    with pytest.raises(FileNotFoundError):
        input_files.opened(tmp_path / "none")


def test_a_file_beyond_the_limit_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "large.txt"
    file.write_text("12345")
    assert input_files.read_text(file, 5) == "12345"
    with pytest.raises(OSError, match=r"more than the 0 MB allowed"):
        input_files.read_text(file, 4)
    with file.open("wb") as stream:
        stream.truncate(1 << 40)  # a terabyte that no disk holds
    with pytest.raises(OSError, match=r"1,099,512 MB, more than the 1 MB"):
        input_files.read_bytes(file, input_files.MB)


def test_line_ends_are_those_of_text_files(tmp_path: Path) -> None:
    file = tmp_path / "lines.txt"
    file.write_bytes("ä\r\nb\rc\n".encode())
    assert input_files.read_text(file, 100) == file.read_text(encoding="utf-8") == "ä\nb\nc\n"
