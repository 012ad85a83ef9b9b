"""`submit`: what Slurm receives, that it runs, and what is refused."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.tools.torture.sweeps import VOLATILE
from tests.benchmarks.cli.commands import Command, records, the_line

SBATCH = """#!/bin/sh
number=$(($(ls "$JOBS" | wc -l) + 101))
for last; do :; done
{
  echo "# $*"
  case "$last" in *.sh) cat "$last" ;; *) cat ;; esac
} > "$JOBS/$number.sh"
case "$*" in *--parsable*) echo "$number" ;; *) echo "Submitted batch job $number" ;; esac
"""
SCONTROL = """#!/bin/sh
case "$1" in
  show) echo "MaxArraySize            = 3" ;;
  requeue) echo "$2" >> "$JOBS/../requeued" ;;
esac
"""


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which a pretended Slurm keeps the batch scripts that it receives."""
    tools, folder = tmp_path / "tools", tmp_path / "jobs"
    tools.mkdir()
    folder.mkdir()
    for name, text in (("sbatch", SBATCH), ("scontrol", SCONTROL), ("srun", "#!/bin/sh\n")):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    monkeypatch.setenv("JOBS", str(folder))
    return folder


@pytest.fixture
def sweep(small: list[str]) -> list[str]:
    """Four cells on one bench; the device is what Slurm is asked for."""
    rest = small[: small.index("--device")]
    words = ["--methods", "ncm,linear_probe", "--set", "linear_probe.epochs=1", *rest]
    return [*words, "--seeds", "0,1,2", "--out", "runs"]


