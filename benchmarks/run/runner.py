"""Runs cells and writes their records. One failing cell does not stop the others.

Runs that share a folder share the cells (`claims.py`): each one runs those that no other has
claimed, and ends when all have a record.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from time import sleep

from benchmarks import backbones
from benchmarks import device as devices
from benchmarks.datasets.base import DataSet
from benchmarks.errors import DataError, DataMissing, UserError, counted
from benchmarks.run.batched_fits import batches
from benchmarks.run.border import Facts, Verdict
from benchmarks.run.checkpoints import checkpoint_file, remove_finished
from benchmarks.run.claims import Claims
from benchmarks.run.data_sets import DataSets
from benchmarks.run.display import Display
from benchmarks.run.engines import Engine, Lost, engine_for
from benchmarks.run.options import RunOptions
from benchmarks.run.others import Others
from benchmarks.run.recorder import Outcome, Predictions, Recorder, now
from benchmarks.run.worker import shared
from benchmarks.sweep.cell import Cell
from results.schema import Record, RecordError
from results.store import Store

_LOOK_S = 1.0
"""Seconds between two looks at the cells of other runs."""


def run(
    cells: Sequence[Cell],
    options: RunOptions,
    display: Display,
    data_sets: DataSets | None = None,
    known: Mapping[str, Record | None] | None = None,
) -> list[Record]:
    """Run cells in order, write each record when its cell ends, and return the records.

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

    Raises:
        UserError: data or weights that only the user can put right.
    """
    store = Store(options.out)
    store.check_writable()
    remove_finished(options.out, store.folder)
    devices.make_deterministic(options.deterministic)
    data_sets = data_sets or DataSets(options, display)
    others = Others(store, {c.key: store.get(c.key) for c in cells} if known is None else known)
    records: dict[str, Record] = {}
    engine = engine_for(options, display, data_sets)

    def finish(cell: Cell, record: Record) -> None:
        display.finished(cell, record)
        records[cell.key] = record

    def run_batch(batch: list[Cell]) -> None:
        ours, theirs = _divided(batch, claims, others)
        for cell, record in theirs:
            finish(cell, record)
        for cell, outcome in _fitted(ours, options, data_sets, engine):
            # Another run has taken the cell over if this process was stopped for minutes.
            if claims.holds(cell.key) and others.record(cell.key) is None:
                _write(store, *outcome)
                checkpoint_file(options.out, cell).unlink(missing_ok=True)
                finish(cell, outcome[0])
            claims.release(cell.key)

    with Claims(options.out) as claims:
        try:
            while left := [cell for cell in cells if cell.key not in records]:
                for _, group in groupby(left, key=shared):
                    data_sets.keep_for(cell for cell in cells if cell.key not in records)
                    for batch in batches(list(group)):
                        run_batch(batch)
                if waiting := sum(cell.key not in records for cell in left):
                    display.preparing(f"waiting for {counted(waiting, 'cell')} of another run")
                    sleep(_LOOK_S)
        finally:
            engine.close()  # before others may claim what it works on
    return [records[cell.key] for cell in cells]


def _divided(
    batch: list[Cell], claims: Claims, others: Others
) -> tuple[list[Cell], list[tuple[Cell, Record]]]:
    """Return the cells of a batch that this run is to do, and the records that others have made."""
    claimed = claims.take([cell.key for cell in batch])
    # Looked for after the claim: another run may have written the record and released it just now.
    theirs = [(cell, record) for cell in batch if (record := others.record(cell.key))]
    for cell, _ in theirs:
        claims.release(cell.key)
    done = {cell.key for cell, _ in theirs}
    return [cell for cell in batch if cell.key in claimed and cell.key not in done], theirs


def _fitted(
    cells: list[Cell], options: RunOptions, data_sets: DataSets, engine: Engine
) -> Iterable[tuple[Cell, Outcome]]:
    """Fit a batch and return the outcome of each cell; load nothing for none."""
    if not cells:
        return []
    data = _loaded(cells[0], options, data_sets)
    return zip(cells, _outcomes(cells, data, engine, options), strict=True)


def _loaded(cell: Cell, options: RunOptions, data_sets: DataSets) -> DataSet:
    """Return the data set of a cell.

    Raises:
        DataMissing: it is missing; if the weights are missing, too, the line says so.
    """
    try:
        return data_sets.for_fitting(cell)
    except DataMissing as missing:
        try:  # check only, do not download: weights are of no use yet
            backbones.require(cell.backbone, offline=options.offline)
        except DataMissing as also:
            raise DataMissing(f"{missing} And: {also}") from also
        raise


def _outcomes(
    batch: list[Cell], data: DataSet, engine: Engine, options: RunOptions
) -> list[Outcome]:
    """Fit a batch and return the record and the predictions of each cell."""
    started = now()
    recorder = _recorder(data, _known_facts(batch[0], options), options)
    outcomes: list[Outcome] = []
    try:
        facts = engine.open(batch)
        if facts.split_hash != data.split_hash:
            raise DataError(f"{batch[0].dataset}: its files changed while they were in use.")
        recorder = _recorder(data, facts, options)
        left = iter(batch)
        verdict = engine.measure(
            batch,
            recorder.logits_shape,
            lambda measured: outcomes.append(recorder.outcome(next(left), measured)),
        )
    except Lost as lost:
        if len(batch) > 1:  # one of them may be the cause
            return [one for cell in batch for one in _outcomes([cell], data, engine, options)]
        outcomes, verdict = [(recorder.failed(batch[0], str(lost), started), None)], Verdict()
    recorder.keep_output(batch, engine.output())
    return [
        _judged(cell, outcome, verdict, recorder)
        for cell, outcome in zip(batch, outcomes, strict=True)
    ]


def _judged(cell: Cell, outcome: Outcome, verdict: Verdict, recorder: Recorder) -> Outcome:
    """Return the outcome of a cell in the light of what its batch left behind."""
    record, predictions = outcome
    if verdict.restored:
        changed = f"put back after the method had changed them: {'; '.join(verdict.restored)}"
        record = dataclasses.replace(record, notes=(*record.notes, changed))
    if verdict.changed and record.status == "done":
        assert record.provenance is not None
        reason = (
            f"the method changed {', '.join(verdict.changed)} in place, which other methods "
            "share: work on a copy (clone, copy.deepcopy)"
        )
        return recorder.failed(cell, reason, record.provenance.started), None
    return record, predictions


def _recorder(data: DataSet, facts: Facts, options: RunOptions) -> Recorder:
    return Recorder(data, facts, options.out, save_logits=options.save_logits)


def _known_facts(cell: Cell, options: RunOptions) -> Facts:
    """Return the facts about a bench that are known before it is loaded."""
    return Facts(
        weights_id=cell.backbone.weights_id,
        preprocess_hash="",
        hardware=devices.describe(options.device),
        split_hash="",
        deterministic_algorithms=options.deterministic,
    )


def _write(store: Store, record: Record, predictions: Predictions | None) -> None:
    try:
        store.write(record, predictions)
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
