"""Watch over the file operations of every Python process of a run, for `kill`.

Python imports `sitecustomize` from PYTHONPATH when it starts; a forked worker inherits its hook.

TORTURE_FOLDER: folder whose files count. TORTURE_LOG: file that receives a line for each operation,
`ROLE OPERATION NUMBER PATH`. TORTURE_AT: `ROLE OPERATION NUMBER SIGNAL`, the operation before which
a process ends itself. Roles are the driver (`run_benchmarks.py`) and the workers (all others).
TORTURE_CHECKPOINTS: write a checkpoint whenever a method offers one, not every ten seconds.
"""

import os
import sys
from collections import Counter
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Any

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
EVENTS = {
    "os.rename": "rename", "os.remove": "remove", "os.mkdir": "mkdir", "os.rmdir": "rmdir",
    "os.link": "link", "open": "open",
}  # fmt: skip


class _Hook:
    """An audit hook that counts operations, separately in each process."""

    def __init__(self, folder: str, log: str, at: str) -> None:
        self.folder, self.log, self.at = os.path.realpath(folder), log, at.split()
        self.pid = os.getpid()
        started = [os.path.basename(word) for word in sys.orig_argv[1:2]]
        self.role = "driver" if started == ["run_benchmarks.py"] else "worker"
        self.counts: Counter[str] = Counter()
        self.busy = False

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in EVENTS or self.busy:
            return
        if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & WRITES):
            return
        if not isinstance(arguments[0], str | os.PathLike):
            return
        if os.getpid() != self.pid:
            self.pid, self.role = os.getpid(), "worker"
            self.counts.clear()
        self.busy = True  # what follows opens files, too
        try:
            path = os.path.abspath(os.fspath(arguments[0]))
            if path.startswith(self.folder):
                self.count(EVENTS[event], path)
        finally:
            self.busy = False

    def count(self, operation: str, path: str) -> None:
        """Log an operation, and end this process if it is the one that was asked for."""
        self.counts[operation] += 1
        number = self.counts[operation]
        with open(self.log, "a", encoding="utf-8") as log:
            log.write(f"{self.role} {operation} {number} {path}\n")
        if self.at[:3] == [self.role, operation, str(number)]:
            try:  # once in a run, or every worker that takes over would end as well
                os.close(os.open(f"{self.log}.done", os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                return
            os.kill(os.getpid(), int(self.at[3]))


class _Options(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        module.RunOptions.__init__.__kwdefaults__["checkpoint_s"] = 0.0


class _Checkpoints(MetaPathFinder):
    """Finder of `benchmarks.run.options` that changes the default of its `checkpoint_s`."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != "benchmarks.run.options":
            return None
        spec = PathFinder.find_spec(name, path)
        if spec is not None and spec.origin is not None:
            spec.loader = _Options(name, spec.origin)
        return spec


if "TORTURE_FOLDER" in os.environ:
    _folder, _log = os.environ["TORTURE_FOLDER"], os.environ["TORTURE_LOG"]
    sys.addaudithook(_Hook(_folder, _log, os.environ.get("TORTURE_AT", "")))
    if os.environ.get("TORTURE_CHECKPOINTS"):
        sys.meta_path.insert(0, _Checkpoints())
