"""Runs cells and writes their records. One failing cell does not stop the others.

Cells that are fitted together are a unit; one or several places take units until none is left
(`schedule.py`). Runs that share a folder share the cells (`claims.py`): each one runs those that no
other has claimed, and ends when all have a record.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from time import sleep

from benchmarks.errors import UserError, counted
from benchmarks.processes import in_this_process
from benchmarks.run.checkpoints import checkpoint_file, remove_finished
from benchmarks.run.claims import Claims
from benchmarks.run.data_sets import DataSets
from benchmarks.run.display import Display, SweepDisplay
from benchmarks.run.engines import Engine, Here, Stopped, Workers
from benchmarks.run.options import RunOptions
from benchmarks.run.others import Others
from benchmarks.run.outcomes import outcomes
from benchmarks.run.ray_cluster import RaySlot
from benchmarks.run.ray_engine import RayWorkers
from benchmarks.run.recorder import Outcome, Predictions
from benchmarks.run.schedule import Schedule
from benchmarks.run.slots import Slot
from benchmarks.run.units import Unit, Units
from benchmarks.safe_files import look_again
from benchmarks.sweep.cell import Cell
from results.schema import Record, RecordError
from results.store import Store

_LOOK_S = 1.0
"""Seconds between two looks at the cells of other runs."""


class TooManyFailures(UserError):
    """So many cells failed that the run was to stop."""


def run(
    cells: Sequence[Cell],
    options: RunOptions,
    display: SweepDisplay,
    data_sets: DataSets | None = None,
    known: Mapping[str, Record | None] | None = None,
    units: Units | None = None,
) -> list[Record]:
    """Run cells, write each record when its cell ends, and return the records in order.

    Cells that another run in the same folder has claimed are left to it, and its records are
    returned. A method that raises, that ends its process, or whose logits are not finite or have
    the wrong shape leaves a failed record. Missing or damaged data and weights end the run;
    finished cells are kept.

    Args:
        cells: of a plan.
        options: where and how to run.
        display: shows the progress.
        data_sets: data sets that the caller has loaded already.
        known: records that the plan found, by the keys of the cells; by default they are read now.
        units: makes units of work of the cells; by default without estimates of time and memory.

    Raises:
        UserError: data or weights that only the user can put right.
        TooManyFailures: `options.max_failures` cells have failed.
    """
    store = Store(options.out)
    store.check_writable()
    remove_finished(options.out, store.folder)
    units = units or Units()
    others = Others(store, {c.key: store.get(c.key) for c in cells} if known is None else known)
    with Claims(options.out) as claims:
        one = _Run(
            cells, options, display, data_sets or DataSets(options, display), others, claims, store
        )
        with one.places() as places:
            while left := one.left():
                places.work(units.of(left, len(options.slots)))
                if waiting := len(one.left()):
                    display.preparing(f"waiting for {counted(waiting, 'cell')} of another run")
                    sleep(_LOOK_S)
    return [one.records[cell.key] for cell in cells]


class _Run:
    """State that the places of a run share. Its methods may be called by several threads."""

    def __init__(
        self,
        cells: Sequence[Cell],
        options: RunOptions,
        display: SweepDisplay,
        data_sets: DataSets,
        others: Others,
        claims: Claims,
        store: Store,
    ) -> None:
        self._cells = cells
        self.options = options
        self._display = display
        self.data_sets = data_sets
        self._others = others
        self._claims = claims
        self._store = store
        self._lock = threading.Lock()
        self._failed = 0
        self._of_data = Counter((cell.family, cell.split_seed) for cell in cells)
        """Cells of each data set that have no record yet."""
        self.records: dict[str, Record] = {}

    def left(self) -> list[Cell]:
        """Return the cells that have no record yet."""
        return [cell for cell in self._cells if cell.key not in self.records]

    @contextmanager
    def places(self) -> Iterator[_Places]:
        """Open the places; they are closed before others may claim what they work on."""
        displays = self._display.lanes(len(self.options.slots))
        engines = [
            _engine(self.options, slot, display, self.data_sets)
            for slot, display in zip(self.options.slots, displays, strict=True)
        ]
        try:
            # One thread for each place, to the end: Linux kills a process with the thread that
            # started it.
            with ThreadPoolExecutor(len(engines)) as threads:
                yield _Places(self, engines, displays, threads)
        finally:
            for engine in engines:
                engine.close()

    def claimed(self, unit: Unit) -> list[Cell]:
        """Claim a unit's cells; return those to fit, and finish those that other runs have done."""
        with self._lock:
            claimed = self._claims.take([cell.key for cell in unit.cells])
        look_again(self._store.folder)
        mine = []
        for cell in unit.cells:
            # Looked for after the claim: another run may have written and released it just now.
            if record := self._others.record(cell.key):
                self._claims.release(cell.key)
                self._finish(cell, record, self._display)
            elif cell.key in claimed:
                mine.append(cell)
        return mine

    def keep(self, cell: Cell, outcome: Outcome, display: Display) -> None:
        """Write the outcome of a claimed cell, and release it."""
        # Another run has taken the cell over if this process was stopped for minutes.
        if self._claims.holds(cell.key) and self._others.record(cell.key) is None:
            record = _written(self._store, *outcome)
            with suppress(OSError):  # a method may have put a file where the folder was
                checkpoint_file(self.options.out, cell).unlink()
            self._finish(cell, record, display)
        self._claims.release(cell.key)

    def _finish(self, cell: Cell, record: Record, display: Display) -> None:
        with self._lock:
            self.records[cell.key] = record
            self._failed += record.status == "failed"
            self._of_data[(cell.family, cell.split_seed)] -= 1
            over = not self._of_data[(cell.family, cell.split_seed)]
        display.finished(cell, record)
        if over:
            self.data_sets.keep_for(self.left())

    def refuse_more_failures(self) -> None:
        """End the run if it has as many failed cells as it may have.

        Raises:
            TooManyFailures: it has.
        """
        failed, limit = self._failed, self.options.max_failures
        if limit is not None and failed >= limit:
            raise TooManyFailures(
                f"{counted(failed, 'cell')} failed (--max-failures {limit}). What is finished is "
                "kept; the same command goes on with the other cells."
            )


