"""Files that come with data, opened with bounds: regular files only, up to a size.

A folder of images or weights from elsewhere may contain a pipe, which blocks its reader for ever, a
link to a device, which has no end, or a file of a size that no memory holds. All errors are
`OSError`, as for a file that is missing, so that a caller's message covers them.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from pathlib import Path

MB = 1_000_000
"""Bytes in a megabyte."""
_MESSAGES = {
    b"version https://git-lfs": "it is a pointer of Git LFS, not the file itself: run `git lfs "
    "pull`, or download it",
    b"<!doctype html": "it is a web page, as servers send in place of a file: download it again",
    b"<html": "it is a web page, as servers send in place of a file: download it again",
    b"<?xml": "it is an XML message, as servers send in place of a file: download it again",
}


def beyond(size: int, limit: int) -> str:
    """The error for too large a file, as the end of a sentence; sizes are in bytes."""
    return f"{size / MB:,.0f} MB, more than the {limit / MB:,.0f} MB allowed here"


def opened(file: str | os.PathLike[str], limit: int | None = None) -> io.BufferedReader:
    """Open a file for reading.

    Args:
        file: its path; links are followed.
        limit: largest size in bytes; None for any.

    Raises:
        OSError: there is no such file, it is a folder, a pipe, a socket or a device, or it is too
            large; `strerror` says which.
    """
    # A pipe without a writer blocks `open`, unless it is opened like this.
    descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    try:
        info = os.fstat(descriptor)
        if stat.S_ISDIR(info.st_mode):
            raise IsADirectoryError(errno.EISDIR, "a folder, not a file", str(file))
        if not stat.S_ISREG(info.st_mode):
            raise OSError(errno.EINVAL, "a pipe or a device, not a file", str(file))
        if limit is not None and info.st_size > limit:
            raise OSError(errno.EFBIG, beyond(info.st_size, limit), str(file))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_bytes(file: str | os.PathLike[str], limit: int) -> bytes:
    """Read a whole file of at most `limit` bytes.

    Raises:
        OSError: as `opened`.
    """
    with opened(file, limit) as stream:
        return stream.read(limit + 1)


def read_text(file: Path, limit: int, encoding: str = "utf-8") -> str:
    """Read a whole text file of at most `limit` bytes, with any line ends.

    Raises:
        OSError: as `opened`.
        UnicodeDecodeError: the file has another encoding.
    """
    text = read_bytes(file, limit).decode(encoding)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def in_place_of_a_file(head: bytes) -> str:
    """Say what a file is that came in place of another one, and what to do about it; or "".

    Args:
        head: its first 64 bytes or more.
    """
    head = head.lstrip().lower()
    return next((what for start, what in _MESSAGES.items() if head.startswith(start)), "")
