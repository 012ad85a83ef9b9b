"""The command of a task under submitit's own executors, and its restart after a time-out."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import submitit
from submitit.core.utils import FailedJobError

from benchmarks.cli.parts import slurm
from benchmarks.cli.parts.array_task import ArrayTask
from benchmarks.cli.parts.submitit_jobs import send

STUBBORN = """
import os, signal, sys, time
from pathlib import Path
print("begins", flush=True)
if Path("told").exists():
    print("goes on", flush=True)
    sys.exit(0)
os.kill(os.getpid(), signal.SIGUSR2)  # Slurm sends it to all processes of a task
try:
    Path("waits").touch()
    time.sleep(100)
except KeyboardInterrupt:
    Path("told").touch()
    sys.exit(130)
"""

SAID = ("begins", "goes on")


def test_a_command_runs_where_it_was_submitted(tmp_path: Path) -> None:
    ArrayTask(["sh", "-c", "pwd > here"], str(tmp_path))()
    assert (tmp_path / "here").read_text().strip() == str(tmp_path)
    with pytest.raises(RuntimeError, match=r"exit status 3"):
        ArrayTask(["sh", "-c", "exit 3"], str(tmp_path))()
    with pytest.raises(RuntimeError, match=r"none is not on .*: run `submit` in a folder that all"):
        ArrayTask(["true"], str(tmp_path / "none"))()


def test_the_executor_for_debugging_runs_it(tmp_path: Path) -> None:
    executor = submitit.AutoExecutor(tmp_path / "logs", cluster="debug")
    job = executor.submit(ArrayTask(["touch", "done"], str(tmp_path)))
    assert job.exception() is None
    assert (tmp_path / "done").exists()


def test_an_interrupted_command_goes_on(tmp_path: Path) -> None:
    task = ArrayTask([sys.executable, "-c", STUBBORN], str(tmp_path))
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(task)
        while not (tmp_path / "waits").exists():
            assert not running.done()
            time.sleep(0.01)
        next_one = task.checkpoint()
        with pytest.raises(RuntimeError, match=r"exit status 130"):
            running.result(60)
    next_one.result()
    assert next_one.done()


@pytest.mark.slow
def test_tasks_of_an_array_have_their_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The nodes need not have this package: what submitit pickles is whole."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "")
    lines = 'echo "$1" >> "seen$1"; test "$1" != T3'
    array = slurm.Job("n", {"time": "5"}, ["sh", "-c", lines, "-", "T"])
    report = slurm.Job("r", {"time": "5"}, ["touch", "reported"])
    jobs = send(array, [2, 2], report, 9, tmp_path / "logs", "local")
    assert [len(some) for some in jobs] == [2, 2, 1]
    for job in (one for some in jobs for one in some):
        job.wait()
    assert sorted(file.name for file in tmp_path.glob("seen*")) == [f"seenT{n}" for n in range(4)]
    assert (tmp_path / "reported").exists()
    with pytest.raises(FailedJobError, match=r"exit status 1"):
        jobs[1][1].result()
    assert jobs[0][0].result() is None


@pytest.mark.slow
def test_submitit_queues_it_again_after_a_signal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = slurm.Job("n", {"time": "5"}, [sys.executable, "-c", STUBBORN])
    ((job,),) = send(command, [], command, 9, tmp_path / "logs", "local")
    while not (tmp_path / "waits").exists():
        assert not job.done()
        time.sleep(0.01)
    listed = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", job.job_id], capture_output=True, text=True, check=True
    )
    os.kill(int(listed.stdout.split()[0]), signal.SIGUSR2)
    job.wait()
    assert job.exception() is None
    shown = (job.stdout() or "").splitlines()
    assert [line for line in shown if line in SAID] == ["begins", "begins", "goes on"]