class _Places:
    """Places that take units until none is left, each in a thread if there are several."""

    def __init__(
        self,
        run: _Run,
        engines: Sequence[Engine],
        displays: Sequence[Display],
        threads: ThreadPoolExecutor,
    ) -> None:
        self._run = run
        self._engines = engines
        self._displays = displays
        self._threads = threads

    def work(self, units: Sequence[Unit]) -> None:
        """Run units.

        Raises:
            BaseException: what ended one of the places; the others are stopped, too.
        """
        schedule = Schedule(units, self._run.options.slots)
        if len(self._engines) == 1:  # in the main thread, as debuggers like it
            self._serve(0, schedule)
            return
        places = range(len(self._engines))
        every = [self._threads.submit(self._serve, place, schedule) for place in places]
        try:
            left = set(every)
            while left:  # for moments only, so that Ctrl-C is noticed whichever thread gets it
                ended, left = wait(left, timeout=0.2, return_when=FIRST_EXCEPTION)
                for one in ended:
                    one.result()
        except BaseException:
            schedule.stop()
            for engine in self._engines:
                engine.stop()
            raise

    def _serve(self, place: int, schedule: Schedule) -> None:
        while (unit := schedule.next(place)) is not None:
            try:
                self._fit(unit, place)
            except Stopped:
                return
            finally:
                schedule.ended(place, unit)
        self._engines[place].close()  # another place may wait for what it holds

    def _fit(self, unit: Unit, place: int) -> None:
        cells = self._run.claimed(unit)
        if not cells:
            return
        run, engine = self._run, self._engines[place]
        found = outcomes(cells, engine, run.data_sets, run.options)
        for cell, outcome in zip(cells, found, strict=True):
            run.keep(cell, outcome, self._displays[place])
        run.refuse_more_failures()  # once all that was fitted with the failed cells is recorded


def _engine(options: RunOptions, slot: Slot, display: Display, data_sets: DataSets) -> Engine:
    """Return the engine of a place."""
    if in_this_process():
        return Here(options, display, data_sets)
    if isinstance(slot, RaySlot):
        return RayWorkers(options, slot, display, data_sets)
    return Workers(options, slot, display)


def _written(store: Store, record: Record, predictions: Predictions | None) -> Record:
    """Write the outcome of a cell; one that no record can hold becomes a failure, which says why.

    Raises:
        UserError: the disk is full, the folder cannot be written to, or nor can a record hold the
            failure.
    """
    try:
        try:
            store.write(record, predictions)
        except RecordError as error:
            if record.status != "done":
                raise
            record = record.as_failed(f"{type(error).__name__}: {error}")
            store.write(record, None)
        return record
    except OSError as error:
        raise UserError(
            f"Cannot write to {store.folder}: {error.strerror or error}. What is finished is kept; "
            "the same command goes on from there."
        ) from error
    except RecordError as error:
        raise UserError(
            f"No record can hold {record.method} on {record.dataset}: {error}. What is finished is "
            "kept."
        ) from error
