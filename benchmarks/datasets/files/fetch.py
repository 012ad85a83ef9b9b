"""Downloads of publishers' files and archives, moved into place only once complete."""

from __future__ import annotations

import hashlib
import http.client
import logging
import lzma
import tarfile
import unicodedata
import urllib.error
import urllib.parse
import urllib.request
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from benchmarks.errors import DataError, DataMissing, UserError
from benchmarks.input_files import MB, opened
from benchmarks.safe_files import remove_leftovers, scratch_folder

STAGING = "download"
"""Beginning of the names of the temporary folders that files are downloaded to."""
TIMEOUT_S = 60.0
"""Timeout for a server that stops responding."""
LARGE_MB = 100
"""Downloads of at least this size, in millions of bytes, are announced."""

_log = logging.getLogger(__name__)
_BLOCK = 1 << 20
_ARCHIVE_ERRORS = (
    tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError, ValueError,
    NotImplementedError, RuntimeError,
)  # fmt: skip
_UNKNOWN_MB = 1_000
"""Largest download whose size no source gives."""
_GROWTH = 50
"""Most bytes that an archive's contents have for each of its own."""


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
    with opened(file) as stream:
        return f"{kind}:{hashlib.file_digest(stream, kind).hexdigest()}"


@contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    """Provide a temporary folder beside the target; an interruption leaves no partial file."""
    created = [p for p in (folder, *folder.parents) if not p.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(folder, STAGING)
        with scratch_folder(folder / STAGING) as staging:
            yield staging
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
    most = MB * (_UNKNOWN_MB if source.megabytes is None else 1.1 * source.megabytes + 1)
    digest = hashlib.new(kind)
    with target.open("wb") as out:
        try:
            with _opened(source) as stream:
                expected = stream.headers.get("Content-Length")
                while block := stream.read(_BLOCK):
                    digest.update(block)
                    received += len(block)
                    if received > most:
                        raise OSError(f"more than {most:,.0f} bytes arrived")
                    _write(out, block, folder)
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()  # an HTTPError is also the open response
            reason = str(error) or type(error).__name__
            raise DataMissing(
                f"{source.url} could not be downloaded ({reason}): {by_hand}."
            ) from error
    if expected is not None and expected.isdigit() and received != int(expected):
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


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a server to another address only if what comes from there can be trusted or checked.

    Args:
        source: the file.
    """

    def __init__(self, source: Source) -> None:
        self._source = source

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        before, after = urllib.parse.urlsplit(req.full_url), urllib.parse.urlsplit(newurl)
        same = (before.scheme, before.hostname) == (after.scheme, after.hostname)
        if self._source.checksum is None and not same:
            fp.close()
            raise urllib.error.URLError(
                f"the server points to {after.scheme}://{after.hostname}, and no checksum is known"
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opened(source: Source) -> Any:
    """Open a source's address.

    Raises:
        OSError: the server cannot be reached, or points to where the file cannot be checked.
    """
    # A data set may name a mirror on this machine; no server can point to one.
    if urllib.parse.urlsplit(source.url).scheme not in ("https", "http", "file"):
        raise urllib.error.URLError("not an address of the web")
    opener = urllib.request.build_opener(_Redirects(source))
    return opener.open(source.url, timeout=TIMEOUT_S)


def _write(out: IO[bytes], block: bytes, folder: Path) -> None:
    try:
        out.write(block)
    except OSError as error:  # a local error, such as a full disk, and not the network's
        raise UserError(f"Cannot write to {folder} ({error}).") from error


def _unpack(file: Path, folder: Path, holds: str) -> None:
    """Unpack the file `holds`, or the files under it, from an archive; links are skipped.

    Raises:
        DataError: the archive is damaged, has two members of one name, or grows too much.
    """
    into = _Target(folder, _GROWTH * file.stat().st_size + 100 * MB)
    try:
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as packed:
                for info in packed.infolist():
                    if not info.is_dir() and (inside := _inside(info.filename, holds)):
                        with packed.open(info) as member:
                            into.copy(member, inside)
            return
        with tarfile.open(file) as tar:
            for entry in tar:
                if entry.isfile() and (inside := _inside(entry.name, holds)):
                    stream = tar.extractfile(entry)
                    assert stream is not None
                    into.copy(stream, inside)
    except _ARCHIVE_ERRORS as error:
        raise DataError(f"{file.name}: damaged archive ({error}).") from error


def _inside(name: str, holds: str) -> PurePosixPath | None:
    """Return a member's path if it is to be extracted; never a path outside the folder."""
    path = PurePosixPath(name)
    if ".." in path.parts or path.is_absolute() or not path.is_relative_to(holds):
        return None
    return path


class _Target:
    """A folder that an archive is unpacked into.

    Args:
        folder: the folder.
        most: most bytes.
    """

    def __init__(self, folder: Path, most: int) -> None:
        self._folder, self._left = folder, most
        self._names: set[str] = set()

    def copy(self, stream: IO[bytes], name: PurePosixPath) -> None:
        """Write a member.

        Raises:
            ValueError: there is one of the same name, or no room is left.
        """
        # File systems may take names for one that differ in case or in Unicode's form.
        known = unicodedata.normalize("NFC", str(name)).casefold()
        if known in self._names:
            raise ValueError(f"two members are called {name}")
        self._names.add(known)
        target = self._folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as out:
            while block := stream.read(_BLOCK):
                self._left -= len(block)
                if self._left < 0:
                    raise ValueError("its contents are many times larger than the archive")
                out.write(block)
