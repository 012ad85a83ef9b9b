"""Keep the correctness bits of a run beside committed records.

    python -m benchmarks.tools.keep_bits DIR --to results/reference/X

Predictions are too large to commit, and without them nobody can recompute a paired interval. This
command reads the predictions in `DIR/records` of every finished cell of `results/reference/X` and
writes `results/reference/X/correct.npz` (see `results.correctness`), from which `compare` computes
the same intervals. Cells are matched by key, so the two folders must hold records of the same
sources; the bits must also give the values by class that the committed record has. Bits that the
file has already are kept for cells without predictions in DIR, and go with their record.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.errors import UserError, counted
from results import correctness
from results.correctness import CorrectnessBits, bits_of
from results.predictions import Arrays, PredictionsError
from results.schema import Record
from results.store import Store

_SHOWN = 5
"""Keys that a message names."""


def keep_bits(sources: list[Path], to: Path) -> tuple[int, list[Record]]:
    """Write the bits of a folder's finished cells.

    Args:
        sources: folders of runs, each with `records/` and predictions.
        to: folder with the records whose bits are kept.

    Returns:
        Number of cells with bits, and the finished cells without.

    Raises:
        UserError: a record cannot be read, predictions are damaged or give other values than the
            record, no cell has predictions, or the file cannot be written.
    """
    records, problems = Store(to).all()
    if problems:
        raise UserError(f"{problems[0]} (nothing is written)")
    done = [record for record in records if record.status == "done"]
    if not done:
        raise UserError(f"No finished cells under {to}: name a folder that holds records/.")
    earlier = _earlier(to / correctness.FILE)
    stores = [Store(folder) for folder in sources]
    runs: dict[str, Arrays] = {}
    without = []
    fresh = 0
    for record in done:
        store = next((store for store in stores if store.get(record.key) is not None), None)
        try:
            if store is not None:
                predictions = store.predictions(record.key, correctness.NEEDED)
                runs[record.key] = bits_of(record, predictions)
                fresh += 1
            elif earlier is not None and earlier.has(record.key):
                runs[record.key] = earlier.get(record)
            else:
                without.append(record)
        except PredictionsError as error:
            raise UserError(
                f"{to / 'records' / record.key}.json: {error}: copy the record of the run, too "
                "(nothing is written)."
            ) from None
    if not fresh:
        raise UserError(
            f"No predictions under {', '.join(map(str, sources))} of the {len(done)} finished "
            f"cells of {to}: keys must be equal, and the run's records/*.npz must be there."
        )
    try:
        correctness.write(to / correctness.FILE, runs)
    except OSError as error:
        raise UserError(f"Cannot write to {to}: {error.strerror or error}.") from error
    return len(runs), without


def _earlier(file: Path) -> CorrectnessBits | None:
    """The bits that are there already; a damaged file counts as absent, as it will be replaced."""
    try:
        return CorrectnessBits(file)
    except (OSError, PredictionsError):
        return None


def main() -> int:
    """Keep the bits that the command line asks for; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.tools.keep_bits", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("folders", metavar="DIR", type=Path, nargs="+", help="holds predictions")
    parser.add_argument("--to", metavar="DIR", type=Path, required=True, help="gets correct.npz")
    chosen = parser.parse_args()
    try:
        kept, without = keep_bits(chosen.folders, chosen.to)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    file = chosen.to / correctness.FILE
    print(f"{file}: bits of {counted(kept, 'cell')}, {file.stat().st_size / 1000:,.0f} kB.")
    if without:
        keys = ", ".join(record.key for record in without[:_SHOWN])
        more = ", …" if len(without) > _SHOWN else ""
        print(f"{counted(len(without), 'finished cell')} without: {keys}{more}", file=sys.stderr)
    return 1 if without else 0


if __name__ == "__main__":
    sys.exit(main())
