"""The process that fits: it opens a bench, fits the cells that it is sent and returns logits.

A worker imports the files of plug-ins only after the bench is loaded and the shared features are
stored, so that their code cannot affect what other cells use.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import sys
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks import device as devices
from benchmarks.datasets.base import DataSet
from benchmarks.errors import DataError, DataMissing, UserError
from benchmarks.inputs.features import FeatureStore, user_store
from benchmarks.plugins.origins import Origin
from benchmarks.processes import Parent
from benchmarks.run.bench import Bench, Take
from benchmarks.run.border import Facts, Verdict, clean, to_messages
from benchmarks.run.data_sets import DataSets
from benchmarks.run.options import RunOptions
from benchmarks.run.patches import Patches
from benchmarks.sweep.cell import Cell
from methods.registry import METHODS, MethodInfo
from results.schema import Record

STEP_S = 0.1
"""Least time between two messages about steps."""
_imported: set[Origin] = set()
"""Plug-ins that this process has imported."""
ERRORS = (DataMissing, DataError, UserError)
"""Errors that end a run, the most special first."""


def shared(cell: Cell) -> Hashable:
    """Return the fields that cells on one bench share: its data and its backbone."""
    return (
        cell.family, cell.split_seed, cell.select,
        cell.backbone, cell.precision, cell.transform, cell.image_size,
    )  # fmt: skip


class Worker:
    """Holds one bench at a time and fits cells on it.

    Args:
        options: of the run.
        display: shows the progress.
        load: returns the data set of a cell.
        features: store of frozen features.
    """

    def __init__(
        self,
        options: RunOptions,
        display: Any,
        load: Callable[[Cell], DataSet],
        features: FeatureStore,
    ) -> None:
        self._options = options
        self._display = display
        self._load = load
        self._features = features
        self._bench: Bench | None = None
        self._shared: Hashable = None
        devices.make_deterministic(options.deterministic)

    def open(self, cell: Cell, *, trusted: bool = True) -> Facts:
        """Load what the cell needs, unless it is loaded already.

        Raises:
            UserError: data or weights that only the user can put right.
        """
        if self._bench is None or self._shared != shared(cell):
            if self._bench is not None:
                self.close()
                gc.collect()  # a failed cell's traceback would be frozen by the next bench
            data = self._load(cell)
            self._bench = Bench.load(
                cell, data, self._options, self._features, self._display, trusted=trusted
            )
            self._shared = shared(cell)
            # Everything loaded stays for the next cells. A collection after each of them takes a
            # hundredth of the time if it skips these objects.
            gc.freeze()
        return self._bench.facts

    def prepare(self, cell: Cell, info: MethodInfo) -> None:
        """Compute or find what the open bench shares among methods (see `Bench.prepare`)."""
        assert self._bench is not None
        self._bench.prepare(cell, info)

    def measure(self, cells: list[Cell], take: Take) -> Verdict:
        """Fit a batch on the open bench (see `Bench.measure`)."""
        assert self._bench is not None
        return self._bench.measure(cells, take)

    def distrust(self) -> None:
        """Store features from now on only while nothing is changed that they depend on."""
        bench = self._bench
        assert bench is not None
        patches = Patches.now()
        self._features.may_store = lambda: not patches.any() and not bench.changes()

    def close(self) -> None:
        """Release the bench."""
        self._bench = None
        self._features.forget()
        gc.unfreeze()


# ---- as a process ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Open:
    """Request to load a bench, answered by facts or by an error that ends the run."""

    cell: Cell
    info: MethodInfo
    foreign: Sequence[Origin]
    """Plug-ins to import once the bench is ready."""


@dataclass(frozen=True)
class Use:
    """Request to use a data set for the bench that is opened next, without an answer."""

    data: DataSet


@dataclass(frozen=True)
class Measure:
    """Request to fit a batch, answered by a result for each cell and a verdict."""

    cells: list[Cell]


def serve(parent: Parent, options: RunOptions, data_plugins: Sequence[Origin]) -> None:
    """Do what the parent asks for until it closes the pipe.

    Args:
        parent: the process that plans and records.
        options: of the run.
        data_plugins: plug-ins that register data sets, which requests may contain.
    """
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    for origin in data_plugins:
        METHODS.load(origin)
    display = _Remote(parent)
    _forward_warnings(parent)

    sent: list[DataSet] = []

    def load(cell: Cell) -> DataSet:
        # Not kept: the test labels are to be gone once the bench has dropped them.
        return sent.pop() if sent else DataSets(options, display).for_fitting(cell)

    worker = Worker(options, display, load, user_store())
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    while True:
        try:
            request = parent.next_request()
        except EOFError:
            return
        try:
            if isinstance(request, Use):
                sent[:] = [request.data]
            elif isinstance(request, Open):
                _open(worker, request, parent)
            else:
                _measure(worker, request.cells, parent)
        except UserError as error:
            kind = next(known.__name__ for known in ERRORS if isinstance(error, known))
            parent.send({"kind": "error", "type": kind, "text": clean(str(error))})


def _open(worker: Worker, request: Open, parent: Parent) -> None:
    facts = worker.open(request.cell, trusted=not request.foreign)
    worker.prepare(request.cell, request.info)
    new = [origin for origin in request.foreign if origin not in _imported]
    if new:
        worker.distrust()
    for origin in new:
        try:
            METHODS.load(origin)
        except UserError as error:
            parent.send({"kind": "lost", "text": clean(str(error))})
            return
        _imported.add(origin)
    parent.send({"kind": "facts", "facts": vars(facts)})


def _measure(worker: Worker, cells: list[Cell], parent: Parent) -> None:
    def take(measured: Any) -> None:
        for head, body in to_messages(measured):
            parent.send(head, body)

    verdict = worker.measure(cells, take)
    with contextlib.suppress(BaseException):  # a method may have closed or replaced them
        sys.stdout.flush()
        sys.stderr.flush()
    parent.send(
        {
            "kind": "verdict",
            "changed": list(verdict.changed),
            "restored": list(verdict.restored),
        }
    )


class _Remote:
    """A display that tells the parent."""

    def __init__(self, parent: Parent) -> None:
        self._parent = parent
        self._sent = 0.0

    def preparing(self, what: str, done: int = 0, total: int = 0) -> None:
        if done == total or self._due():
            self._parent.send({"kind": "preparing", "what": what, "done": done, "total": total})

    def started(self, cell: Cell) -> None:
        self._parent.send({"kind": "started", "key": cell.key})

    def stepped(self, epoch: int, epochs: int, step: int, steps: int) -> None:
        if self._due() or (epoch + 1 == epochs and step == steps):
            self._parent.send({"kind": "stepped", "at": [epoch, epochs, step, steps]})

    def logged(self, cell: Cell, name: str, epoch: float, value: float) -> None:
        self._parent.send({"kind": "logged", "key": cell.key, "curve": name, "at": [epoch, value]})

    def finished(self, cell: Cell, record: Record) -> None:
        """Do nothing: the parent knows."""

    def _due(self) -> bool:
        now = time.monotonic()
        if now - self._sent < STEP_S:
            return False
        self._sent = now
        return True


def _forward_warnings(parent: Parent) -> None:
    """Send the suite's own warnings to the parent, which prints them."""

    class Forward(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            parent.send({"kind": "warning", "text": clean(record.getMessage())})

    for name in ("benchmarks", "methods"):
        logging.getLogger(name).addHandler(Forward(logging.WARNING))