@pytest.fixture
def separate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every unit of work is a task of its own, and every cell a unit."""
    monkeypatch.setattr("benchmarks.run.tasks.SHORTEST_S", 0.0)
    monkeypatch.setattr("benchmarks.run.units.SHORTEST_PIECE_S", 1e-9)


def flags(script: str) -> dict[str, str]:
    found = re.findall(r"^#SBATCH --([a-z-]+)(?:=(.*))?$", script, re.MULTILINE)
    return {name: "".join(shlex.split(value)) for name, value in found}


def received(jobs: Path) -> list[str]:
    return [file.read_text() for file in sorted(jobs.iterdir())]


def tasks() -> list[list[str]]:
    (file,) = Path("runs").glob("slurm/*/tasks.json")
    found: list[list[str]] = json.loads(file.read_text())["tasks"]
    return found


def test_an_array_is_sent_and_a_job_for_the_report(
    command: Command, jobs: Path, sweep: list[str], separate: None
) -> None:
    ended = command(
        "submit", *sweep, "--slurm", "partition=long", "--slurm", "cpus-per-task=4",
        "--slurm", "time=2:30:00", "--at-most", "2", "--max-array", "50",
    )  # fmt: skip
    assert ended.status == 0
    assert "4 cells in 4 tasks, at most 2 at a time" in ended.out
    assert "(101). Job 102 writes the report" in ended.out
    array, report = received(jobs)
    shown = flags(array)
    assert shown["array"] == "0-3%2"
    assert (shown["partition"], shown["cpus-per-task"], shown["time"]) == ("long", "4", "150")
    assert shown["signal"] == "USR2@90"
    assert int(shown["mem"].removesuffix("G")) >= 2
    assert "submitit.core._submit" in array
    assert flags(report)["dependency"] == "afterany:101"
    assert "array" not in flags(report) and "cpus-per-task" not in flags(report)
    assert flags(report)["partition"] == "long"
    assert sorted(len(keys) for keys in tasks()) == [1, 1, 1, 1]


def test_more_tasks_than_an_array_may_have_are_sent_in_turns(
    command: Command, jobs: Path, sweep: list[str], separate: None
) -> None:
    assert command("submit", *sweep).status == 0
    first, second, report = map(flags, received(jobs))
    assert (first["array"], "dependency" in first) == ("0-2%3", False)
    assert "array" not in second  # submitit sends one task as a plain job
    assert second["dependency"] == "afterany:101"
    assert report["dependency"] == "afterany:101:102"


def test_short_units_are_one_task(command: Command, jobs: Path, sweep: list[str]) -> None:
    ended = command("submit", *sweep)
    assert "4 cells in 1 task, " in ended.out
    assert len(tasks()) == 1 and len(tasks()[0]) == 4


def test_a_script_says_the_same_to_plain_sbatch(
    command: Command, jobs: Path, sweep: list[str], separate: None
) -> None:
    ended = command("submit", *sweep, "--slurm", "qos=low", "--at-most", "2", "--dry-run")
    assert ended.status == 0
    assert list(jobs.iterdir()) == []
    subprocess.run(["bash", "-c", ended.out], check=True)
    first, second, report = received(jobs)
    assert [flags(text)["array"] for text in (first, second)] == ["0-2%2", "0-0%1"]
    assert {flags(text)["qos"] for text in (first, second, report)} == {"low"}
    assert [text.splitlines()[0] for text in (first, second, report)] == [
        "# --parsable", "# --parsable --dependency=afterany:101",
        "# --dependency=afterany:101:102",
    ]  # fmt: skip
    assert "requeue" in flags(first) and flags(first)["signal"] == "B:USR2@90"
    assert flags(first)["chdir"] == str(Path.cwd())
    assert "tasks.json:$((3 + SLURM_ARRAY_TASK_ID))" in second
    for text in (first, second, report):
        subprocess.run(["bash", "-n"], input=text, text=True, check=True)


def task(script: str, number: int) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ, "SLURM_ARRAY_JOB_ID": "5", "SLURM_ARRAY_TASK_ID": str(number)
    }  # fmt: skip
    return subprocess.Popen(["bash", "-c", script], env=environment, start_new_session=True)


@pytest.mark.slow
def test_the_tasks_of_a_script_run_the_sweep(
    command: Command, jobs: Path, sweep: list[str], separate: None
) -> None:
    whole = command("run", *[*sweep[:-1], "whole"], "--device", "cpu")
    assert whole.status == 0
    shown = command("submit", *sweep, "--dry-run").out
    subprocess.run(["bash", "-c", shown], check=True)
    first, second, report = received(jobs)
    running = [task(first, number) for number in range(3)] + [task(second, 0)]
    assert [one.wait(600) for one in running] == [0] * 4
    assert not Path("runs/report").exists()
    assert records(Path("runs")).keys() == records(Path("whole")).keys()
    assert task(report, 0).wait(600) == 0
    (table,) = Path("runs/report").glob("glyphs*.csv")
    rows = [file.read_text().splitlines() for file in (table, Path("whole/report", table.name))]
    shown, expected = (
        [row for row in found if not any(f",{name}," in row for name in VOLATILE)] for found in rows
    )
    assert shown == expected
    file = next(Path("runs").glob("slurm/*/tasks.json"))
    gpu = ["--device", "cuda", "--precision", "fp32"]  # in a job without one
    assert command("run", *sweep, *gpu, "--task", f"{file}:report").status == 0
    again = command("submit", *sweep, "--dry-run")
    assert (again.status, again.out) == (0, "")
    assert "Nothing left to run: 4 cells" in again.err
    moved = Path("runs/slurm").rename("elsewhere")  # as on a node without the shared folder
    assert task(first, 0).wait(60) == 2
    moved.rename("runs/slurm")


@pytest.mark.slow
def test_a_task_goes_on_after_its_time_is_over(
    command: Command, jobs: Path, small: list[str], mine: Path
) -> None:
    words = ["--methods", "mine", "--plugin", str(mine), *small, "--seeds", "0,1"]
    shown = command("submit", *words, "--slurm", "time=60", "--dry-run").out
    subprocess.run(["bash", "-c", shown], check=True)
    running = task(received(jobs)[0], 0)
    while not Path("waiting").exists():
        assert running.poll() is None
        time.sleep(0.05)
    os.kill(running.pid, signal.SIGUSR2)
    assert running.wait(600) == 1
    assert (jobs.parent / "requeued").read_text() == "5_0\n"
    assert not Path("runs/claims").exists()  # given back
    Path("go").touch()
    assert task(received(jobs)[0], 0).wait(600) == 0
    assert set(records(Path("runs"))) == {("mine", 0), ("mine", 1)}


def test_the_precision_of_gpus_is_not_guessed(
    command: Command, jobs: Path, sweep: list[str]
) -> None:
    for words in (["--device", "cuda"], ["--slurm", "gres=gpu:1"], ["--gpus", "auto"]):
        line = the_line(command("submit", *sweep, *words))
        assert "--precision auto: this machine cannot tell" in line
    ended = command("submit", *sweep, "--device", "cuda", "--precision", "bf16", "--dry-run")
    assert ended.status == 0
    assert "#SBATCH --gpus-per-node=1\n" in ended.out
    assert "--device=cuda --precision=bf16" in ended.out
    ended = command("submit", *sweep, "--precision", "fp32", "--slurm", "gres=gpu:1", "--dry-run")
    assert "gpus-per-node" not in ended.out and "--device=cuda --precision=fp32" in ended.out
    files = list(Path("runs").glob("slurm/*/tasks.json"))
    assert len(files) == 2  # other numbers, other cells
    words = ["--device", "cuda", "--precision", "fp32", "--task"]
    assert "device" not in command("run", *sweep, *words, f"{files[0]}:report").err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--slurm array=1-3", "submit sets array itself"),
        ("--at-most 0", "--at-most 0: write a number of tasks, 1 or more"),
        ("--max-array 0", "--max-array 0: write a number"),
        ("--at-most many", "argument --at-most: 'many' is not a whole number"),
        ("--rerun always", "--rerun always: a task that is queued again would start over"),
        ("--check-data", "--check-data: every task would read all images"),
        ("--device mps", "--device mps: nodes of a cluster have cpu or cuda"),
        ("--methods lft", "Unknown method 'lft'"),
    ],
)
def test_what_cannot_be_sent_is_one_line(
    command: Command, jobs: Path, sweep: list[str], words: str, says: str
) -> None:
    assert says in the_line(command("submit", *sweep, *words.split()))
    assert list(jobs.iterdir()) == []
    assert not Path("runs/slurm").exists()


def test_without_slurm_or_submitit_one_line_says_what_to_do(
    command: Command, jobs: Path, sweep: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (jobs.parent / "tools" / "sbatch").unlink()
    line = the_line(command("submit", *sweep))
    assert "sbatch is not on the PATH" in line and "--dry-run" in line
    monkeypatch.setitem(sys.modules, "submitit", None)
    line = the_line(command("submit", *sweep))
    assert "pip install 'submitit" in line and "--dry-run" in line
    assert command("submit", *sweep, "--dry-run").status == 0


def test_what_slurm_says_is_passed_on(command: Command, jobs: Path, sweep: list[str]) -> None:
    tool = jobs.parent / "tools" / "sbatch"
    tool.write_text("#!/bin/sh\necho 'sbatch: error: invalid partition specified: x' >&2\nexit 1\n")
    ended = command("submit", *sweep, "--slurm", "partition=x")
    assert ended.status == 2
    assert ended.err.endswith(
        "error: sbatch refuses: sbatch: error: invalid partition specified: x.\n"
    )


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            "--datasets cifar100_lt --backbone glyph",
            "Nodes do not download, and something is not here. cifar100_lt: no CIFAR-100 under",
        ),
        (
            "--datasets cifar100_lt --backbone ViT-B-16-quickgelu/openai",
            "where it goes) And: The weights of 'ViT-B-16-quickgelu/openai' are not on this",
        ),
        (
            "--datasets glyphs100_lt --backbone ViT-B-16-quickgelu/openai",
            "The weights of 'ViT-B-16-quickgelu/openai' are not on this machine",
        ),
    ],
)
def test_what_is_not_here_is_not_fetched_by_all_tasks(
    command: Command, jobs: Path, words: str, says: str
) -> None:
    assert says in the_line(command("submit", "--methods", "ncm", *words.split()))
    assert list(jobs.iterdir()) == []
