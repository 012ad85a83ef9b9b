"""File names: made from arbitrary names, told from those of systems, checked for write access."""

from __future__ import annotations

import os
import re
from pathlib import Path

from benchmarks.errors import UserError

_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)

_LEFT_BY_SYSTEMS = frozenset({
    "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "recycler",
    "system volume information", "lost+found", "network trash folder", "temporary items",
    "@eadir", "@recycle", "@recently-snapshot", "#recycle", "#snapshot", "__macosx", "__pycache__",
})  # fmt: skip
"""Files and folders that Windows, macOS, Linux and network drives (Synology's thumbnails, `@eaDir`)
leave in folders of others, in lower case."""


def is_hidden(name: str) -> bool:
    """True for a file or folder that is hidden, or that systems and not users make."""
    return name.startswith(".") or name.lower() in _LEFT_BY_SYSTEMS


def safe(name: str, limit: int = 80) -> str:
    """A name that is safe as a file name: `local-dir:../x` becomes `local-dir-x`.

    Of a name longer than `limit` the end is kept. Names that Windows reserves get an underscore.
    """
    plain = re.sub(r"[^A-Za-z0-9._-]+|\.{2,}|_{2,}", "-", name)
    short = re.sub(r"-{2,}", "-", plain)[-limit:].strip("-.") or "unnamed"
    return f"{short}_" if _RESERVED.fullmatch(short) else short


def may_write(file: Path) -> bool:
    """True if a file, existing or not, can be written; checked before long computations."""
    return not os.path.isdir(file) and os.access(
        file if os.path.exists(file) else file.parent, os.W_OK
    )


def require_writable(file: Path) -> None:
    """Make the folder of a file to write, before hours of work.

    Raises:
        UserError: the file cannot be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"Cannot write {file}: {error.strerror or error}.") from error
    if not may_write(file):
        raise UserError(f"Cannot write {file}: it is a folder or write-protected.")


def expanded(path: str | Path, where: str) -> Path:
    """The path with `~` as the home folder of the user and `$NAME` as that variable, if it is set.

    Raises:
        UserError: there is no such user; the message starts with `where`.
    """
    try:
        return Path(os.path.expandvars(path)).expanduser()
    except RuntimeError:
        raise UserError(
            f"{where}: '{path}' begins with the home folder of a user that this machine does not "
            "know; write the folder instead of ~."
        ) from None
