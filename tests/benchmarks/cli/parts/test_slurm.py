"""Requests to Slurm: flags, times and the length of an array."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.cli.parts import slurm
from benchmarks.errors import UserError


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("30", 30), ("1:30", 2), ("4:00:00", 240), ("0:00:01", 1), ("1-0", 1440), ("1-12", 2160),
        ("2-1:30", 2970), ("1-0:0:59", 1441),
    ],
)  # fmt: skip
def test_times_have_the_forms_of_slurm(text: str, minutes: int) -> None:
    assert slurm.minutes(text) == minutes


@pytest.mark.parametrize(
    "text", ["", "soon", "-1", "0", "1:2:3:4", "1-", "-3", "1-2-3", "1.5", "²"]
)
def test_other_times_are_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"--slurm time="):
        slurm.minutes(text)


def test_settings_are_flags_of_sbatch() -> None:
    texts = ["partition=gpu", "--gres=gpu:a100:1", "cpus-per-task=8", "exclusive", "time=1-0"]
    assert slurm.settings_of(texts) == {
        "partition": "gpu",
        "gres": "gpu:a100:1",
        "cpus_per_task": "8",
        "exclusive": True,
        "time": "1-0",
    }


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("=gpu", "write KEY=VALUE"),
        ("partition=", "write KEY=VALUE"),
        ("a b=1", "write KEY=VALUE"),
        ("mem=1\n#SBATCH", "write KEY=VALUE"),
        ("array=0-3", "submit sets array itself"),
        ("open-mode=append", "submit sets open-mode itself"),
        ("time=soon", "--slurm time=soon"),
    ],
)
def test_other_settings_are_refused(text: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        slurm.settings_of([text])


def test_the_report_needs_no_gpu() -> None:
    settings = slurm.settings_of(
        ["partition=p", "account=a", "gres=gpu:1", "gpus-per-node=4", "mem=90G", "time=9:00:00"]
    )
    assert slurm.for_report(settings) == {"partition": "p", "account": "a", "time": "60"}


@pytest.mark.parametrize(
    ("shown", "size"),
    [
        ("MaxArraySize            = 2001", 2001),
        ("MaxArraySize            = 0", 1),
        ("MaxJobCount             = 10000", slurm.USUAL_MAX_ARRAY),
        (None, slurm.USUAL_MAX_ARRAY),
    ],
)
def test_the_cluster_says_how_long_an_array_may_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shown: str | None, size: int
) -> None:
    if shown is not None:
        tool = tmp_path / "scontrol"
        tool.write_text(f"#!/bin/sh\necho 'Configuration data'\necho '{shown}'\n")
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    assert slurm.max_array_size() == size
