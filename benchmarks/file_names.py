"""Names of things as names of files."""

from __future__ import annotations

import re


def safe(name: str, limit: int = 80) -> str:
    """`local-dir:../x` becomes `local-dir-x`; only the end of a long name is kept."""
    plain = re.sub(r"[^A-Za-z0-9._-]+|\.{2,}|_{2,}", "-", name)
    return re.sub(r"-{2,}", "-", plain)[-limit:].strip("-.") or "unnamed"
