"""Claims: one owner at a time, whoever dies, and no clock but the watcher's own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks import claims as module
from benchmarks import signs_of_life
from benchmarks.claims import Claims
from benchmarks.safe_files import this_process
from benchmarks.signs_of_life import BEAT_S, SILENT_S

ROOT = Path(__file__).resolve().parents[2]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def foreign(out: Path, key: str = "a", number: int = 0, process: str = "00000000-1-1") -> Path:
    """A claim of another machine, or of another process of this one."""
    file = out / "claims" / f"{key}.{number}"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps({"process": process, "token": "x"}))
    return file


def dead_here() -> str:
    """The name of a process of this machine that has ended."""
    machine, pid, started = this_process().split("-")
    return f"{machine}-{pid}-{int(started) + 1}"


def test_a_cell_is_given_once_until_it_is_released(tmp_path: Path) -> None:
    with Claims(tmp_path / "claims") as one, Claims(tmp_path / "claims") as two:
        assert one.take(["a", "b"]) == ["a", "b"]
        assert two.take(["a", "b", "c"]) == ["c"]
        assert one.take(["a", "c"]) == ["a"]
        assert one.holds("a")
        one.release("a")
        assert two.take(["a", "b"]) == ["a"]
        one.release("never taken")
    assert not (tmp_path / "claims").exists()


def test_all_is_released_at_the_end_whatever_ends_it(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), Claims(tmp_path / "claims") as one:
        one.take(["a", "b"])
        raise KeyboardInterrupt
    with Claims(tmp_path / "claims") as two:
        assert two.take(["a", "b"]) == ["a", "b"]


def test_what_a_killed_run_left_is_removed_at_the_end(tmp_path: Path) -> None:
    folder = foreign(tmp_path, key="finished", process=dead_here()).parent
    with Claims(tmp_path / "claims") as other:
        assert other.take(["running"]) == ["running"]
        with Claims(tmp_path / "claims") as one:
            assert one.take(["mine"]) == ["mine"]
        assert [file.name for file in folder.iterdir()] == ["running.0"]
    assert not folder.exists()


def test_a_claim_says_who_made_it(tmp_path: Path) -> None:
    with Claims(tmp_path / "claims") as one:
        one.take(["a"])
        who = json.loads((tmp_path / "claims" / "a.0").read_text())
    assert who["pid"] == os.getpid() and who["process"] == this_process()


def test_a_dead_process_of_this_machine_is_succeeded_at_once(tmp_path: Path) -> None:
    foreign(tmp_path, process=dead_here())
    with Claims(tmp_path / "claims") as one, Claims(tmp_path / "claims") as two:
        assert one.take(["a"]) == ["a"]
        assert two.take(["a"]) == []
        assert sorted(f.name for f in (tmp_path / "claims").iterdir()) == ["a.0", "a.1"]
        one.release("a")
        assert list((tmp_path / "claims").iterdir()) == []
        assert two.take(["a"]) == ["a"]


def test_another_machine_is_succeeded_when_it_is_silent_by_the_watchers_clock(
    tmp_path: Path,
) -> None:
    clock, file = Clock(), foreign(tmp_path)
    one = Claims(tmp_path / "claims", clock)
    for beat in range(3):
        assert one.take(["a"]) == []
        clock.now += SILENT_S - 1
        assert one.take(["a"]) == []
        os.utime(file, (beat * 1e9, beat * 1e9))  # its clock leaps and is set back
    os.utime(file, (5, 5))
    assert one.take(["a"]) == []
    clock.now += SILENT_S + 1
    assert one.take(["a"]) == ["a"]


def test_a_living_process_that_is_stopped_is_succeeded_and_knows_it(tmp_path: Path) -> None:
    clock = Clock()
    stopped, other = Claims(tmp_path / "claims"), Claims(tmp_path / "claims", clock)
    stopped.take(["a"])
    assert other.take(["a"]) == []
    clock.now += SILENT_S + 1
    assert other.take(["a"]) == ["a"]
    assert other.holds("a") and not stopped.holds("a")
    stopped.release("a")  # removes its own file alone
    assert other.holds("a")
    other.release("a")
    assert list((tmp_path / "claims").iterdir()) == []


def test_a_beat_keeps_a_claim_alive(tmp_path: Path) -> None:
    clock = Clock()
    one, other = Claims(tmp_path / "claims"), Claims(tmp_path / "claims", clock)
    one.take(["a"])
    os.utime(tmp_path / "claims" / "a.0", (1, 1))
    assert other.take(["a"]) == []
    one.beat()
    clock.now += SILENT_S + 1
    assert other.take(["a"]) == []
    assert (tmp_path / "claims" / "a.0").stat().st_mtime > 1


def test_beats_come_by_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signs_of_life, "BEAT_S", 0.001)
    with Claims(tmp_path / "claims") as one:
        one.take(["a"])
        file = tmp_path / "claims" / "a.0"
        os.utime(file, (1, 1))
        while file.stat().st_mtime == 1:
            time.sleep(0.001)
    assert BEAT_S < SILENT_S / 10


def test_no_beat_comes_after_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever fits afterwards would be told that it has left a thread behind."""
    monkeypatch.setattr(signs_of_life, "BEAT_S", 0.001)
    one, beats = Claims(tmp_path / "claims"), threading.Event()

    def beat() -> None:
        beats.set()
        time.sleep(0.1)

    monkeypatch.setattr(one, "beat", beat)
    with one:
        assert beats.wait(60)
    assert not [thread for thread in threading.enumerate() if thread.name == "beats"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"process": 1}', '{"process": "a"}', "null"])
