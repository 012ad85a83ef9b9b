"""Claims on pieces of work, so that processes that share a folder share the work.

A claim is a file `KEY.0` that only one process can create. Its content names the process,
and a thread touches it every few seconds. It is dead if its process has ended, as seen on the same
machine, or if it has not been touched for two minutes by the clock of the process that watches it:
clocks of different machines, or one that is set back, do not matter. A dead claim is taken over by
creating `KEY.1`, which again only one process can. Nothing else is needed of the file system: no
locks, no links, no renaming.

When a claim is released, its files are removed in ascending order. A process that was about to take
over sees that what it judged is gone, and withdraws. While `KEY.1` is in use, `KEY.0` stays, so
that a machine that does not see the new file yet cannot create the old one.
"""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import Self

from benchmarks.safe_files import process_gone
from benchmarks.signs_of_life import SILENT_S, Beats, Sign, content_of, owner_of, read

_WRITING_S = 15.0
"""Seconds after which a claim without a readable content is dead: its process wrote none."""


class Claims:
    """The claims of one owner in a folder; a context that holds them.

    Args:
        folder: of the claims; its parent exists. It is made when it is needed, and removed when
            nobody claims anything.
        clock: seconds that never go back.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._clock = clock
        self._token = uuid.uuid4().hex
        self._mine: dict[str, list[Path]] = {}
        """Files of each claim, ascending; the last one is ours."""
        self._written: dict[Path, bytes] = {}
        """Contents of our claims."""
        self._watched: dict[Path, tuple[Sign, float]] = {}
        """Claims of others as they were last seen to change, and when."""
        self._lock = threading.Lock()
        self._beats = Beats(lambda: self.beat())

    def __enter__(self) -> Self:
        self._beats.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._beats.stop()
        for key in [*self._mine]:
            self.release(key)
        with suppress(OSError):  # a killed process may have left claims on finished work
            for key, files in self._files().items():
                if self._taken(key, files):
                    self.release(key)
        with suppress(OSError):  # others have claims in it
            self._folder.rmdir()

    def take(self, keys: Collection[str]) -> list[str]:
        """Claim pieces of work, and return the keys of those that are ours now or already.

        Raises:
            OSError: the folder cannot be written to.
        """
        files = self._files()
        return [k for k in keys if k in self._mine or self._taken(k, files.get(k, []))]

    def holds(self, key: str) -> bool:
        """Return True unless another owner has taken over what is ours.

        That happens when this process was stopped for long. If the whole folder is gone, which no
        other owner does to a claim's files, writing the result says so.
        """
        files = self._mine[key]
        try:
            seen, newest = read(files[-1]), self._files().get(key, files)[-1]
        except OSError:
            return True
        if seen is None:
            return not self._folder.is_dir()
        return seen.content == self._written[files[-1]] and newest == files[-1]

    def release(self, key: str) -> None:
        """Give a claim back: its work is done, or its owner ends."""
        with self._lock:
            files = self._mine.pop(key, [])
        for file in files:
            self._written.pop(file, None)
            with suppress(OSError):
                file.unlink()

    def beat(self) -> None:
        """Touch all claims."""
        with self._lock:
            files = [files[-1] for files in self._mine.values()]
        for file in files:
            with suppress(OSError):  # the folder was deleted: `holds` says so
                os.utime(file)

    # ---- parts -------------------------------------------------------------------------------

    def _files(self) -> dict[str, list[Path]]:
        """Return the files of every claim, ascending."""
        found: dict[str, list[int]] = {}
        with suppress(FileNotFoundError), os.scandir(self._folder) as entries:
            for entry in entries:
                key, _, number = entry.name.rpartition(".")
                if key and number.isdecimal():
                    found.setdefault(key, []).append(int(number))
        return {k: [self._folder / f"{k}.{n}" for n in sorted(ns)] for k, ns in found.items()}

    def _taken(self, key: str, files: list[Path]) -> bool:
        """Claim a piece of work unless another has; return True if it is ours now."""
        judged: dict[Path, bytes] = {}
        for file in files:
            seen = read(file)
            if seen is None or not self._is_dead(file, seen):
                return False
            judged[file] = seen.content
        number = int(files[-1].suffix[1:]) + 1 if files else 0
        mine = self._folder / f"{key}.{number}"
        if not self._created(mine):
            return False
        # Another owner may have taken the dead claims over, finished, and removed all files.
        for file, content in judged.items():
            seen = read(file)
            if seen is None or seen.content != content:
                self._written.pop(mine)
                mine.unlink(missing_ok=True)
                return False
        with self._lock:
            self._mine[key] = [*files, mine]
        for file in files:
            self._watched.pop(file, None)
        return True

    def _created(self, file: Path) -> bool:
        """Create a claim; return False if there is one."""
        while True:
            try:
                handle = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
                break
            except FileExistsError:
                return False
            except FileNotFoundError:  # another owner ended meanwhile and removed the folder
                self._folder.mkdir(exist_ok=True)
        content = self._written[file] = content_of(self._token)
        try:
            os.write(handle, content)
        except OSError:
            file.unlink(missing_ok=True)
            raise
        finally:
            os.close(handle)
        return True

    def _is_dead(self, file: Path, seen: Sign) -> bool:
        owner = owner_of(seen.content)
        if owner is not None and process_gone(owner.process):
            return True
        before, since = self._watched.get(file, (None, 0.0))
        if before != seen:
            self._watched[file] = (seen, self._clock())
            return False
        return self._clock() - since > (_WRITING_S if owner is None else SILENT_S)
