"""Names of things as names of files, and which of these may be written."""

from __future__ import annotations

import os
import re
from pathlib import Path


def safe(name: str, limit: int = 80) -> str:
    """`local-dir:../x` becomes `local-dir-x`; only the end of a long name is kept."""
    plain = re.sub(r"[^A-Za-z0-9._-]+|\.{2,}|_{2,}", "-", name)
    return re.sub(r"-{2,}", "-", plain)[-limit:].strip("-.") or "unnamed"


def may_write(file: Path) -> bool:
    """Whether a file, there or not, may be written in its folder; looked at before long work."""
    return not file.is_dir() and os.access(file if file.exists() else file.parent, os.W_OK)
