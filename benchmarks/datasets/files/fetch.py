"""Downloads of publishers' files and archives, moved into place only once complete."""

from __future__ import annotations

import hashlib
import http.client
import logging
import shutil
import tarfile
import tempfile
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from benchmarks.errors import DataError, DataMissing, UserError

TIMEOUT_S = 60.0
"""Timeout for a server that stops responding."""
LARGE_MB = 100
"""Downloads of at least this size, in millions of bytes, are announced."""

_log = logging.getLogger(__name__)
_BLOCK = 1 << 20
_ARCHIVE_ERRORS = (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error)


@dataclass(frozen=True)
class Source:
    """A file that a publisher offers."""

    file: str
    """Name on disk."""
    url: str
    checksum: str | None = None
    """`sha256:…` or `md5:…`; None if no published or computed one is known."""
    megabytes: float | None = None
    """Size in millions of bytes, if a named source gives it."""

    @property
    def on_disk(self) -> str:
        """Path of the fetched file or folder under the target folder."""
        return self.file

    def describe(self) -> str:
        """Return file name and checksum, for a card."""
        return f"{self.file} ({(self.checksum or 'checksum unverified').replace(':', ' ')})"


@dataclass(frozen=True)
class Archive(Source):
    """A tar or zip file from which one file or folder is extracted."""

    holds: str = ""
    """Path in the archive of the file or folder to extract; also its path on disk."""

    @property
    def on_disk(self) -> str:
        return self.holds


def fetch(source: Source, folder: Path) -> str:
    """Fetch a file, or the contents of an archive, into `folder`, which is created if needed.

    Returns:
        A line with the file fetched and how it was verified.

    Raises:
        DataMissing: the server cannot be reached, does not have the file or stops early.
        DataError: wrong checksum or damaged archive; nothing is left on disk.
        UserError: the folder cannot be written to.
    """
    target = folder / source.on_disk
    if source.megabytes is not None and source.megabytes >= LARGE_MB:
        _log.warning("Fetching %s (%s MB).", source.url, f"{source.megabytes:,.0f}")
    with _staging(folder) as staging:
        fetched = staging / source.file
        line = _fetch(source, fetched)
        if isinstance(source, Archive):
            _unpack(fetched, staging / "unpacked", source.holds)
            fetched = staging / "unpacked" / source.holds
            if not fetched.exists():
                raise DataError(f"{source.url}: the archive does not contain {source.holds}.")
        target.parent.mkdir(parents=True, exist_ok=True)
        fetched.replace(target)
    return line


def checksum_of(file: Path, like: str) -> str:
    """Return a file's checksum of the same kind as `like` (`sha256:…` or `md5:…`)."""
    kind = like.partition(":")[0]
    with file.open("rb") as stream:
        return f"{kind}:{hashlib.file_digest(stream, kind).hexdigest()}"


@contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    """Provide a temporary folder beside the target; an interruption leaves no partial file."""
    created = [p for p in (folder, *folder.parents) if not p.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".download-", dir=folder) as staging:
            yield Path(staging)
    except OSError as error:
        raise UserError(f"Cannot write to {folder} ({error.strerror or error}).") from error
    finally:
        for path in created:
            with suppress(OSError):  # not empty: the download succeeded
                path.rmdir()


def _fetch(source: Source, target: Path) -> str:
    folder, received, expected = target.parent.parent, 0, None
    by_hand = f"try again, or put {source.on_disk} into {folder} by hand"
    kind = (source.checksum or "sha256:").partition(":")[0]
    digest = hashlib.new(kind)
    with target.open("wb") as out:
        try:
            with urllib.request.urlopen(source.url, timeout=TIMEOUT_S) as stream:
                expected = stream.headers.get("Content-Length")
                while block := stream.read(_BLOCK):
                    digest.update(block)
                    received += len(block)
                    _write(out, block, folder)
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()  # an HTTPError is also the open response
            reason = str(error) or type(error).__name__
            raise DataMissing(
                f"{source.url} could not be downloaded ({reason}): {by_hand}."
            ) from error
    if expected is not None and received != int(expected):
        raise DataMissing(
            f"{source.url} could not be downloaded (the connection closed after {received:,} of "
            f"{int(expected):,} bytes): {by_hand}."
        )
    found = f"{kind}:{digest.hexdigest()}"
    if source.checksum is None:
        return f"{source.file}: {found.replace(':', ' ')}, unverified (no known checksum)"
    if found != source.checksum:
        raise DataError(
            f"{source.url}: not the expected file ({found.replace(':', ' ')} instead of "
            f"{source.checksum.partition(':')[2]}); nothing was kept."
        )
    return f"{source.file}: {kind} as expected"


def _write(out: IO[bytes], block: bytes, folder: Path) -> None:
    try:
        out.write(block)
    except OSError as error:  # a local error, such as a full disk, and not the network's
        raise UserError(f"Cannot write to {folder} ({error}).") from error


def _unpack(file: Path, folder: Path, holds: str) -> None:
    """Unpack the file `holds`, or the files under it, from an archive; links are skipped."""
    try:
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as packed:
                for info in packed.infolist():
                    if not info.is_dir() and (inside := _inside(info.filename, holds)):
                        with packed.open(info) as member:
                            _copy(member, folder / inside)
            return
        with tarfile.open(file) as tar:
            for entry in tar:
                if entry.isfile() and (inside := _inside(entry.name, holds)):
                    stream = tar.extractfile(entry)
                    assert stream is not None
                    _copy(stream, folder / inside)
    except _ARCHIVE_ERRORS as error:
        raise DataError(f"{file.name}: damaged archive ({error}).") from error


def _inside(name: str, holds: str) -> PurePosixPath | None:
    """Return a member's path if it is to be extracted; never a path outside the folder."""
    path = PurePosixPath(name)
    if ".." in path.parts or path.is_absolute() or not path.is_relative_to(holds):
        return None
    return path


def _copy(stream: IO[bytes], target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as out:
        shutil.copyfileobj(stream, out, _BLOCK)
