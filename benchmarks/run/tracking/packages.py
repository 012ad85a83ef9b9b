"""Packages that trackers need, looked for without importing them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.errors import UserError
from benchmarks.packages import missing
from benchmarks.sweep.tracks import Track


def require_trackers(tracks: Sequence[Track]) -> None:
    """Refuse trackers whose package or file is not there.

    Raises:
        UserError: the line.
    """
    for track in tracks:
        if track.is_file:
            if not Path(track.kind).is_file():
                raise UserError(f"--track {track}: no file at {track.kind}.")
        elif missing([track.kind]):
            raise UserError(
                f"--track {track}: the Python package {track.kind} is not installed: "
                f"`pip install -e '.[{track.kind}]'` in the folder of the suite."
            )
