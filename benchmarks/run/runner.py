"""Runs cells and writes their records. One failing cell does not stop the others."""

from __future__ import annotations

import gc
from collections.abc import Hashable, Sequence
from itertools import groupby

from benchmarks import device as devices
from benchmarks.errors import UserError
from benchmarks.inputs.features import user_store
from benchmarks.run.batched_fits import batches
from benchmarks.run.bench import Bench
from benchmarks.run.checkpoints import checkpoint_file, remove_finished
from benchmarks.run.data_sets import DataSets
from benchmarks.run.display import Display
from benchmarks.run.options import RunOptions
from benchmarks.sweep.cell import Cell
from results.schema import Record
from results.store import Store


def run(
    cells: Sequence[Cell],
    options: RunOptions,
    display: Display,
    data_sets: DataSets | None = None,
) -> list[Record]:
    """Run cells in order, write each record when its cell ends, and return the records.

    A method that raises, or whose logits are not finite or have the wrong shape, leaves a failed
    record. Missing or damaged data and weights end the run; finished cells are kept.

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
    features = user_store()
    try:
        for _, group in groupby(cells, key=_shared):
            bench = None  # released before the next one is loaded
            same = list(group)
            data_sets.keep_for(cells[len(records) :])
            for batch in batches(same):
                if bench is None or bench.spoiled:
                    if bench is not None:
                        data_sets.release(same[0])
                    bench = None
                    features.forget()
                    gc.unfreeze()
                    gc.collect()  # a failed cell's traceback would be frozen below
                    bench = Bench.load(same[0], options, features, display, data_sets)
                    # Everything loaded stays for the next cells. A collection after each of them
                    # takes a hundredth of the time if it skips these objects.
                    gc.freeze()
                for cell, (record, predictions) in zip(batch, bench.measure(batch), strict=True):
                    try:
                        store.write(record, predictions)
                    except OSError as error:
                        raise UserError(
                            f"Cannot write to {store.folder}: {error.strerror or error}. What is "
                            "finished is kept; the same command goes on from there."
                        ) from error
                    checkpoint_file(options.out, cell).unlink(missing_ok=True)
                    display.finished(cell, record)
                    records.append(record)
    finally:
        gc.unfreeze()
    return records


def _shared(cell: Cell) -> Hashable:
    """Return the fields that cells on one bench share: its data and its backbone."""
    return (
        cell.family, cell.split_seed, cell.select, cell.backbone, cell.precision, cell.transform
    )  # fmt: skip
