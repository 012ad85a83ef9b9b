"""Files that are complete or absent, with checksums, and without leftovers of dead writers.

A file is written under a temporary name in its own folder and then renamed. The temporary name
names the process that writes it, so that `remove_leftovers` can tell the files of a killed process
from those of a running one.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import platform
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO, Any

from benchmarks.errors import UserError
from benchmarks.input_files import opened

KEPT_S = 24 * 3600.0
"""Age in seconds at which a temporary file goes whose writer may be on another machine."""
_BLOCK = 1 << 20
_SUM_BYTES = 32
_SHOWN = 40
"""Bytes of a file's name within its temporary name; all of it may exceed the limit of 255."""
_NUMBERS = itertools.count()
_LEFTOVERS = (
    re.compile(r"\..*\.(?P<writer>[0-9a-f]{8}-\d+-\d+)\.\d+\.tmp", re.DOTALL),
    # Names that earlier versions gave. They do not tell the machine.
    re.compile(r"\..+\.[0-9a-f]{32}\.tmp", re.DOTALL),
    re.compile(r".+\.partial", re.DOTALL),
)
_LEFT_FOLDERS = (_LEFTOVERS[0], re.compile(r"\.(.*-)?[a-z0-9_]{8}", re.DOTALL))  # mkdtemp's


class DamagedFile(UserError):
    """A file whose content is not what was written.

    Args:
        file: the file.
        remedy: what to do about it, as the rest of a sentence.
    """

    def __init__(self, file: Path, remedy: str) -> None:
        super().__init__(f"{file} is damaged: {remedy}.")
        self.file = file


# ---- writing ------------------------------------------------------------------------------------


