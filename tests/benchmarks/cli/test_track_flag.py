"""The flag --track: what it reports to, and what it refuses."""

from __future__ import annotations

import math
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from benchmarks.run.tracking import trackers as tracking
from benchmarks.run.tracking.base import Settings
from benchmarks.run.tracking.side import Side
from benchmarks.run.tracking.tensorboard import TensorBoard
from benchmarks.sweep.tracks import Track
from results.store import Store
from tests.benchmarks.cli.commands import Command, the_line
from tests.benchmarks.run.runs.recorder import RECORDER, seen, told


@pytest.fixture
def recorder(work: Path) -> Path:
    """A file with a tracker that writes what it is told to seen.jsonl."""
    file = work / "recorder.py"
    file.write_text(dedent(RECORDER))
    return file


def test_each_training_has_its_own_learning_rate(
    command: Command, small: list[str], recorder: Path
) -> None:
    grid = "{methods: [linear_probe: {lr: 0.1}, linear_probe: {lr: 0.02}], seeds: [0]}"
    Path("sweep.yaml").write_text(grid[:-1] + ", track: [recorder.py]}")
    words = ["--config", "sweep.yaml", *small, "--set", "linear_probe.epochs=4"]
    assert command(*words).status == 0
    calls = seen()
    begun = {call["key"]: call["config"]["lr"] for call in calls if call["call"] == "begin"}
    assert sorted(begun.values()) == [0.02, 0.1]
    for key, lr in begun.items():  # the cosine falls before each epoch
        expected = [(n + 1, lr * (1 + math.cos(math.pi * n / 4)) / 2) for n in range(4)]
        assert told(calls, key)["lr"] == [(n, pytest.approx(v, rel=1e-5)) for n, v in expected]


@pytest.mark.parametrize(
    ("track", "says"),
    [
        ("tensorbord:runs", "tensorboard"),
        ("tb", "Did you mean: tensorboard?"),
        ("tensorboard:", "nothing stands behind the colon"),
        ("", "Unknown tracker"),
        ("wandb:a,wandb:a", "is named twice"),
        ("absent.py", "no file at absent.py"),
        ("recorder.py:refuse-new", "--track recorder.py:refuse-new: no such place."),
        ("recorder.py:fail-new", "ValueError: no luck"),
        ("empty.py", "defines 0 classes"),
        ("syntax.py", "SyntaxError"),
    ],
)
def test_an_unusable_tracker_is_one_line_and_nothing_begins(
    command: Command, fast: list[str], recorder: Path, track: str, says: str
) -> None:
    Path("empty.py").write_text("from benchmarks.run.tracking.base import Tracker\n")
    Path("syntax.py").write_text("class\n")
    assert says in the_line(command(*fast, "--track", track))
    assert not Store(Path("runs")).files()


def test_a_package_that_is_missing(
    command: Command, fast: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.packages.find_spec", lambda name: None)
    for track in ("tensorboard:t", "wandb", "mlflow:http://127.0.0.1:9"):
        kind = track.partition(":")[0]
        for verb in ("plan", "run"):
            line = the_line(command(verb, *fast, "--track", track))
            assert f"`pip install -e '.[{kind}]'`" in line
    assert not Path("runs").exists()


def test_an_interruption_is_the_users_and_not_the_trackers(recorder: Path) -> None:
    settings = Settings(Path.cwd())
    side = Side(Track("recorder.py", "interrupt-close"), settings)
    with pytest.raises(KeyboardInterrupt):
        side.call("close", ())


def test_two_runs_may_begin_at_once(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each tries the folder of TensorBoard with a file of its own."""
    touch = Path.touch

    def touched(self: Path, *rest: Any, **named: Any) -> None:
        touch(self, *rest, **named)
        if "board" in self.parts:
            self.unlink()  # by the other run

    monkeypatch.setattr(Path, "touch", touched)
    TensorBoard("board", Settings(Path.cwd()))
    assert list(Path("board").iterdir()) == []


@pytest.mark.children
def test_trackers_in_processes_of_their_own(
    command: Command, fast: list[str], recorder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "LAST_S", 2.0)
    monkeypatch.setattr(tracking, "SILENT_S", 0.2)
    kinds = ("", ":exit-log", ":hang-begin")
    ended = command(*fast, *(word for k in kinds for word in ("--track", f"recorder.py{k}")))
    assert ended.status == 0, ended.err
    records = {record.key: record for record in Store(Path("runs")).all()[0]}
    calls = seen()
    assert {call["key"] for call in calls if call["call"] == "end"} == set(records)
    for key, record in records.items():
        curves = {name: list(points) for name, points in record.curves.items()}
        assert told(calls, key) == curves
    assert ended.out.count("exit-log: its process ended by itself, with exit status 3.") == 1
    assert ended.out.count("hang-begin: no answer for 2 s.") == 1
    assert ended.out.count(":exit-log: incomplete there: 3 of 4 cells.") == 1
    assert ended.out.count(":hang-begin: incomplete there: 4 of 4 cells.") == 1
