"""The plan that a run leaves in its folder, so that `status` can tell what is left."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from benchmarks.errors import UserError
from benchmarks.input_files import MB, read_text
from benchmarks.plugins.ranges import Range
from benchmarks.run.runs import FOLDER, TakingPart, sweep_hash
from benchmarks.safe_files import replacing
from benchmarks.visible import one_visible_line
from benchmarks.yaml_files import load_json
from results.json_form import NAME, build
from results.schema import Hash, Record
from results.store import Store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.sweep.estimate import Estimator
    from benchmarks.sweep.plan import Planned
    from benchmarks.sweep.settings import Sweep

FILE = "plan.json"
_LARGEST = 256 * MB
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PlannedCell:
    """A cell of a sweep, as the plan saw it."""

    key: Hash
    """Name of its record, which is a stale one if the run accepted that."""
    title: str
    expected_s: Annotated[float | None, Range(0, 1e12)]
    """Estimated seconds; None if nothing is known."""
    to_run: bool
    replaces: str | None
    """For a cell that is computed again, the time at which its earlier record was finished."""

    def is_pending(self, record: Record | None) -> bool:
        """Return True if the cell has no result yet, or only the one that is to be replaced."""
        if record is None:
            return True
        return self.to_run and self.replaces is not None and self.replaces == _finished(record)


@dataclass(frozen=True)
class RunPlan:
    """The cells of all parts of a sweep."""

    sweep: str
    """Its hash."""
    began: float
    """Beginning of the run, in seconds since 1970."""
    cells: tuple[PlannedCell, ...]

    @classmethod
    def of(
        cls,
        sweep: str,
        planned: Sequence[Planned],
        estimator: Estimator,
        *,
        rerun: str,
        accept_stale: bool,
    ) -> RunPlan:
        """Return the plan of a run that begins now.

        Args:
            sweep: hash of the sweep.
            planned: cells of all parts of the sweep.
            estimator: estimates the time of each.
            rerun: which cells are computed, as the sweep says.
            accept_stale: keep stale records.
        """
        cells = []
        for p in planned:
            to_run = p.to_run(rerun, accept_stale)
            kept = p.record is not None and not to_run
            again = to_run and p.record is not None and p.record.key == p.cell.key
            cells.append(
                PlannedCell(
                    key=p.record.key if kept and p.record is not None else p.cell.key,
                    title=one_visible_line(p.cell.title, NAME - 10),
                    expected_s=estimator.cell(p.cell).seconds,
                    to_run=to_run,
                    replaces=_finished(p.record) if again and p.record is not None else None,
                )
            )
        return cls(sweep, time.time(), tuple(cells))

    def joining(self, earlier: RunPlan | None) -> RunPlan:
        """Return the plan of this run and of those of the same sweep that it joins."""
        if earlier is None or earlier.sweep != self.sweep:
            return self
        before = {cell.key: cell for cell in earlier.cells}
        cells = (
            before[cell.key]
            if cell.key in before and before[cell.key].to_run and not cell.to_run
            else cell
            for cell in self.cells
        )
        return RunPlan(self.sweep, earlier.began, tuple(cells))

    def write(self, out: Path) -> None:
        """Write the plan into a folder of results, replacing an earlier one.

        Raises:
            UserError: the folder cannot be written to.
        """
        file = out / FOLDER / FILE
        head = f'"sweep": {json.dumps(self.sweep)}, "began": {self.began!r}, "cells": [\n'
        rows = ",\n".join(json.dumps(vars(cell)) for cell in self.cells)
        text = f"{head}{rows}\n]}}\n"
        try:
            with replacing(file) as stream:
                stream.write(f'{{"checksum": "{_checksum(text)}",\n{text}'.encode())
        except OSError as error:
            raise UserError(
                f"Cannot write {file}: {error.strerror or error}. Choose another folder with --out."
            ) from error


@contextmanager
def taking_part(sweep: Sweep, planned: Sequence[Planned], estimator: Estimator) -> Iterator[None]:
    """Take part in the runs of a folder, with a plan that `status` can read.

    If there is no record in the end, the plan goes, too.

    Args:
        sweep: the request; its folder exists.
        planned: cells of all its parts.
        estimator: estimates the time of each.

    Raises:
        UserError: a run of another sweep works in the folder, or it cannot be written to.
    """
    name = sweep_hash([p.cell.key for p in planned])
    with TakingPart(sweep.out, name) as part:
        plan = RunPlan.of(
            name, planned, estimator, rerun=sweep.rerun, accept_stale=sweep.accept_stale
        )
        if part.others():
            plan = plan.joining(read_plan(sweep.out))
        plan.write(sweep.out)
        try:
            yield
        finally:
            if not (part.others() or Store(sweep.out).files()):
                _remove_plan(sweep.out)  # nothing came of it, as without data


def read_plan(out: Path) -> RunPlan | None:
    """Return the plan in a folder; None if there is none, or, with a warning, a damaged one."""
    file = out / FOLDER / FILE
    try:
        text = read_text(file, _LARGEST)
        data = load_json(text)
        if data["checksum"] != _checksum(text.partition("\n")[2]):
            raise ValueError("its checksum differs")
        cells = tuple(build(PlannedCell, row, "cell") for row in data["cells"])
        return RunPlan(str(data["sweep"]), float(data["began"]), cells)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, OverflowError):
        _log.warning("%s is damaged and not used; the next run writes it anew.", file)
        return None


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _remove_plan(out: Path) -> None:
    with suppress(OSError):
        (out / FOLDER / FILE).unlink()


def _finished(record: Record) -> str:
    return record.provenance.finished if record.provenance is not None else ""
