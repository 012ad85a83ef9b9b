"""The answer of a verb as JSON, for programs: alone on standard output.

With `--json` the console of a verb is standard error (`run_benchmarks.py`), so warnings do not mix
with the answer. docs/formats.md has the keys of every answer.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import PurePath
from typing import Any


def print_json(answer: dict[str, Any]) -> None:
    """Print an answer on standard output: ASCII, with control characters as JSON's escapes.

    A number that JSON cannot hold becomes a text (`inf`, `nan`), and so does a path.
    """
    sys.stdout.write(json.dumps(_plain(answer), indent=1, allow_nan=False) + "\n")


def _plain(value: Any) -> Any:
    """The value in types of JSON."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, PurePath) or (isinstance(value, float) and not math.isfinite(value)):
        return str(value)
    return value
