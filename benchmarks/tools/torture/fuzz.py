"""Fuzzed inputs of the command line: each must end in a status and, if it is bad, in one line.

Cases run in this process, as the command line would run them. A watch on Python's audit events sees
what a case writes, starts and imports. A fault is: a traceback or the word "unexpected", an exit
status other than 0, 1, 2 and 130, a write outside of the case's folder, a program that is started,
code that comes from data, more than 20 s or 3 GB, a control character in the output, or an error of
more than one line.
"""

from __future__ import annotations

import contextlib
import io
import json
import multiprocessing
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, as_completed
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

from benchmarks.errors import UserError
from benchmarks.starting import warm_up
from benchmarks.tools.torture.campaign import Order, Tally
from benchmarks.tools.torture.inputs import Case, any_case
from benchmarks.tools.torture.values import MARK
from benchmarks.visible import one_visible_line

COUNT = 10_000
_CHUNK = 100
"""Cases that a process tries before it reports."""
LIMIT_S = 20
LIMIT_BYTES = 3 * 10**9
"""Memory that a case may take; reading a device to its end takes all there is."""
STATUSES = (0, 1, 2, 130)
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""A list of its own: the suite's may lack something."""
_WRITES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.link", "os.truncate",
           "os.chmod", "os.utime", "shutil.rmtree")  # fmt: skip
_STARTS = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "subprocess.Popen",
           "pty.spawn", "pickle.find_class", "socket.connect", "os.startfile")  # fmt: skip


class Watch:
    """Audit events of this process while a case runs; `sys.addaudithook` cannot be undone."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self._allowed: tuple[str, ...] | None = None
        sys.addaudithook(self._see)

    @contextlib.contextmanager
    def over(self, *folders: Path) -> Iterator[None]:
        """Watch a block that may write below these folders."""
        self.faults = []
        self._allowed = (*(os.path.realpath(folder) for folder in folders), "/dev/null", "/dev/tty")
        try:
            yield
        finally:
            self._allowed = None

    def _see(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._allowed is None:
            return
        if event == "open":
            path, mode, flags = arguments
            writes = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
            if not isinstance(path, int) and (set(str(mode or "")) & set("wax+") or flags & writes):
                self._check(event, path)
        elif event in _WRITES:
            for path in arguments[: 2 if event in ("os.rename", "os.link") else 1]:
                self._check(event, path)
        elif event in _STARTS and "ldconfig" not in str(arguments[0]):  # ctypes looks for libraries
            self.faults.append(f"{event} {arguments!r:.200}")
        elif event in ("compile", "exec"):
            if MARK in f"{arguments[0]!r}":
                self.faults.append(f"{event} of data: {arguments[0]!r:.200}")
        elif event == "import" and self._inside(arguments[1]):
            self.faults.append(f"import of {arguments[1]}")

    def _check(self, event: str, path: Any) -> None:
        place = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else ""
        bytecode = "__pycache__" in place and place.startswith((sys.prefix, sys.base_prefix, _ROOT))
        if place and not bytecode and not self._inside(place):
            self.faults.append(f"{event} of {place!r:.200}")

    def _inside(self, path: Any) -> bool:
        if not isinstance(path, str):
            return False
        real = os.path.realpath(path)
        return any(real == top or real.startswith(f"{top}/") for top in self._allowed or ())


_ROOT = str(Path(__file__).resolve().parents[3])
_WATCHES: list[Watch] = []


def watch() -> Watch:
    """The one watch of this process."""
    if not _WATCHES:
        # Now, because the server that forks workers outlives the folder of a case.
        warm_up(fitting=False)
        from matplotlib import font_manager  # noqa: F401 - lists the fonts once a machine, by a child

        _WATCHES.append(Watch())
    return _WATCHES[0]


class Hang(BaseException):
    """A case took too long."""


def faults_of(case: Case, folder: Path) -> tuple[int, list[str]]:
    """Run a case and return its exit status and what is wrong with it.

    Args:
        case: the case.
        folder: an empty folder; the case's files and everything that it writes are there.
    """
    for name, content in case.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    status: Any = None
    seen = watch()
    memory = _Memory()
    with (
        _alone(folder), _limit(), memory.limited(), seen.over(folder, _matplotlib()),
        contextlib.redirect_stdout(out), contextlib.redirect_stderr(err),
    ):  # fmt: skip
        try:
            status = _run(case)
        except SystemExit as end:
            status = end.code or 0
        except BaseException as error:
            seen.faults.append(f"raises {type(error).__name__}: {error!s:.300}")
    printed, complaint = (stream.buffer.getvalue().decode() for stream in (out, err))
    found = [*seen.faults, *_wrong(status, printed, complaint)]
    if memory.taken > LIMIT_BYTES:
        found.append(f"takes {memory.taken / 1e9:.1f} GB")
    if (folder / MARK).exists():
        found.append("code from data was run")
    return status, found


def _wrong(status: Any, out: str, error: str) -> list[str]:
    found = []
    if status not in STATUSES:
        found.append(f"exit status {status!r}")
    for sign in ("Traceback (most recent call last)", "error: unexpected"):
        if sign in out + error:
            found.append(f"{sign}: {error[-400:]}")
    if controls := sorted(set(_OBEYED.findall(out + error))):
        found.append(f"prints {controls}")
    lines = error.splitlines()
    if status == 2 and (len(lines) != 1 or not error.startswith("error: ")):
        found.append(f"{len(lines)} lines of error: {error[:300]!r}")
    return found


def _run(case: Case) -> int:
    """The command line; its readers alone where no verb reads the file or would take long."""
    import run_benchmarks

    try:
        if case.words[0] == "published":
            from results.published import published

            published.__wrapped__(Path(case.words[1]).resolve())  # not kept for the next case
            return 0
        status = run_benchmarks.main(case.words)
        if case.kind == "own data" and status == 0:
            _load(case.words[-1])
    except UserError as error:
        sys.stderr.write(f"error: {one_visible_line(str(error))}\n")
        return 2
    return status


def _load(file: str) -> None:
    """Load a user's own data as a run would."""
    from benchmarks.datasets import registry
    from benchmarks.plugins.values import apply_fields

    family, given = registry.resolve(file)
    fields = apply_fields(f"data set {file}", family, given)
    family(**fields).resolve(Path("data")).load(Path("data"), 0)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """A folder as current, temporary and cache folder; no network."""
    before, here, temporary = dict(os.environ), os.getcwd(), tempfile.tempdir
    os.environ |= {
        "LONGTAIL_VLM_CACHE": str(folder / "cache"), "TMPDIR": str(folder), "HF_HUB_OFFLINE": "1",
        "COLUMNS": "100",
    }  # fmt: skip
    tempfile.tempdir = str(folder)
    os.chdir(folder)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            yield
    finally:
        os.chdir(here)
        tempfile.tempdir = temporary
        os.environ.clear()
        os.environ |= before


