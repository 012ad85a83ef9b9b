"""Requests to Slurm: flags of `sbatch` that a user gives or that estimates suggest."""

from __future__ import annotations

import math
import re
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import UserError, counted

USUAL_MAX_ARRAY = 1001
"""Slurm's own default of MaxArraySize."""
SIGNAL_S = 90
"""Seconds before the end of its time at which a task gets a signal."""
MOST_RESTARTS = 10
"""Time-outs after which a task is not queued again: a cell may hang."""
_OURS = (
    "array", "chdir", "dependency", "error", "open_mode", "output", "requeue", "signal", "wrap"
)  # fmt: skip
_KEY = re.compile(r"[a-z][a-z0-9_]*")

Settings = Mapping[str, str | bool]
"""Long flags of `sbatch`, with underscores, and their values; True for a flag without one."""


def settings_of(texts: Sequence[str]) -> dict[str, str | bool]:
    """Return what `--slurm KEY=VALUE` sets; a flag of sbatch without a value is `--slurm KEY`.

    Raises:
        UserError: not a flag, or one that `submit` sets itself.
    """
    found: dict[str, str | bool] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        key = name.strip().removeprefix("--").replace("-", "_")
        if not _KEY.fullmatch(key) or (equals and not value.strip()) or "\n" in value:
            raise UserError(
                f"--slurm {text}: write KEY=VALUE as in a long flag of sbatch, for example "
                "partition=gpu."
            )
        if key in _OURS:
            raise UserError(f"--slurm {text}: submit sets {name} itself.")
        found[key] = value.strip() if equals else True
    if "time" in found:
        minutes(str(found["time"]))
    return found


def minutes(text: str) -> int:
    """Return a time in a form of Slurm's, such as 30, 4:00:00 or 1-12, in minutes, rounded up.

    Raises:
        UserError: it has none of the forms.
    """
    days, dash, rest = text.rpartition("-")
    parts = rest.split(":")
    whole = all(part.isascii() and part.isdigit() for part in (days or "0", *parts))
    if not whole or len(parts) > 3 or (dash and not days):
        raise UserError(f"--slurm time={text}: write minutes, H:MM:SS or D-HH:MM.")
    numbers = list(map(int, parts))
    if dash:  # days-hours, days-hours:minutes or days-hours:minutes:seconds
        hours, mins, seconds = [*numbers, 0, 0][:3]
    elif len(numbers) == 3:
        hours, mins, seconds = numbers
    else:  # minutes or minutes:seconds
        hours, mins, seconds = 0, *[*numbers, 0][:2]
    total = math.ceil(((int(days or 0) * 24 + hours) * 60 + mins) + seconds / 60)
    if total < 1:
        raise UserError(f"--slurm time={text}: a task needs some time.")
    return total


def for_report(settings: Settings) -> dict[str, str | bool]:
    """Return the settings for the job that writes the report: no GPU, little else."""
    left_out = ("gpus", "gres", "cpus", "mem", "time", "exclusive", "nodes", "ntasks", "tres")
    kept = {key: value for key, value in settings.items() if not key.startswith(left_out)}
    return kept | {"time": "60"}


def max_array_size() -> int:
    """Return the length of the longest array that this cluster accepts."""
    command = ["scontrol", "show", "config"]
    try:
        shown = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return USUAL_MAX_ARRAY
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)\s*$", shown.stdout, re.MULTILINE)
    return max(1, int(found[1])) if found else USUAL_MAX_ARRAY


@dataclass(frozen=True)
class Job:
    """An array, or the job that writes the report."""

    name: str
    settings: Settings
    command: Sequence[str]
    """Without the number of the task."""


def script(array: Job, chunks: Sequence[int], report: Job, at_most: int, file: Path) -> str:
    """Return a shell script that sends the arrays and then the job for the report.

    Args:
        array: its command ends in `--task=FILE:`.
        chunks: number of tasks of each array. They run one after the other, so that `at_most`
            holds for all of them together.
        report: its command is complete.
        at_most: tasks that run at a time.
        file: of the tasks.
    """
    logs, folder = file.parent, Path.cwd()
    lines = [
        "#!/bin/bash",
        f"# {counted(sum(chunks), 'task')}, at most {at_most} at a time, then a job that reports.",
        "set -e",
        f"mkdir -p {shlex.quote(str(logs))}",
        'after=""',
        'all=""',
    ]
    start = 0
    for count in chunks:
        own: dict[str, str | bool] = {
            "array": f"0-{count - 1}%{min(at_most, count)}",
            "output": f"{logs}/%A_%a.log",
            "requeue": True,
            "signal": f"B:USR2@{SIGNAL_S}",
        }
        lines += [
            f"id=$(sbatch --parsable $after <<'END'\n{_header(array, own, folder)}",
            _TASK.format(
                seen=shlex.quote(str(file)),
                command=shlex.join(array.command),
                number=f"$(({start} + SLURM_ARRAY_TASK_ID))",
                restarts=MOST_RESTARTS,
            ),
            "END\n)",
            'id="${id%%;*}"',
            'after="--dependency=afterany:$id"',
            'all="$all:$id"',
        ]
        start += count
    header = _header(report, {"output": f"{logs}/%j_report.log"}, folder)
    lines += [
        f"sbatch --dependency=afterany$all <<'END'\n{header}",
        shlex.join(report.command),
        "END",
    ]
    return "\n".join(lines) + "\n"


_TASK = """\
if [ ! -f {seen} ]; then
  echo "error: "{seen}" is not on $(hostname): the folder of results must be on storage that all" \\
    "nodes share." >&2
  exit 2
fi
again() {{  # the time is over: give the cells back, and go on from their checkpoints later
  kill -INT "$run"
  wait "$run"
  if [ "${{SLURM_RESTART_COUNT:-0}}" -lt {restarts} ]; then
    scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}"
  fi
  exit 1
}}
trap again USR2
set -m  # otherwise a command in the background ignores the interruption
{command}{number} &
run=$!
set +m
wait "$run\""""


def _header(job: Job, own: Settings, folder: Path) -> str:
    """Return the beginning of a batch script."""
    every = {"job_name": job.name, "chdir": str(folder), "open_mode": "append"}
    flags = every | dict(job.settings) | dict(own)
    lines = ["#!/bin/bash"]
    for key, value in flags.items():
        name = key.replace("_", "-")
        shown = f"#SBATCH --{name}={shlex.quote(str(value))}"
        lines.append(f"#SBATCH --{name}" if value is True else shown)
    return "\n".join(lines)
