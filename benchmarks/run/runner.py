"""Runs cells and writes their records. One failing cell does not stop the others."""

from __future__ import annotations

import gc
from collections.abc import Hashable, Iterable, Sequence
from itertools import groupby

from benchmarks import device as devices
from benchmarks.errors import UserError
from benchmarks.inputs.features import user_store
from benchmarks.run.bench import Bench, Display, Settings, load_data
from benchmarks.run.checkpoints import checkpoint_file
from benchmarks.run.together import handed_over
from benchmarks.sweep.plan import Cell
from results.schema import Record
from results.store import Store


def run(cells: Sequence[Cell], settings: Settings, display: Display) -> list[Record]:
    """Run cells in order and write each record as its cell ends.

    A method that raises, or whose logits are not finite or of the wrong shape, leaves a failed
    record. Missing or damaged data and weights end the run: what is finished is kept.

    Raises:
        UserError: data or weights that only the user can put right.
    """
    store = Store(settings.out)
    store.check_writable()
    devices.make_deterministic(settings.deterministic)
    records = []
    features = user_store()
    try:
        for _, group in groupby(cells, key=_on_one_bench):
            bench = None  # let the last one go before the next is loaded
            same = list(group)
            for batch in handed_over(same):
                if bench is None or bench.spoiled:
                    bench = None
                    features.forget()
                    gc.unfreeze()
                    gc.collect()  # what a failed cell's traceback holds would be frozen below
                    bench = Bench.load(same[0], settings, features, display)
                    # What is there now stays for the next cells. Passing over it, a collection
                    # after each of them takes a hundredth of the time.
                    gc.freeze()
                for cell, (record, predictions) in zip(batch, bench.measure(batch), strict=True):
                    try:
                        store.write(record, predictions)
                    except OSError as error:
                        raise UserError(
                            f"Cannot write to {store.folder}: {error.strerror or error}. What is "
                            "finished is kept; the same command goes on from there."
                        ) from error
                    checkpoint_file(settings.out, cell).unlink(missing_ok=True)
                    display.finished(cell, record)
                    records.append(record)
    finally:
        gc.unfreeze()
    return records


def find_all_data(cells: Iterable[Cell], settings: Settings, display: Display) -> None:
    """Load each of several data sets once: hours later is too late to hear that one is missing.

    Raises:
        DataError: one cannot be used.
    """
    families = {cell.family: cell for cell in cells}
    for family, cell in families.items() if len(families) > 1 else ():
        if family.on_disk:
            display.preparing(f"looking for {cell.dataset}")
            load_data(cell, settings, display)


def _on_one_bench(cell: Cell) -> Hashable:
    """What cells have in common that share loaded data and a backbone."""
    return (
        cell.family, cell.split_seed, cell.select, cell.backbone, cell.precision, cell.transform
    )  # fmt: skip
