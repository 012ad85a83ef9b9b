"""Signs of life: who made them, and whether that process works on."""

from __future__ import annotations

import json
import os
import platform
import threading
import time
from pathlib import Path

import pytest

from benchmarks import signs_of_life
from benchmarks.safe_files import this_process
from benchmarks.signs_of_life import SILENT_S, Beats, Onlooker, content_of, owner_of, read

ELSEWHERE = "00000000-1-1"


def dead_here() -> str:
    """The name of a process of this machine that has ended."""
    machine, pid, started = this_process().split("-")
    return f"{machine}-{pid}-{int(started) + 1}"


def made(folder: Path, process: str, age: float = 0.0) -> Path:
    """A sign that was touched some seconds ago."""
    file = folder / "sign"
    file.write_text(json.dumps({"process": process}))
    os.utime(file, (time.time() - age,) * 2)
    return file


def alive(file: Path) -> bool:
    sign = read(file)
    assert sign is not None
    return Onlooker(file.parent).is_alive(sign)


def test_a_sign_names_its_process() -> None:
    before = time.time()
    content = content_of("a token", sweep="abc")
    owner = owner_of(content)
    assert owner is not None
    assert owner[:3] == (platform.node(), os.getpid(), this_process())
    assert before <= owner.since <= time.time()
    assert str(owner) == f"{platform.node()}, process {os.getpid()}"
    assert json.loads(content)["token"] == "a token" and json.loads(content)["sweep"] == "abc"


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'{"process": 1}', b'{"process": "a"}', b"\xff", b"[" * 100_000,
     b'{"process": "00000000-1-1", "pid": "x"}', b'{"process": "00000000-1-1", "since": {}}',
     b'{"process": "00000000-1-1", "pid": 1e999}'],
)  # fmt: skip
def test_what_is_no_sign_names_nobody(content: bytes) -> None:
    assert owner_of(content) is None


def test_a_process_of_this_machine_is_alive_while_it_exists(tmp_path: Path) -> None:
    assert alive(made(tmp_path, this_process(), age=1e6))
    assert not alive(made(tmp_path, dead_here()))


def test_a_process_of_another_machine_is_alive_while_it_touches_its_sign(tmp_path: Path) -> None:
    assert alive(made(tmp_path, ELSEWHERE, age=SILENT_S / 2))
    assert not alive(made(tmp_path, ELSEWHERE, age=SILENT_S + 10))
    assert not alive(made(tmp_path, ELSEWHERE, age=-SILENT_S - 10))
    assert not alive(made(tmp_path, "no name", age=SILENT_S + 10))
    assert [file.name for file in tmp_path.iterdir()] == ["sign"]


def test_the_clock_of_the_file_system_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signs_of_life, "clock_of", lambda folder: 5000.0)
    file = made(tmp_path, ELSEWHERE)
    os.utime(file, (5010, 5010))
    assert alive(file)


def test_a_folder_that_cannot_be_written_to_is_judged_by_the_own_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(folder: Path) -> float:
        raise PermissionError

    monkeypatch.setattr(signs_of_life, "clock_of", refused)
    assert alive(made(tmp_path, ELSEWHERE))
    assert not alive(made(tmp_path, ELSEWHERE, age=SILENT_S + 10))


def test_there_may_be_no_sign(tmp_path: Path) -> None:
    assert read(tmp_path / "sign") is None


def test_beats_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signs_of_life, "BEAT_S", 0.001)
    felt = threading.Event()
    beats = Beats(felt.set)
    beats.start()
    assert felt.wait(60)
    beats.stop()
    assert not [thread for thread in threading.enumerate() if thread.name == "beats"]
