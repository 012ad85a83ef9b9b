"""Files and archives fetched from their publishers, and put in place whole or not at all."""

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
"""How long a silent server is waited for."""
LARGE_MB = 100
"""From this size on, in millions of bytes, a download is announced."""

_log = logging.getLogger(__name__)
_BLOCK = 1 << 20
_ARCHIVE_ERRORS = (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error)


@dataclass(frozen=True)
class Source:
    """A file that a publisher offers."""

    file: str
    """Its name on disk."""
    url: str
    checksum: str | None = None
    """`sha256:…` or `md5:…`; None where no published or computed one is known."""
    megabytes: float | None = None
    """Size in millions of bytes, where a named source gives it."""

    @property
    def on_disk(self) -> str:
        """What is there once it is fetched: a path under the folder."""
        return self.file

    def describe(self) -> str:
        """File and checksum, for a card."""
        return f"{self.file} ({(self.checksum or 'checksum unverified').replace(':', ' ')})"


@dataclass(frozen=True)
class Archive(Source):
    """A tar or zip file of which a part is kept."""

    holds: str = ""
    """The file or folder in the archive that is kept, and what it is called on disk: a path."""

    @property
    def on_disk(self) -> str:
        return self.holds


def fetch(source: Source, folder: Path) -> str:
    """Fetch a file, or what an archive holds, into `folder`, which is made if need be.

    Returns:
        A line that says what was fetched and how it was checked.

    Raises:
        DataMissing: the server cannot be reached, has no such file or stops early.
        DataError: the file is not the one whose checksum is known, or a damaged archive. Nothing is
            left behind.
        UserError: the folder cannot be written to.
    """
    target = folder / source.on_disk
    if source.megabytes is not None and source.megabytes >= LARGE_MB:
        _log.warning("Fetching %s (%s MB).", source.url, f"{source.megabytes:,.0f}")
    with _staging(folder) as staging:
        fetched = staging / source.file
        said = _fetch(source, fetched)
        if isinstance(source, Archive):
            _unpack(fetched, staging / "unpacked", source.holds)
            fetched = staging / "unpacked" / source.holds
            if not fetched.exists():
                raise DataError(f"{source.url}: the archive holds no {source.holds}.")
        target.parent.mkdir(parents=True, exist_ok=True)
        fetched.replace(target)
    return said


def checksum_of(file: Path, like: str) -> str:
    """The checksum of a file in the form of another one (`sha256:…` or `md5:…`)."""
    kind = like.partition(":")[0]
    with file.open("rb") as stream:
        return f"{kind}:{hashlib.file_digest(stream, kind).hexdigest()}"


@contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    """A folder beside the target: an interrupted download leaves nothing to trip over."""
    made = [p for p in (folder, *folder.parents) if not p.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".download-", dir=folder) as staging:
            yield Path(staging)
    except OSError as error:
        raise UserError(f"{folder} cannot be written to ({error.strerror or error}).") from error
    finally:
        for path in made:
            with suppress(OSError):  # not empty: the data are there
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
                error.close()  # it is the server's answer as well
            reason = str(error) or type(error).__name__
            raise DataMissing(
                f"{source.url} could not be downloaded ({reason}): {by_hand}."
            ) from error
    if expected is not None and received != int(expected):
        raise DataMissing(
            f"{source.url} could not be downloaded (it broke off after {received:,} of "
            f"{int(expected):,} bytes): {by_hand}."
        )
    found = f"{kind}:{digest.hexdigest()}"
    if source.checksum is None:
        return f"{source.file}: {found.replace(':', ' ')}, unverified (no known checksum)"
    if found != source.checksum:
        raise DataError(
            f"{source.url}: not the file that is expected ({found.replace(':', ' ')} instead of "
            f"{source.checksum.partition(':')[2]}); nothing was kept."
        )
    return f"{source.file}: {kind} as expected"


def _write(out: IO[bytes], block: bytes, folder: Path) -> None:
    try:
        out.write(block)
    except OSError as error:  # not the network's fault: the disk is full
        raise UserError(f"{folder} cannot be written to ({error}).") from error


def _unpack(file: Path, folder: Path, holds: str) -> None:
    """Unpack the files of an archive that are `holds` or under it; links are passed over."""
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
        raise DataError(f"{file.name}: a damaged archive ({error}).") from error


def _inside(name: str, holds: str) -> PurePosixPath | None:
    """The member's path if it is to be kept; never one that leads out of the folder."""
    path = PurePosixPath(name)
    if ".." in path.parts or path.is_absolute() or not path.is_relative_to(holds):
        return None
    return path


def _copy(stream: IO[bytes], target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as out:
        shutil.copyfileobj(stream, out, _BLOCK)
