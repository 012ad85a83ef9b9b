"""Limits of control groups, in folders that look like those of a system."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from benchmarks import limits
from benchmarks.limits import free_memory, processors

GB = 10**9


@pytest.fixture(autouse=True)
def _large_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "visible_processors", lambda: 64)
    monkeypatch.setattr(limits.os, "sysconf", lambda name: 10**6)  # 10^12 bytes


def system(root: Path, group: str, files: Mapping[str, str]) -> Path:
    """Write the files of a system; `files` are those of its control groups."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(group)
    (root / "proc/meminfo").write_text("MemTotal: 900 kB\nMemAvailable:   500000000 kB\n")
    for name, content in files.items():
        file = root / "sys/fs/cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return root


JOB = "slurm/uid_7/job_9"


@pytest.mark.parametrize(
    ("group", "files", "expected"),
    [
        ("0::/\n", {}, 64),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 64),
        ("0::/\n", {"cpu.max": "250000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "50000 100000\n"}, 1),
        # The container sees its own group at the top, under the name that it has outside.
        ("0::/docker/4cd7\n", {"cpu.max": "300000 100000\n"}, 3),
        (f"0::/{JOB}/step_0\n", {f"{JOB}/cpu.max": "800000 100000\n"}, 8),
        (
            f"0::/{JOB}/step_0\n",
            {f"{JOB}/cpu.max": "800000 100000", f"{JOB}/step_0/cpu.max": "max 100000"},
            8,
        ),
        (
            "4:cpu,cpuacct:/a\n0::/\n",
            {
                "cpu,cpuacct/a/cpu.cfs_quota_us": "400000\n",
                "cpu,cpuacct/a/cpu.cfs_period_us": "100000\n",
            },
            4,
        ),
        ("4:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 64),
        ("4:cpuset:/\n", {"cpu.max": "100000 100000"}, 64),
        ("noise", {"cpu.max": "100000 100000"}, 64),
    ],
)
def test_processors(group: str, files: dict[str, str], expected: int, tmp_path: Path) -> None:
    assert processors(system(tmp_path, group, files)) == expected


@pytest.mark.parametrize(
    ("group", "files", "expected"),
    [
        ("0::/\n", {}, 512 * GB),
        ("0::/\n", {"memory.max": "max\n", "memory.current": "5\n"}, 512 * GB),
        (
            "0::/\n",
            {"memory.max": f"{8 * GB}", "memory.current": f"{6 * GB}", "memory.stat": "anon 3\n"},
            2 * GB,
        ),
        # What was read from files makes room again.
        (
            f"0::/{JOB}/step_0\n",
            {
                f"{JOB}/memory.max": f"{8 * GB}",
                f"{JOB}/memory.current": f"{7 * GB}",
                f"{JOB}/memory.stat": f"anon {2 * GB}\ninactive_file {4 * GB}\n",
                f"{JOB}/step_0/memory.max": "max",
                f"{JOB}/step_0/memory.current": f"{7 * GB}",
            },
            5 * GB,
        ),
        (
            f"7:memory:/{JOB}\n0::/\n",
            {
                f"memory/{JOB}/memory.limit_in_bytes": f"{4 * GB}",
                f"memory/{JOB}/memory.usage_in_bytes": f"{GB}",
                f"memory/{JOB}/memory.stat": "inactive_file 9\ntotal_inactive_file 5\n",
                "memory/memory.limit_in_bytes": "9223372036854771712",
                "memory/memory.usage_in_bytes": f"{90 * GB}",
                "memory/memory.stat": "total_inactive_file 0",
            },
            3 * GB + 5,
        ),
        (
            "0::/\n",
            {"memory.max": f"{GB}", "memory.current": f"{2 * GB}", "memory.stat": ""},
            0,
        ),
    ],
)
def test_free_memory(group: str, files: dict[str, str], expected: int, tmp_path: Path) -> None:
    assert free_memory(system(tmp_path, group, files)) == expected


def test_a_system_without_these_files(tmp_path: Path) -> None:
    assert processors(tmp_path) == 64
    assert free_memory(tmp_path) == 10**12
