"""Runs killed at random moments and at chosen file operations, then continued to the end.

A life is one folder: the same command is killed up to three times, at a random time or before a
file operation, the whole program or one of its workers, and then runs to its end. What is left must
equal what an undisturbed run leaves, file by file and number by number.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import UserError
from benchmarks.tools.torture import sweeps
from benchmarks.tools.torture.campaign import Order, Tally, for_each
from benchmarks.tools.torture.sweeps import Place, Run

COUNT = 50
HOOK = Path(__file__).parent / "hook"
METHODS = ("linear_probe", "tau_norm", "crt", "coop", "clip_adapter", "tip_adapter", "lift", "ncm")
SMALL = (
    "--seeds", "0,1", "--save-model", "--save-logits", "--set", "lift.epochs=2",
    "--set", "crt.epochs=2", "--set", "coop.epochs=2", "--set", "clip_adapter.epochs=2",
)  # fmt: skip
SIGNALS = {"SIGKILL": signal.SIGKILL, "SIGTERM": signal.SIGTERM, "SIGINT": signal.SIGINT}
EARLIEST_S = 0.5
"""Before that Python itself is starting and answers an interruption with a traceback."""
ENDINGS = {
    "SIGKILL": {-signal.SIGKILL, 128 + signal.SIGKILL},
    "SIGTERM": {-signal.SIGTERM, 128 + signal.SIGTERM, 130},
    "SIGINT": {-signal.SIGINT, 130},
}
"""Exit statuses of a driver that got a signal; it may have finished before, with 0 or 1."""


@dataclass(frozen=True)
class Operation:
    """A file operation that an undisturbed run does."""

    role: str
    name: str
    number: int
    path: str


@dataclass(frozen=True)
class Undisturbed:
    """Results of the command if nothing happens to it."""

    seconds: float
    cells: dict[str, sweeps.Cell]
    files: set[str]
    table: list[str]
    operations: Sequence[Operation]


def campaign(order: Order) -> Tally:
    """Kill runs until `order.count` kills have struck."""
    tally = Tally()
    first = Place(order.folder / "undisturbed")
    started = time.monotonic()
    run = first.run(_command(first), watched(first))
    if run.status:
        raise UserError(f"The sweep fails without a kill: {run.output[-500:]}")
    calm = Undisturbed(
        time.monotonic() - started, sweeps.cells(first.out), _left(first),
        sweeps.table(run.output), operations(first),
    )  # fmt: skip
    lives = [order.only] if order.only else [str(n) for n in range(1, order.count + 1)]

    def life(name: str) -> None:
        if tally.counts["kills"] < order.count or order.only:
            place = Place(order.folder / name)
            faults = _life(place, calm, order.random(name), tally)
            for fault in faults:
                tally.fault(name, fault)
            if not faults:
                tally.add("folders complete and equal to the undisturbed one at the end")
                shutil.rmtree(place.folder)

    for_each(lives, life, tally, order.jobs)
    return tally


def _command(place: Place, *more: str) -> list[str]:
    return place.sweep(METHODS, *SMALL, *more)


def watched(place: Place, at: str = "") -> dict[str, str]:
    """Environment in which a run logs its file operations and writes every checkpoint.

    Args:
        place: folder of the run.
        at: operation at which a process ends itself, as `hook/sitecustomize.py` reads it.
    """
    log = place.folder / "operations.txt"
    for file in (log, log.with_name(f"{log.name}.done")):
        file.unlink(missing_ok=True)
    return {
        "PYTHONPATH": str(HOOK), "TORTURE_FOLDER": str(place.folder), "TORTURE_LOG": str(log),
        "TORTURE_AT": at, "TORTURE_CHECKPOINTS": "1",
    }  # fmt: skip


def operations(place: Place) -> list[Operation]:
    """Operations that a run logged, without those of its report."""
    found = []
    for line in (place.folder / "operations.txt").read_text(encoding="utf-8").splitlines():
        role, name, number, path = line.split(" ", 3)
        if "/report/" not in path:
            found.append(Operation(role, name, int(number), path))
    return found


def _left(place: Place) -> set[str]:
    """Files of a finished run; logs may tell of cells that failed on the way."""
    found = sweeps.files(place.out) | {f"cache/{name}" for name in sweeps.files(place.cache)}
    return {name for name in found if not name.startswith("logs/")}


def _life(place: Place, calm: Undisturbed, draw: random.Random, tally: Tally) -> list[str]:
    """Kill the command up to three times, let it end, compare, and return the faults."""
    done: list[str] = []
    faults = []
    for _ in range(draw.randint(1, 3)):
        what = _kill(place, calm, draw)
        done.append(what.text)
        if what.struck:
            tally.add("kills")
            tally.add(what.kind)
        faults += what.faults
    run = place.run(_command(place), watched(place))
    if run.status == 1:
        again = place.run(_command(place, "--rerun", "failed"), watched(place))
        run = Run(again.status, run.output + again.output, run.hung or again.hung)
    faults += [*run.faults(), *_compared(place, run, calm)]
    return [f"{fault} (after {', '.join(done)})" for fault in faults]


@dataclass(frozen=True)
class Kill:
    """A kill, and what the command did."""

    kind: str
    text: str
    struck: bool
    faults: list[str]


def _kill(place: Place, calm: Undisturbed, draw: random.Random) -> Kill:
    word = draw.choice(list(SIGNALS))
    if draw.random() < 0.6:
        operation = draw.choice(calm.operations)
        at = f"{operation.role} {operation.name} {operation.number}"
        text = f"{word} at {at}"
        process = place.start(_command(place), watched(place, f"{at} {int(SIGNALS[word])}"))
        run = place.ended(process)
        struck = (place.folder / "operations.txt.done").exists()
        of_worker = operation.role == "worker"
        kind = f"{word} at a file operation of {'a worker' if of_worker else 'the driver'}"
    else:
        whom = draw.choice(["driver", "all", "worker"])
        moment = draw.uniform(EARLIEST_S, max(EARLIEST_S, calm.seconds))
        text = f"{word} to {whom} after {moment:.1f} s"
        process = place.start(_command(place), watched(place))
        struck = _struck(place, process, whom, SIGNALS[word], moment, draw)
        run = place.ended(process)
        of_worker = whom == "worker"
        kind = f"{word} to {whom} at a random time"
    faults = run.faults()
    if struck and not of_worker and run.status not in ENDINGS[word] | {0, 1}:
        faults.append(f"status {run.status}")
    if of_worker and run.status not in (0, 1, 130):
        faults.append(f"status {run.status} although the driver lives")
    if alive := place.orphans(process.pid):
        faults.append(f"{len(alive)} processes live on")
        place.end(process.pid)
    return Kill(kind, text, struck, faults)


def _struck(
    place: Place,
    process: subprocess.Popen[bytes],
    whom: str,
    number: int,
    moment: float,
    draw: random.Random,
) -> bool:
    """Send a signal after some seconds; True if there was a process to receive it."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(moment)
        return False
    targets = [process.pid]
    if whom == "all":
        targets = place.living(process.pid)
    elif whom == "worker":
        others = [pid for pid in place.living(process.pid) if pid != process.pid]
        targets = [draw.choice(others)] if others else []
    struck = False
    for pid in targets:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
            struck = True
    return struck


def _compared(place: Place, run: Run, calm: Undisturbed) -> list[str]:
    """Differences between a folder at its end and the undisturbed one."""
    faults = [] if run.status == 0 else [f"status {run.status} at the end"]
    try:
        cells = sweeps.cells(place.out)
    except ValueError as error:
        return [*faults, f"damaged {error}"]
    for key in sorted({*cells, *calm.cells}):
        if key not in cells:
            faults.append(f"no record of {calm.cells[key].method}")
        elif key not in calm.cells:
            faults.append(f"a record too many: {key}")
        elif difference := cells[key].differs_from(calm.cells[key]):
            faults.append(f"{cells[key].method} has another {difference}")
    left = _left(place)
    faults += [f"{name} is left behind" for name in sorted(left - calm.files)]
    missing = {name for name in calm.files - left if not name.endswith("/")}
    faults += [f"{name} is missing" for name in sorted(missing)]
    if sweeps.table(run.output) != calm.table:
        faults.append("the table is another")
    return faults