def test_a_claim_that_was_never_written_is_succeeded_soon(tmp_path: Path, content: str) -> None:
    clock, file = Clock(), foreign(tmp_path)
    file.write_text(content)
    one = Claims(tmp_path / "claims", clock)
    assert one.take(["a"]) == []
    clock.now += module._WRITING_S + 1
    assert one.take(["a"]) == ["a"]


def test_a_taker_withdraws_if_the_dead_claim_was_taken_and_released_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign(tmp_path, process=dead_here())
    slow, quick, third = (Claims(tmp_path / "claims") for _ in range(3))
    create = slow._created

    def late(file: Path) -> bool:
        quick.take(["a"])
        quick.release("a")
        third.take(["a"])
        return create(file)

    monkeypatch.setattr(slow, "_created", late)
    assert slow.take(["a"]) == []
    assert third.holds("a")
    assert [f.name for f in (tmp_path / "claims").iterdir()] == ["a.0"]


def test_a_new_claim_is_not_dead_because_an_older_one_is(tmp_path: Path) -> None:
    foreign(tmp_path, process=dead_here())
    foreign(tmp_path, number=1)
    assert Claims(tmp_path / "claims").take(["a"]) == []
    (tmp_path / "claims" / "a.0").unlink()
    assert Claims(tmp_path / "claims").take(["a"]) == []


def test_a_cell_is_lost_to_another_run_but_not_to_a_folder_that_is_gone(tmp_path: Path) -> None:
    one, file = Claims(tmp_path / "claims"), tmp_path / "claims" / "a.0"
    one.take(["a"])
    foreign(tmp_path, number=1)
    assert not one.holds("a")
    (tmp_path / "claims" / "a.1").unlink()
    assert one.holds("a")
    foreign(tmp_path)
    assert not one.holds("a")
    file.unlink()
    assert not one.holds("a")
    file.parent.rmdir()
    assert one.holds("a")
    file.parent.touch()
    assert one.holds("a")


def test_the_folder_is_made_again_if_another_run_removes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Claims(tmp_path / "claims") as one:
        one.take(["a"])
        two = Claims(tmp_path / "claims")
        files = two._files()
    monkeypatch.setattr(two, "_files", lambda: files)
    assert not (tmp_path / "claims").exists()
    assert two.take(["b"]) == ["b"]


def test_other_files_in_the_folder_are_no_claims(tmp_path: Path) -> None:
    (tmp_path / "claims").mkdir()
    for name in ("a", "a.txt", ".0", "a.-1"):
        (tmp_path / "claims" / name).touch()
    with Claims(tmp_path / "claims") as one:
        assert one.take(["a"]) == ["a"]


def test_a_folder_that_is_gone_is_said(tmp_path: Path) -> None:
    with Claims(tmp_path / "gone" / "claims") as one, pytest.raises(FileNotFoundError):
        one.take(["a"])


def test_of_many_takers_of_a_dead_claim_one_wins(tmp_path: Path) -> None:
    keys = [f"k{n}" for n in range(20)]
    for key in keys:
        foreign(tmp_path, key, process=dead_here())
    takers = [Claims(tmp_path / "claims") for _ in range(8)]
    start, won = threading.Barrier(len(takers)), []

    def take(taker: Claims) -> None:
        start.wait()
        won.extend(taker.take(keys))

    threads = [threading.Thread(target=take, args=(taker,)) for taker in takers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == sorted(keys)


RUNNER = """
import random, sys, time
from pathlib import Path
from benchmarks.claims import Claims
out, keys = Path(sys.argv[1]), [f"k{n}" for n in range(int(sys.argv[2]))]
log = open(out / sys.argv[3], "a", buffering=1)
with Claims(out / "claims") as claims:
    left = list(keys)
    while left:
        for key in left:
            if not (out / f"{key}.done").exists() and claims.take([key]):
                if not (out / f"{key}.done").exists():
                    print(key, time.monotonic_ns(), end=" ", file=log)
                    time.sleep(random.random() / float(sys.argv[4]))
                    print(time.monotonic_ns(), file=log)
                    (out / f"{key}.done").touch()
                claims.release(key)
        left = [key for key in keys if not (out / f"{key}.done").exists()]
"""


def started(out: Path, cells: int, log: str, pace: float) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", RUNNER, str(out), str(cells), log, str(pace)], cwd=ROOT
    )


def spans(out: Path) -> list[tuple[str, int, int]]:
    """Key, begin and end of every cell that was run; a killed one has no end."""
    lines = [line.split() for log in out.glob("log*") for line in log.read_text().splitlines()]
    return [(line[0], int(line[1]), int(line[2])) for line in lines if len(line) == 3]


def test_runs_that_share_a_folder_share_the_cells(tmp_path: Path) -> None:
    runners = [started(tmp_path, 30, f"log{n}", 500) for n in range(3)]
    assert [runner.wait() for runner in runners] == [0, 0, 0]
    assert Counter(key for key, _, _ in spans(tmp_path)) == Counter(f"k{n}" for n in range(30))
    assert not (tmp_path / "claims").exists()


@pytest.mark.slow
def test_killed_runs_lose_no_cell_and_no_cell_has_two_owners(tmp_path: Path) -> None:
    cells, runners = 200, [started(tmp_path, 200, f"log{n}", 20) for n in range(4)]
    for number in range(4, 24):
        time.sleep(0.3)
        victim = runners.pop(0)
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        runners.append(started(tmp_path, cells, f"log{number}", 20))
    assert [runner.wait() for runner in runners] == [0] * 4
    assert len(list(tmp_path.glob("*.done"))) == cells
    by_key: dict[str, list[tuple[int, int]]] = {}
    for key, begin, end in spans(tmp_path):
        by_key.setdefault(key, []).append((begin, end))
    for times in by_key.values():
        times.sort()
        assert all(end <= begin for (_, end), (begin, _) in pairwise(times))
