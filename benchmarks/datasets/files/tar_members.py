"""Tar archives from others: where their members lie, without unpacking them.

An archive is not trusted: links, devices, paths that lead out of it and sparse files are refused,
and so is one that was cut off or has more behind its end.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from benchmarks.datasets.files import characters
from benchmarks.datasets.files.links import leaves
from benchmarks.datasets.files.other_formats import refuse_messages
from benchmarks.errors import DataError, DataMissing
from benchmarks.input_files import opened

_HEADER_BYTES = 1_000_000
"""Largest header of a member, with a long name and other attributes."""
_PADDING_BYTES = 10_000_000
"""Most zeros behind the last member."""
_COMPRESSED = {
    b"\x1f\x8b": "gzip -d",
    b"BZh": "bzip2 -d",
    b"\xfd7zXZ": "xz -d",
    b"\x28\xb5\x2f\xfd": "zstd -d",
}
"""First bytes of a compressed file -> command that unpacks it."""


@dataclass(frozen=True)
class Member:
    """A regular file in an archive."""

    name: str
    """Its path, with slashes."""
    offset: int
    """Its first byte in the archive."""
    size: int


def members(archive: Path) -> Iterator[Member]:
    """Yield the regular files of an uncompressed archive, in its order.

    Raises:
        DataMissing: there is no such archive.
        DataError: it is no tar archive, compressed, damaged, or has a member that is refused.
    """
    refuse_messages(archive)
    try:
        with opened(archive) as stream:
            _refuse_compressed(archive, stream.peek(8))
            with tarfile.open(fileobj=_headers(stream), mode="r:") as tar:
                for member in tar:
                    if not member.isdir():
                        yield _checked(member, archive)
                end = tar.offset
            _refuse_cut_off(archive, stream, end)
    except FileNotFoundError as error:
        raise DataMissing(f"{archive}: no such file.") from error
    except tarfile.ReadError as error:
        if "unexpected end of data" in str(error):
            raise DataError(f"{archive}: truncated archive; copy it again.") from error
        raise DataError(f"{archive}: not a tar archive ({error}).") from error
    except (tarfile.TarError, ValueError, OverflowError) as error:
        raise DataError(f"{archive}: damaged archive ({error}).") from error
    except OSError as error:
        raise DataError(f"{archive}: cannot be read ({error.strerror or error}).") from error


@contextmanager
def reading(archive: Path) -> Iterator[Callable[[Member], bytes]]:
    """Open an archive to read members of it, whose sizes the caller has bounded.

    Yields:
        A function that reads a member; it raises OSError if the archive cannot be read or ends
        early.

    Raises:
        OSError: the archive cannot be read.
    """
    with opened(archive) as stream:

        def read(member: Member) -> bytes:
            stream.seek(member.offset)
            data = stream.read(member.size)
            if len(data) < member.size:
                raise OSError("the archive has become shorter")
            return data

        yield read


class _Headers:
    """A file of which a reader of headers gets small parts only."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.seek, self.tell = stream.seek, stream.tell

    def read(self, size: int) -> bytes:
        """Read at most `size` bytes.

        Raises:
            ValueError: more than a header has.
        """
        if not 0 <= size <= _HEADER_BYTES:  # below 0, `tarfile` would not end
            raise ValueError(f"a header of {size:,} bytes")
        return self._stream.read(size)


def _headers(stream: IO[bytes]) -> Any:
    return _Headers(stream)


def _refuse_compressed(archive: Path, start: bytes) -> None:
    for magic, command in _COMPRESSED.items():
        if start.startswith(magic):
            raise DataError(
                f"{archive}: compressed; unpack it with `{command}`, because images are read from "
                "their places in it."
            )


def _checked(member: tarfile.TarInfo, archive: Path) -> Member:
    """A member as data; refuses all but regular files inside the archive's own folder."""
    shown = characters.shown(member.name)
    if member.issym() or member.islnk():
        raise DataError(f"{archive}: the member '{shown}' is a link.")
    if not member.isreg() or member.sparse is not None or member.size < 0:
        raise DataError(f"{archive}: the member '{shown}' is not a regular file.")
    if leaves(member.name):
        raise DataError(f"{archive}: the member '{shown}' leads out of the archive.")
    if wrong := characters.trouble(member.name, characters.TEXT):
        raise DataError(f"{archive}: the name of the member '{shown}' {wrong}.")
    return Member(os.path.normpath(member.name), member.offset_data, member.size)


def _refuse_cut_off(archive: Path, stream: IO[bytes], end: int) -> None:
    """Refuse an archive whose last member is not followed by zeros, as `tarfile` would not."""
    stream.seek(end)
    rest = stream.read(_PADDING_BYTES + 1)
    if not rest:
        raise DataError(f"{archive}: truncated archive, its end is missing; copy it again.")
    if len(rest) > _PADDING_BYTES or rest.strip(b"\0"):
        raise DataError(
            f"{archive}: damaged at byte {end:,}, or several archives in one file; `tar -A` joins "
            "archives."
        )