@contextlib.contextmanager
def _limit() -> Iterator[None]:
    """Raise `Hang` in the main thread after LIMIT_S of computing, or ten times that of waiting.

    On a busy machine a case waits for its turn, and the first of a process for its imports.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    began, used = time.monotonic(), time.process_time()

    def ring(number: int, frame: FrameType | None) -> None:
        waited = time.monotonic() - began
        if time.process_time() - used >= LIMIT_S or waited >= 10 * LIMIT_S:
            raise Hang(f"more than {LIMIT_S} s")

    before = signal.signal(signal.SIGALRM, ring)
    left, again = signal.setitimer(signal.ITIMER_REAL, LIMIT_S, LIMIT_S / 20)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if left and callable(before):  # that of a test runner
            signal.setitimer(signal.ITIMER_REAL, max(left - time.monotonic() + began, 0.01), again)


class _Memory:
    """Main memory that a case takes beyond what this process has; Linux alone tells it."""

    def __init__(self) -> None:
        self.taken = 0
        """Bytes at the peak."""

    @contextlib.contextmanager
    def limited(self) -> Iterator[None]:
        """Measure a block, and refuse it twice the limit, so that the machine lives on."""
        try:
            Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        except OSError:
            yield
            return
        before, (soft, hard) = self._now("VmRSS"), resource.getrlimit(resource.RLIMIT_AS)
        most = self._now("VmSize") + 2 * LIMIT_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (most, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
            self.taken = self._now("VmHWM") - before

    def _now(self, name: str) -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith(name)).split()[1]) * 1024


def _matplotlib() -> Path:
    """Matplotlib's own cache, which it may write at any time."""
    import matplotlib

    return Path(matplotlib.get_cachedir())


def try_cases(
    seed: int, numbers: range, folder: Path, make: Callable[[Random], Case] = any_case
) -> tuple[dict[str, int], list[str]]:
    """Try some cases; return the number of each outcome and the faults.

    The folder of a case with a fault is kept, with the case in `case.json`.
    """
    counts: dict[str, int] = {}
    faults = []
    for number in numbers:
        case = make(Random(f"{seed}/{number}"))
        place = folder / f"{number}"
        place.mkdir(parents=True)
        status, found = faults_of(case, place)
        outcome = f"{case.kind}: status {status}"
        counts[outcome] = counts.get(outcome, 0) + 1
        if found:
            faults += [f"{number} ({case.kind}): {fault}" for fault in found]
            told = {"words": case.words, "faults": found}
            (place / "case.json").write_text(json.dumps(told, indent=1), encoding="utf-8")
        else:
            shutil.rmtree(place, ignore_errors=True)
    return counts, faults


def campaign(order: Order) -> Tally:
    """Try `order.count` cases in `order.jobs` processes."""
    tally = Tally()
    if order.only is not None:
        numbers = range(int(order.only), int(order.only) + 1)
        chunks = [numbers]
    else:
        every = range(order.count)
        chunks = [every[i : i + _CHUNK] for i in range(0, order.count, _CHUNK)]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(order.jobs, context) as pool:
        running = {pool.submit(try_cases, order.seed, c, order.folder): c for c in chunks}
        for done in as_completed(running):
            chunk = running[done]
            name = f"cases {chunk[0]} to {chunk[-1]}"
            try:
                counts, faults = done.result()
            except BrokenExecutor:
                tally.fault(name, "one of them ended its process")
                continue
            for outcome, times in counts.items():
                tally.add(outcome, times)
            for fault in faults:
                number, _, text = fault.partition(" ")
                tally.fault(number, text)
            print(name, file=sys.stderr, flush=True)
    return tally
