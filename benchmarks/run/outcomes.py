"""Outcomes of the cells of a unit, with records and predictions, the same for every engine."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence

from benchmarks import device as devices
from benchmarks.backbone import presence
from benchmarks.datasets.base import DataSet
from benchmarks.errors import DataError, DataMissing
from benchmarks.run.border import Facts, Verdict
from benchmarks.run.data_sets import DataSets
from benchmarks.run.engines import Engine, Lost, Vanished
from benchmarks.run.options import RunOptions
from benchmarks.run.recorder import Outcome, Recorder, now
from benchmarks.sweep.cell import Cell

TRIES = 3
"""Times that cells are fitted whose machine disappears."""

_log = logging.getLogger(__name__)


def outcomes(
    cells: Sequence[Cell], engine: Engine, data_sets: DataSets, options: RunOptions
) -> list[Outcome]:
    """Fit cells together and return the record and the predictions of each.

    If the process that fits them ends, each is fitted alone, because one of them may be the cause.
    If its whole machine disappears, they are fitted again, elsewhere.

    Raises:
        UserError: data or weights that only the user can put right.
    """
    return _outcomes(list(cells), _loaded(cells[0], options, data_sets), engine, options)


def _loaded(cell: Cell, options: RunOptions, data_sets: DataSets) -> DataSet:
    """Return the data set of a cell.

    Raises:
        DataMissing: it is missing; if the weights are missing, too, the line says so.
    """
    try:
        return data_sets.for_fitting(cell)
    except DataMissing as missing:
        try:  # check only, do not download: weights are of no use yet
            presence.require(cell.backbone, offline=options.offline)
        except DataMissing as also:
            raise DataMissing(f"{missing} And: {also}") from also
        raise


def _outcomes(
    batch: list[Cell], data: DataSet, engine: Engine, options: RunOptions, tries: int = TRIES
) -> list[Outcome]:
    started = now()
    recorder = _recorder(data, _known_facts(batch[0], options), options)
    found: list[Outcome] = []
    try:
        facts = engine.open(batch)
        if facts.split_hash != data.split_hash:
            raise DataError(f"{batch[0].dataset}: its files changed while they were in use.")
        recorder = _recorder(data, facts, options)
        left = iter(batch)
        verdict = engine.measure(
            batch,
            recorder.logits_shape,
            lambda measured: found.append(recorder.outcome(next(left), measured)),
        )
    except Lost as lost:
        if isinstance(lost, Vanished) and tries > 1:
            _log.warning("%s: %s. It is run again.", batch[0].title, lost)
            return _outcomes(batch, data, engine, options, tries - 1)
        if len(batch) > 1:
            return [one for cell in batch for one in _outcomes([cell], data, engine, options)]
        found, verdict = [(recorder.failed(batch[0], str(lost), started), None)], Verdict()
    recorder.keep_output(batch, engine.output())
    return [
        _judged(cell, outcome, verdict, recorder)
        for cell, outcome in zip(batch, found, strict=True)
    ]


def _judged(cell: Cell, outcome: Outcome, verdict: Verdict, recorder: Recorder) -> Outcome:
    """Return the outcome of a cell in the light of what its batch left behind."""
    record, predictions = outcome
    if verdict.restored:
        changed = f"put back after the method had changed them: {'; '.join(verdict.restored)}"
        record = dataclasses.replace(record, details=(*record.details, changed))
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
