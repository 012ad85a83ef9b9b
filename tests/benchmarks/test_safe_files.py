"""Files written under a temporary name, checksums, and what killed writers leave."""

from __future__ import annotations

import os
import random
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import safe_files
from benchmarks.safe_files import (
    KEPT_S,
    DamagedFile,
    new_folder,
    process_gone,
    reading_checked,
    remove_leftovers,
    replacing,
    replacing_checked,
    this_process,
    write_text,
)

ELSEWHERE = "00000000-12-34"
"""A process of another machine."""


@pytest.fixture(scope="module")
def ended() -> str:
    """Name of a process that has ended."""
    code = "from benchmarks.safe_files import this_process; print(this_process())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def make_old(path: Path, by: float = KEPT_S + 60) -> Path:
    then = path.stat().st_mtime - by
    os.utime(path, (then, then))
    return path


# ---- writing ------------------------------------------------------------------------------------


def test_a_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    write_text(file, "old")
    with replacing(file) as stream:
        stream.write(b"new")
        stream.flush()
        assert file.read_text() == "old"
        (temporary,) = set(names(tmp_path)) - {"a.txt"}
        assert Path(stream.name) == tmp_path / temporary and this_process() in temporary
    assert names(tmp_path) == ["a.txt"] and file.read_text() == "new"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OSError])
def test_nothing_is_left_of_a_file_that_is_not_completed(
    tmp_path: Path, error: type[BaseException]
) -> None:
    file = tmp_path / "a.txt"
    write_text(file, "old")
    with pytest.raises(error), replacing(file) as stream:
        stream.write(b"new")
        raise error
    assert names(tmp_path) == ["a.txt"] and file.read_text() == "old"


def test_a_file_has_the_permissions_that_open_gives(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "mine", "")
        with new_folder(tmp_path / "folder") as folder:
            (folder / "a").touch()
        (tmp_path / "usual").touch()
    finally:
        os.umask(before)
    mode = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert mode == {"mine": 0o640, "usual": 0o640, "folder": 0o750}


@pytest.mark.parametrize("name", ["n" * 255, "é" * 127, "a" + "é" * 127])
def test_names_may_be_as_long_as_the_file_system_allows(tmp_path: Path, name: str) -> None:
    write_text(tmp_path / name, "text")
    with new_folder(tmp_path / name[:-1]):
        pass
    assert names(tmp_path) == sorted([name, name[:-1]])


def test_two_files_of_one_name_may_be_written_at_once(tmp_path: Path) -> None:
    file = tmp_path / "a"
    with replacing(file) as one, replacing(file) as two:
        one.write(b"one")
        two.write(b"two")
    assert file.read_bytes() == b"one" and names(tmp_path) == ["a"]


def test_a_folder_appears_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "entry"
    with pytest.raises(RuntimeError), new_folder(target):
        raise RuntimeError
    assert names(tmp_path) == []
    with new_folder(target) as folder, new_folder(target) as faster:
        (folder / "slow").touch()
        (faster / "fast").touch()
        assert not target.exists()
    assert names(tmp_path) == ["entry"] and names(target) == ["fast"]
    (tmp_path / "file").touch()
    with pytest.raises(OSError), new_folder(tmp_path / "file"):
        pass


# ---- checksums ----------------------------------------------------------------------------------


def written(file: Path, content: bytes) -> bytes:
    with replacing_checked(file) as stream:
        for start in range(0, len(content), 7):
            stream.write(content[start : start + 7])
    return file.read_bytes()


@pytest.mark.parametrize("content", [b"", b"content of a file"])
def test_what_was_written_is_read(tmp_path: Path, content: bytes) -> None:
    assert len(written(tmp_path / "a", content)) == len(content) + 32
    with reading_checked(tmp_path / "a", "write it again") as stream:
        assert stream.read()[:-32] == content


