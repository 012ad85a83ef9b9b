"""The runs that work in a folder of results, and what they plan.

Each run has a sign of life in the folder `status`, which goes when the run ends. Runs of one sweep
share its cells; a run of another sweep is refused while they live, because tables and the plan are
those of one sweep. The plan stays: `status` needs it to tell what is left.

Two runs that start at the same moment must not both see an empty folder. Each first asks, with a
sign of its own, and then looks. It begins when it sees no run of another sweep. If all ask, the
sweep of the one with the smallest token is run: the others give way, and it waits until they have.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Collection
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Self

from benchmarks.errors import UserError
from benchmarks.safe_files import remove_leftovers, replacing
from benchmarks.signs_of_life import Beats, Onlooker, Owner, content_of, owner_of, read
from results.identity import short_hash

FOLDER = "status"
_ENDING = ".run"
_PATIENCE_S = 0.02
"""Seconds between two looks at runs that ask, too."""


class Run(NamedTuple):
    """A run that lives."""

    owner: Owner
    sweep: str
    """Hash of its sweep."""
    begun: bool
    """False while it asks."""
    token: str


def sweep_hash(keys: Collection[str]) -> str:
    """Return the hash of a sweep: of the keys of all its cells, in all parts."""
    return short_hash({"keys": sorted(set(keys))})


def living_runs(out: Path) -> list[Run]:
    """Return the runs that work in a folder, or ask to, in order of their beginning."""
    runs = [run for file, run in _signs(out).items() if run is not None]
    return sorted(runs, key=lambda run: (run.owner.since, run.token))


class TakingPart:
    """The part of this process in the runs of a folder; a context that lasts as long as its run.

    Args:
        out: folder of the run, which exists.
        sweep: hash of its sweep.
    """

    def __init__(self, out: Path, sweep: str) -> None:
        self._out = out
        self._sweep = sweep
        self._token = uuid.uuid4().hex
        self._file = out / FOLDER / f"{self._token}{_ENDING}"
        self._beats = Beats(self._beat)

    def __enter__(self) -> Self:
        """Begin.

        Raises:
            UserError: a run of another sweep works in the folder, or it cannot be written to.
        """
        try:
            self._file.parent.mkdir(exist_ok=True)
            remove_leftovers(self._file.parent)
            self._write(begun=False)
            self._wait_for_turn()
            self._write(begun=True)
        except OSError as error:
            self._withdraw()
            raise UserError(
                f"Cannot write to {self._file.parent}: {error.strerror or error}. "
                "Choose another folder with --out."
            ) from error
        except BaseException:
            self._withdraw()
            raise
        self._beats.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._beats.stop()
        self._withdraw()

    def others(self) -> list[Run]:
        """Return the other runs of the sweep that live."""
        return [run for run in living_runs(self._out) if run.token != self._token]

    # ---- parts -------------------------------------------------------------------------------

    def _write(self, *, begun: bool) -> None:
        with replacing(self._file) as stream:
            stream.write(content_of(self._token, sweep=self._sweep, begun=begun))

    def _withdraw(self) -> None:
        with suppress(OSError):
            self._file.unlink()

    def _beat(self) -> None:
        with suppress(OSError):
            os.utime(self._file)

    def _wait_for_turn(self) -> None:
        """Return when no run of another sweep is left.

        Raises:
            UserError: another sweep is run.
        """
        while True:
            signs = _signs(self._out)
            for file in [file for file, run in signs.items() if run is None]:
                file.unlink(missing_ok=True)  # its process is dead
            living = [run for run in signs.values() if run is not None]
            if all(run.sweep == self._sweep for run in living):
                return
            first = min(living, key=lambda run: (not run.begun, run.token))
            if first.sweep != self._sweep:
                raise UserError(
                    f"{self._out}: another sweep is running there ({first.owner}, since "
                    f"{clock_time(first.owner.since)}): choose another folder with --out, or "
                    "wait until it has ended."
                )
            self._beat()
            time.sleep(_PATIENCE_S)


def clock_time(seconds: float) -> str:
    """Return a time on the local clock, with its date if that is not today's."""
    try:
        moment = datetime.fromtimestamp(seconds)
    except (ValueError, OverflowError, OSError):
        return "?"
    today = datetime.now().date()
    return f"{moment:%H:%M}" if moment.date() == today else f"{moment:%Y-%m-%d %H:%M}"


def _signs(out: Path) -> dict[Path, Run | None]:
    """Return the runs with a sign in a folder by their files; None for one that is dead."""
    folder = out / FOLDER
    onlooker = Onlooker(folder)
    found: dict[Path, Run | None] = {}
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return {}
    for name in names:
        file = folder / name
        if file.suffix == _ENDING and not name.startswith("."):
            with suppress(OSError):
                sign = read(file)
                if sign is not None:
                    found[file] = _run_of(sign.content) if onlooker.is_alive(sign) else None
    return found


def _run_of(content: bytes) -> Run | None:
    owner = owner_of(content)
    if owner is None:
        return None
    data = json.loads(content)
    return Run(owner, str(data.get("sweep")), data.get("begun") is True, str(data.get("token")))