@contextmanager
def replacing(file: Path) -> Iterator[IO[bytes]]:
    """Open a file for writing; it appears, or replaces an earlier one, when it is complete.

    The file gets the permissions that `open` gives. If anything is raised, an earlier file stays
    as it was and nothing else is left.

    Args:
        file: the file, in an existing folder.

    Yields:
        A stream; its `name` is the path of the temporary file.

    Raises:
        OSError: the disk is full, or the folder is gone or cannot be written to.
    """
    temporary = _temporary(file)
    try:
        with open(temporary, "xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())  # a power cut after the rename must not leave an empty file
        os.replace(temporary, file)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def write_text(file: Path, text: str) -> None:
    """Write a UTF-8 text file as `replacing` does."""
    with replacing(file) as stream:
        stream.write(text.encode("utf-8"))


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Make a folder that appears when it is complete.

    If another process was faster, its folder stays and this one is dropped.

    Args:
        folder: the folder, in an existing one.

    Yields:
        A temporary folder to fill.

    Raises:
        OSError: the disk is full, or the folder cannot be made.
    """
    with scratch_folder(folder) as temporary:
        yield temporary
        try:
            temporary.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise


@contextmanager
def scratch_folder(name: Path) -> Iterator[Path]:
    """Make a folder that is removed at the end, on the file system of what it is for.

    Args:
        name: what it is for, in an existing folder.

    Raises:
        OSError: it cannot be made.
    """
    temporary = _temporary(name)
    try:
        temporary.mkdir()
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _temporary(file: Path) -> Path:
    return file.with_name(f".{_shown(file.name)}.{this_process()}.{next(_NUMBERS)}.tmp")


def _shown(name: str) -> str:
    return os.fsencode(name)[:_SHOWN].decode("utf-8", "ignore")


# ---- checksums ----------------------------------------------------------------------------------


class _Summed:
    """A stream to write to that computes the checksum of what is written."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.sha256 = hashlib.sha256()
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        self.sha256.update(data)
        try:
            return self._stream.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self._stream.flush()


@contextmanager
def replacing_checked(file: Path) -> Iterator[_Summed]:
    """Write a file as `replacing` does, and its SHA-256 checksum as the last 32 bytes."""
    with replacing(file) as stream:
        summed = _Summed(stream)
        try:
            yield summed
        except Exception:
            if summed.error is not None:  # torch.save raises a RuntimeError for a full disk
                raise summed.error from None
            raise
        stream.write(summed.sha256.digest())


@contextmanager
def reading_checked(file: Path, remedy: str) -> Iterator[IO[bytes]]:
    """Open a file that `replacing_checked` wrote, once its checksum is verified.

    The whole file is read, at about 1.7 GB a second.

    Args:
        file: the file.
        remedy: what to do about a damaged file, as the rest of a sentence.

    Yields:
        A stream at the beginning of the content, which is followed by the checksum.

    Raises:
        DamagedFile: the content is not what was written.
        OSError: the file is absent or cannot be read.
    """
    with opened(file) as stream:
        remaining = os.fstat(stream.fileno()).st_size - _SUM_BYTES
        digest = hashlib.sha256()
        while remaining > 0 and (block := stream.read(min(remaining, _BLOCK))):
            digest.update(block)
            remaining -= len(block)
        if digest.digest() != stream.read():
            raise DamagedFile(file, remedy)
        stream.seek(0)
        yield stream


# ---- leftovers ----------------------------------------------------------------------------------


def remove_leftovers(folder: Path, of: str = "") -> int:
    """Remove the temporary files and folders in a folder whose writers are gone.

    A writer on this machine is gone when its process has ended. A temporary file from another
    machine, or of a version of the suite that did not name the writer, goes when it has not been
    written to for a day by the file system's own clock.

    Args:
        folder: the folder, which may be absent. Folders in it are not searched.
        of: beginning of the names of the files and folders that were to be written; necessary in a
            folder that others write to as well.

    Returns:
        Number of files and folders removed; what cannot be removed stays.
    """
    removed = 0
    try:
        with os.scandir(folder) as entries:
            found = [entry.name for entry in entries if _is_temporary(entry, of)]
    except OSError:
        return 0
    time_there: float | None = None
    for name in found:
        path = folder / name
        gone = _writer_gone(name)
        try:
            if gone is None:
                time_there = clock_of(folder) if time_there is None else time_there
                # The clock may have been set back: a file from the future is no newer.
                gone = abs(time_there - _last_written(path)) > KEPT_S
            if gone:
                _remove(path)
                removed += 1
        except OSError:  # another process removes them, too, or the folder is read-only
            continue
    return removed


def _is_temporary(entry: os.DirEntry[str], of: str) -> bool:
    names = _LEFT_FOLDERS if entry.is_dir(follow_symlinks=False) else _LEFTOVERS
    mine = not of or entry.name.startswith(f".{_shown(of)}")
    return mine and any(name.fullmatch(entry.name) for name in names)


def _writer_gone(name: str) -> bool | None:
    """Return whether the writer of a temporary file is gone; None if its name does not tell."""
    named = _LEFTOVERS[0].fullmatch(name)
    return process_gone(named["writer"]) if named else None


def _last_written(path: Path) -> float:
    """Return when a file, or the newest file in a folder, was written to."""
    inside = path.rglob("*") if path.is_dir() and not path.is_symlink() else ()
    newest: float = max(p.lstat().st_mtime for p in (path, *inside))
    return newest


def _remove(path: Path) -> None:
    if stat.S_ISDIR(path.lstat().st_mode):
        shutil.rmtree(path)
    else:
        path.unlink()


def clock_of(folder: Path) -> float:
    """Return the time of the file system that a folder is on, in seconds.

    Raises:
        OSError: the folder cannot be written to.
    """
    probe = _temporary(folder / "clock")
    handle = os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o666)
    try:
        return os.fstat(handle).st_mtime
    finally:
        os.close(handle)
        os.unlink(probe)


def look_again(folder: Path) -> None:
    """Make a network file system ask the server what is in a folder.

    For up to a minute it may otherwise say that a file is absent that another machine has made.
    """
    with suppress(OSError):
        clock_of(folder)


# ---- processes ----------------------------------------------------------------------------------


def this_process() -> str:
    """Return a name of this process: its machine, its number and when it started."""
    return _name_of(os.getpid())


@cache
def _name_of(pid: int) -> str:
    """Return the name of this process; a fork has another number."""
    return f"{_machine()}-{pid}-{_start_of(pid) or 0}"


def process_gone(name: str) -> bool | None:
    """Return whether a process named by `this_process` has ended; None on another machine."""
    machine, pid, started = name.split("-")
    if machine != _machine():
        return None
    start = _start_of(int(pid))
    if start is not None:
        return start != int(started)  # another process has its number now
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        pass
    return False


@cache
def _machine() -> str:
    """Return 8 hexadecimal digits for this machine, since it was started, and its namespace.

    Containers on one machine may have equal names, and each has its own process numbers.
    """
    parts = [platform.node()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii"))
        parts.append(os.readlink("/proc/self/ns/pid"))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]


def _start_of(pid: int) -> int | None:
    """Return when a process started, in clock ticks since the machine did.

    None if there is no such process or the system does not tell; 0 for one that has ended and
    whose parent has not asked for its status.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return 0 if fields[0] in (b"Z", b"X") else int(fields[19])
