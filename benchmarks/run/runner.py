"""Runs cells and writes their records. One failing cell does not stop the others."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from itertools import groupby

from benchmarks import backbones
from benchmarks import device as devices
from benchmarks.datasets.base import DataSet
from benchmarks.errors import DataError, DataMissing, UserError
from benchmarks.run.batched_fits import batches
from benchmarks.run.border import Facts, Verdict
from benchmarks.run.checkpoints import checkpoint_file, remove_finished
from benchmarks.run.data_sets import DataSets
from benchmarks.run.display import Display
from benchmarks.run.engines import Engine, Lost, engine_for
from benchmarks.run.options import RunOptions
from benchmarks.run.recorder import Outcome, Predictions, Recorder, now
from benchmarks.run.worker import shared
from benchmarks.sweep.cell import Cell
from results.schema import Record, RecordError
from results.store import Store


def run(
    cells: Sequence[Cell],
    options: RunOptions,
    display: Display,
    data_sets: DataSets | None = None,
) -> list[Record]:
    """Run cells in order, write each record when its cell ends, and return the records.

    A method that raises, that ends its process, or whose logits are not finite or have the wrong
    shape leaves a failed record. Missing or damaged data and weights end the run; finished cells
    are kept.

    Args:
        cells: of a plan.
        options: where and how to run.
        display: shows the progress.
        data_sets: data sets that the caller has loaded already.

    Raises:
        UserError: data or weights that only the user can put right.
    """
    store = Store(options.out)
    store.check_writable()
    remove_finished(options.out, store.folder)
    devices.make_deterministic(options.deterministic)
    data_sets = data_sets or DataSets(options, display)
    records: list[Record] = []
    engine = engine_for(options, display, data_sets)
    try:
        for _, group in groupby(cells, key=shared):
            same = list(group)
            data_sets.keep_for(cells[len(records) :])
            display.preparing(f"loading {same[0].dataset}")
            data = _loaded(same[0], options, data_sets)
            for batch in batches(same):
                for cell, outcome in zip(
                    batch, _outcomes(batch, data, engine, options), strict=True
                ):
                    _write(store, *outcome)
                    checkpoint_file(options.out, cell).unlink(missing_ok=True)
                    display.finished(cell, outcome[0])
                    records.append(outcome[0])
    finally:
        engine.close()
    return records


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
