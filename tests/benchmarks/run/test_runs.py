"""Runs in one folder: those of one sweep work together, a run of another sweep is refused."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import pytest

from benchmarks import signs_of_life
from benchmarks.errors import UserError
from benchmarks.run import runs
from benchmarks.run.runs import TakingPart, clock_time, living_runs, sweep_hash
from benchmarks.safe_files import this_process
from benchmarks.signs_of_life import SILENT_S


def foreign(
    out: Path, sweep: str, process: str = "00000000-1-1", token: str = "a", begun: bool = True
) -> Path:
    """The sign of a run on another machine."""
    file = out / "status" / f"{token}.run"
    file.parent.mkdir(exist_ok=True)
    who = {"host": "node7", "pid": 12, "process": process, "since": time.time(), "token": token}
    file.write_text(json.dumps(who | {"sweep": sweep, "begun": begun}))
    return file


def dead_here() -> str:
    machine, pid, started = this_process().split("-")
    return f"{machine}-{pid}-{int(started) + 1}"


def test_a_sweep_is_its_set_of_cells() -> None:
    assert sweep_hash(["a", "b", "a"]) == sweep_hash(["b", "a"]) != sweep_hash(["a"])


def test_runs_of_one_sweep_work_together(tmp_path: Path) -> None:
    with TakingPart(tmp_path, "one") as first:
        assert first.others() == []
        with TakingPart(tmp_path, "one") as second:
            assert len(living_runs(tmp_path)) == 2
            (other,) = second.others()
            assert other.owner.pid == os.getpid() and other.sweep == "one" and other.begun
        assert first.others() == []
    assert list((tmp_path / "status").iterdir()) == []


def test_a_run_of_another_sweep_is_refused_with_a_line(tmp_path: Path) -> None:
    foreign(tmp_path, "other")
    with pytest.raises(UserError) as caught, TakingPart(tmp_path, "one"):
        pass
    line = str(caught.value)
    assert line.startswith(f"{tmp_path}: another sweep is running there (node7, process 12, since")
    assert line.endswith("choose another folder with --out, or wait until it has ended.")
    assert [file.name for file in (tmp_path / "status").iterdir()] == ["a.run"]


def test_it_begins_when_the_other_has_ended(tmp_path: Path) -> None:
    with TakingPart(tmp_path, "other"), pytest.raises(UserError), TakingPart(tmp_path, "one"):
        pass
    with TakingPart(tmp_path, "one"):
        assert [run.sweep for run in living_runs(tmp_path)] == ["one"]


def test_a_dead_run_is_no_obstacle_and_leaves_nothing(tmp_path: Path) -> None:
    foreign(tmp_path, "other", process=dead_here())
    silent = foreign(tmp_path, "other", token="b")
    os.utime(silent, (time.time() - SILENT_S - 10,) * 2)
    (tmp_path / "status" / "c.run").write_text("no sign")
    leftover = tmp_path / "status" / f".d.run.{dead_here()}.0.tmp"
    leftover.touch()
    assert living_runs(tmp_path) == []
    with TakingPart(tmp_path, "one") as part:
        assert part.others() == []
        assert len(list((tmp_path / "status").iterdir())) == 1
    assert list((tmp_path / "status").iterdir()) == []


def test_of_two_that_ask_the_smaller_token_goes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign(tmp_path, "other", begun=False, token="0")
    with pytest.raises(UserError), TakingPart(tmp_path, "one"):
        pass
    # A larger one has to give way, and is waited for.
    rival = foreign(tmp_path, "other", begun=False, token="z")
    (tmp_path / "status" / "0.run").unlink()
    waits: list[float] = []

    def gives_way(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            rival.unlink()

    monkeypatch.setattr(runs.time, "sleep", gives_way)
    with TakingPart(tmp_path, "one"):
        assert len(waits) == 3
    # It may have begun before it could see the other.
    waits.clear()
    foreign(tmp_path, "other", begun=False, token="z")
    monkeypatch.setattr(runs.time, "sleep", lambda _: foreign(tmp_path, "other", token="z"))
    with pytest.raises(UserError), TakingPart(tmp_path, "one"):
        pass


@pytest.mark.parametrize("_", range(5))
def test_of_sweeps_that_begin_together_one_is_run(tmp_path: Path, _: int) -> None:
    names = "aabbcc"
    start, end = threading.Barrier(len(names)), threading.Barrier(len(names))
    begun, refused = [], []

    def work(sweep: str) -> None:
        start.wait(60)
        try:
            with TakingPart(tmp_path, sweep):
                begun.append(sweep)
                end.wait(60)
        except UserError:
            refused.append(sweep)
            end.wait(60)

    threads = [threading.Thread(target=work, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert begun and len(set(begun)) == 1
    assert len(begun) + len(refused) == len(names)


def test_a_run_whose_sweep_is_asked_for_by_the_first_waits_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign(tmp_path, "one", begun=False, token="0")
    rival = foreign(tmp_path, "other", begun=False, token="00")
    monkeypatch.setattr(runs.time, "sleep", lambda _: rival.unlink())
    with TakingPart(tmp_path, "one") as part:
        assert [run.token for run in part.others()] == ["0"]


def test_a_run_touches_its_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signs_of_life, "BEAT_S", 0.001)
    with TakingPart(tmp_path, "one"):
        (file,) = (tmp_path / "status").iterdir()
        os.utime(file, (1, 1))
        while file.stat().st_mtime == 1:
            time.sleep(0.001)


def test_the_sign_goes_whatever_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), TakingPart(tmp_path, "one"):
        raise KeyboardInterrupt
    assert living_runs(tmp_path) == []


def test_a_folder_that_cannot_be_written_to_is_said_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "status").touch()
    with pytest.raises(UserError, match=r"Cannot write to .*status.*--out"):
        TakingPart(tmp_path, "one").__enter__()
    assert living_runs(tmp_path) == []


def test_a_time_has_its_date_unless_it_is_today() -> None:
    assert len(clock_time(time.time())) == len("14:03")
    assert len(clock_time(time.time() - 100 * 24 * 3600)) == len("2026-01-02 14:03")
    assert clock_time(float("inf")) == clock_time(float("nan")) == clock_time(1e30) == "?"