def test_every_damage_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "a"
    whole = written(file, b"content of a file")
    damaged = [whole[:end] for end in range(len(whole))] + [whole + b"\0", b"\0" * len(whole)]
    for bit in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        damaged.append(bytes(flipped))
    for content in damaged:
        file.unlink()  # the file system would wait for the disk if it were only shortened
        file.write_bytes(content)
        with pytest.raises(DamagedFile) as raised, reading_checked(file, "write it again"):
            pass
        assert str(raised.value) == f"{file} is damaged: write it again."
    with pytest.raises(FileNotFoundError), reading_checked(tmp_path / "b", "write it again"):
        pass


# ---- leftovers ----------------------------------------------------------------------------------


def test_leftovers_of_a_dead_process_are_removed(tmp_path: Path, ended: str) -> None:
    kept = ["a.json", f".a.json.{this_process()}.0.tmp", f".b.{ELSEWHERE}.1.tmp", ".hidden12"]
    for name in [*kept, f".a.json.{ended}.0.tmp"]:
        (tmp_path / name).touch()
    folder = tmp_path / f".entry.{ended}.1.tmp"
    folder.mkdir()
    (folder / "part").touch()
    assert remove_leftovers(tmp_path) == 2
    assert names(tmp_path) == sorted(kept)
    assert remove_leftovers(tmp_path / "none") == 0


@pytest.mark.parametrize("by", [KEPT_S + 60, -KEPT_S - 60])
def test_leftovers_of_unknown_writers_are_removed_when_they_are_old(
    tmp_path: Path, by: float
) -> None:
    kept = ["a.json", ".hidden12"]
    random_hex = f"{random.Random(0).getrandbits(128):032x}"
    leftovers = [
        f".b.{ELSEWHERE}.1.tmp", f".key.{random_hex}.tmp", "key.123.partial", ".key.123.partial"
    ]  # fmt: skip
    for name in [*kept, *leftovers]:
        (tmp_path / name).touch()
    (tmp_path / ".0123456789abcdef-ab_c1234").mkdir()
    assert remove_leftovers(tmp_path) == 0
    for path in tmp_path.iterdir():
        make_old(path, by)
    assert remove_leftovers(tmp_path) == 5
    assert names(tmp_path) == sorted(kept)


def test_a_folder_is_as_old_as_the_newest_file_in_it(tmp_path: Path) -> None:
    folder = tmp_path / ".0123456789abcdef-ab_c1234"
    folder.mkdir()
    (folder / "part").touch()
    make_old(folder)
    assert remove_leftovers(tmp_path) == 0
    make_old(folder / "part")
    make_old(folder)
    assert remove_leftovers(tmp_path) == 1


def test_in_a_shared_folder_only_leftovers_of_one_name_are_removed(
    tmp_path: Path, ended: str
) -> None:
    long = "n" * 255
    for name in [f".recipe.yaml.{ended}.0.tmp", f".{long[:40]}.{ended}.0.tmp"]:
        (tmp_path / name).touch()
    (tmp_path / "other.partial").touch()
    make_old(tmp_path / "other.partial")
    assert remove_leftovers(tmp_path, "recipe.yaml") == 1
    assert remove_leftovers(tmp_path, long) == 1
    assert names(tmp_path) == ["other.partial"]


# ---- processes ----------------------------------------------------------------------------------


def test_a_process_is_gone_when_it_has_ended(ended: str, monkeypatch: pytest.MonkeyPatch) -> None:
    machine, pid, started = this_process().split("-")
    assert process_gone(this_process()) is False
    assert process_gone(ended) is True
    assert process_gone(ELSEWHERE) is None
    # A later process with the same number is another one.
    assert process_gone(f"{machine}-{pid}-{int(started) + 1}") is True
    assert process_gone(f"{machine}-{10**30}-1") is False  # nothing is known: it may live
    # Systems without /proc tell only whether there is a process with the number.
    monkeypatch.setattr(safe_files, "_start_of", lambda pid: None)
    assert process_gone(this_process()) is False
    assert process_gone(ended) is True


def test_a_process_that_nobody_has_waited_for_is_gone() -> None:
    code = "from benchmarks.safe_files import this_process; print(this_process(), flush=True)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        name = child.stdout.readline().strip()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert process_gone(name) is True
