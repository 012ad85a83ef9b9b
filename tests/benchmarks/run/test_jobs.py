"""Several workers at a time: the same numbers, and no harm beyond the cell that does it."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest

import run_benchmarks
from benchmarks.errors import UserError
from benchmarks.processes import staying_here
from results.schema import Record
from results.store import Store
from tests.benchmarks.small import DATA, forgetting_plugins, make_clip_folder

PLUGIN = '''
    import os, signal, time
    from dataclasses import dataclass
    from pathlib import Path

    from methods.base import Method, Predictor
    from methods.registry import register


    @register("told", paper="-", needs="features")
    @dataclass(frozen=True)
    class Told(Method):
        """Does what it is told."""

        how: str = "none"
        meet: str = ""

        def fit(self, task):
            weight = task.normal_per_class("weight", 16)
            if self.how == "raise":
                raise ValueError("no")
            if self.meet:  # with another cell, which must run at the same time
                Path(self.meet, str(task.seed)).touch()
                until = time.monotonic() + 60
                while len(os.listdir(self.meet)) < 2:
                    if time.monotonic() > until:
                        raise TimeoutError("nobody came")
                    time.sleep(0.02)
            if self.how == "wait":
                time.sleep(600)
            return Predictor(lambda batch: batch.inputs @ weight.T)


    @register("dies", paper="-", needs="features", deterministic=True)
    @dataclass(frozen=True)
    class Dies(Method):
        """Ends its process."""

        def fit(self, task):
            os.kill(os.getpid(), signal.SIGKILL)
'''

pytestmark = pytest.mark.children


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., int]]:
    """Runs a command with the plug-in of this file in a folder of its own."""
    folder = tmp_path_factory.mktemp("jobs")
    model = make_clip_folder(folder / "small_clip")
    (folder / "told.py").write_text(dedent(PLUGIN))

    def run(out: str, *words: str, here: bool = False) -> int:
        backbone = ["--backbone", f"local-dir:{model}", "--device", "cpu"]
        with forgetting_plugins(), staying_here(here):
            return run_benchmarks.main(
                [*words, *DATA, *backbone, "--out", str(folder / out),
                 "--plugin", str(folder / "told.py")]
            )  # fmt: skip

    run.folder = folder  # type: ignore[attr-defined]
    yield run


def records(out: Path) -> dict[tuple[str, int], Record]:
    found, problems = Store(out).all()
    assert problems == []
    return {(r.method, r.seed): r for r in found}


def without_times(table: str) -> str:
    """Remove the last column, which holds the time of a fit."""
    assert "& fit \\\\" in table
    return re.sub(r"& [0-9.]+ s \\\\$", "", table, flags=re.MULTILINE)


SWEEP = (
    "--methods", "ncm,linear_probe,told", "--seeds", "0,1,2", "--set", "linear_probe.epochs=2",
)  # fmt: skip


def assert_same_records(one: Path, other: Path) -> None:
    """Compare the records and predictions of one folder with those of another."""
    ones, others = records(one), records(other)
    assert len(ones) == 7
    for row, record in ones.items():
        assert others[row].key == record.key and others[row].metrics == record.metrics
        assert others[row].notes == record.notes
        a, b = (Store(out).predictions(record.key) for out in (one, other))
        assert a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)


def assert_same(one: Path, other: Path) -> None:
    """Compare records, predictions and tables, without times."""
    assert_same_records(one, other)
    names = sorted(file.name for file in (one / "report").glob("*.tex"))
    assert names
    for name in names:
        a, b = (without_times((out / "report" / name).read_text()) for out in (one, other))
        assert a == b


def test_two_workers_write_what_one_process_writes(
    world: Callable[..., int], tmp_path: Path
) -> None:
    """Two cells wait for each other, and one ends its process."""
    folder: Path = world.folder  # type: ignore[attr-defined]
    (tmp_path / "meet").mkdir()
    sweep = (*SWEEP[2:], "--set", f"told.meet={tmp_path / 'meet'}")
    assert world("two", "--methods", "ncm,linear_probe,told,dies", *sweep, "--jobs", "2") == 1
    assert world("one", *SWEEP[:2], *sweep, here=True) == 0
    dead = [r for r in Store(folder / "two").all()[0] if r.method == "dies"]
    assert [r.status for r in dead] == ["failed"] and "SIGKILL" in str(dead[0].error)
    assert not (folder / "two" / "claims").exists()
    assert_same_records(folder / "one", folder / "two")


@pytest.mark.slow
def test_two_workers_write_what_one_writes(world: Callable[..., int]) -> None:
    folder: Path = world.folder  # type: ignore[attr-defined]
    assert world("alone", *SWEEP) == 0
    assert world("side by side", *SWEEP, "--jobs", "2") == 0
    assert_same(folder / "alone", folder / "side by side")


@pytest.mark.slow
def test_parts_write_what_one_run_writes(world: Callable[..., int]) -> None:
    folder: Path = world.folder  # type: ignore[attr-defined]
    assert world("whole", *SWEEP) == 0
    for part in ("2/3", "1/3", "3/3"):
        assert world("parts", *SWEEP, "--shard", part) == 0
    assert world("parts", *SWEEP, "--jobs", "3") == 0  # nothing is left to run: the table alone
    assert_same(folder / "whole", folder / "parts")


def test_a_run_ends_after_the_failures_that_it_may_have(
    world: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder: Path = world.folder  # type: ignore[attr-defined]
    flags = ("--methods", "told", "--set", "told.how=raise", "--seeds", "0,1,2,3")
    assert world("limited", *flags, "--max-failures", "2", here=True) == 1
    printed = " ".join("".join(capsys.readouterr()).split())
    assert "2 cells failed (--max-failures 2)" in printed
    assert "2 of 4 cells left no record" in printed
    assert len(records(folder / "limited")) == 2


def test_an_interruption_ends_all_workers_and_records_nothing_of_them(
    world: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder: Path = world.folder  # type: ignore[attr-defined]

    def interrupt() -> None:
        until = time.monotonic() + 60
        while len(os.listdir(tmp_path)) < 2 and time.monotonic() < until:
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    flags = ("--methods", "told", "--seeds", "0,1", "--jobs", "2")
    status = world("stopped", *flags, "--set", f"told.meet={tmp_path}", "--set", "told.how=wait")
    thread.join()
    assert status == 130
    assert records(folder / "stopped") == {}
    assert not (folder / "stopped" / "claims").exists()
    assert "Interrupted: 0 of 2 cells" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--jobs", "0"], "--jobs: '0' is not a number of workers"),
        (["--gpus", "9"], "there is no GPU 9; this machine has no GPU"),
        (["--gpus", "auto"], "no GPU is visible here"),
    ],
)
def test_what_cannot_be_used_ends_in_a_line_before_anything_runs(
    world: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    flags: list[str],
    says: str,
) -> None:
    folder: Path = world.folder  # type: ignore[attr-defined]
    monkeypatch.setenv("PATH", "/nowhere")
    words = ["--methods", "ncm", *DATA, "--backbone", f"local-dir:{folder / 'small_clip'}"]
    assert run_benchmarks.main([*words, "--out", str(folder / "none"), *flags]) == 2
    assert says in " ".join(capsys.readouterr().err.split())
    assert not (folder / "none" / "records").exists()


def test_a_debugger_has_one_process(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--debug fits in a single process"):
        run_benchmarks.main(["--jobs", "2", "--debug", "--out", str(tmp_path)])
