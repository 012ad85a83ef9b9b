"""Processors and memory that this process may use, within the limits of its control groups.

Containers (`docker --cpus --memory`, Kubernetes) and batch systems (Slurm) limit a group of
processes. The machine still reports all of its processors and memory. A limit may be that of the
group itself or of one that contains it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

ROOT = Path("/")


def processors(root: Path = ROOT) -> int:
    """Number of processors that this process may use.

    Args:
        root: folder that contains `proc` and `sys`.
    """
    shares = [visible_processors()]
    for folder in _groups(root, "cpu"):
        with suppress(OSError, ValueError):
            if (file := folder / "cpu.max").exists():
                quota, period = file.read_text().split()
            else:
                quota, period = (
                    (folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period")
                )
            if int(quota) > 0:
                shares.append(max(1, int(quota) // int(period)))
    return min(shares)


def visible_processors() -> int:
    """Number of processors that this process may run on, whatever its share of them."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def free_memory(root: Path = ROOT) -> float:
    """Bytes of main memory that new processes can take without swapping.

    Args:
        root: folder that contains `proc` and `sys`.
    """
    found = [float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))]
    with suppress(OSError, KeyError, ValueError, IndexError):
        found.append(_numbers(root / "proc/meminfo")["MemAvailable:"] * 1024.0)
    for folder in _groups(root, "memory"):
        for limit, used, cached in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            with suppress(OSError, ValueError, IndexError):
                most, now = (int((folder / name).read_text()) for name in (limit, used))
                # Files that were read are counted as used; they make room when it is needed.
                spare = _numbers(folder / "memory.stat").get(cached, 0)
                found.append(float(max(0, most - now + spare)))
    return min(found)


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """The folder of this process's group and those of the groups that contain it.

    A container may see its own group alone, at the top.
    """
    with suppress(OSError, ValueError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, name = line.split(":", 2)
            if controller in controllers.split(","):  # version 1
                tops = {controller, controllers}
            elif not controllers:  # version 2, alone or beside version 1
                tops = {"", "unified"}
            else:
                continue
            parts = [part for part in name.split("/") if part not in ("", "..")]
            for top in tops:
                for length in range(len(parts), -1, -1):
                    yield (root / "sys/fs/cgroup" / top).joinpath(*parts[:length])


def _numbers(file: Path) -> dict[str, int]:
    """The first number of each line of a file, by the word before it."""
    lines = (line.split() for line in file.read_text().splitlines())
    return {words[0]: int(words[1]) for words in lines if len(words) > 1}
