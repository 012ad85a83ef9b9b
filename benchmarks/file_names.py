"""File names: made from arbitrary names, and checked for write access."""

from __future__ import annotations

import os
import re
from pathlib import Path


def safe(name: str, limit: int = 80) -> str:
    """A name that is safe as a file name: `local-dir:../x` becomes `local-dir-x`.

    Of a name longer than `limit` the end is kept.
    """
    plain = re.sub(r"[^A-Za-z0-9._-]+|\.{2,}|_{2,}", "-", name)
    return re.sub(r"-{2,}", "-", plain)[-limit:].strip("-.") or "unnamed"


def may_write(file: Path) -> bool:
    """True if a file, existing or not, can be written; checked before long computations."""
    return not file.is_dir() and os.access(file if file.exists() else file.parent, os.W_OK)
