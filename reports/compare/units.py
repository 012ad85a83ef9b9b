"""Pairs of runs and splits: the units that vary in a comparison, and words about them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from reports.notes import TUNED_BEFORE
from reports.table import Row
from results.schema import Record

Pair = tuple[Record, Record]


def paired_units(a: Row, b: Row) -> list[list[Pair]]:
    """Pairs of runs, grouped by the unit that varies: runs of a single split, or splits.

    A deterministic method has one run for each split, paired with every run of the other method.
    """
    splits: dict[int, list[Pair]] = {}
    for record in a.done:
        for other in b.done:
            same = record.seed == other.seed or record.deterministic or other.deterministic
            if record.split_seed == other.split_seed and same:
                splits.setdefault(record.split_seed, []).append((record, other))
    if len(splits) > 1:
        return [splits[split] for split in sorted(splits)]
    return [[pair] for pairs in splits.values() for pair in pairs]


def is_fixed(a: Row, b: Row) -> bool:
    """True if neither row draws random numbers."""
    return a.done[0].deterministic and b.done[0].deterministic


def is_one_run(a: Row, b: Row, units: Sequence[Sequence[Pair]]) -> bool:
    """True if a row draws random numbers and has one run, which says nothing about others."""
    return len(units) == 1 and not is_fixed(a, b)


def unit_names(units: Sequence[Sequence[Pair]]) -> tuple[str, ...]:
    """The name of each unit: `seed 0`, or `split 0` if there are several splits."""
    splits = [unit[0][0].split_seed for unit in units]
    if len(set(splits)) > 1:
        return tuple(f"split {split}" for split in splits)
    return tuple(f"seed {_seed(unit[0])}" for unit in units)


def _seed(pair: Pair) -> int:
    first, second = pair
    return second.seed if first.deterministic else first.seed


def sources(a: Row, b: Row, units: Sequence[Sequence[Pair]], images: int) -> str:
    """Sources of variation in the interval, in words."""
    text = f"the choice of {images:,} test images"
    splits = list(dict.fromkeys(unit[0][0].split_seed for unit in units))
    seeds = sorted({_seed(pair) for unit in units for pair in unit})
    if len(splits) > 1:
        sizes = sorted({len(unit) for unit in units})
        number = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
        inner = "" if sizes == [1] else f", the mean over {number} run seeds on each"
        text += f" and of {len(splits)} splits (split seeds {_list(splits)}{inner})"
    elif is_fixed(a, b):
        text += "; both variants are deterministic"
    elif len(units) == 1:
        text += f" alone: there is one run (seed {_list(seeds)})"
    else:
        text += f" and of {len(seeds)} run seeds ({_list(seeds)})"
    return text + "."


def notes(a: Row, b: Row, units: Sequence[Sequence[Pair]]) -> tuple[str, ...]:
    """Notes on runs that are left out, shared, stale or failed, and on stale recipes."""
    used = {record.key for unit in units for pair in unit for record in pair}
    found = []
    for row, other in ((a, b), (b, a)):
        left_out = [record for record in row.done if record.key not in used]
        if left_out:
            seeds = _list(f"{r.seed}/{r.split_seed}" for r in left_out)
            found.append(
                f"{row.name}: {len(left_out)} of {len(row.done)} runs left out (run/split seed "
                f"{seeds}), because {other.name} has no runs to pair them with."
            )
        if row.done[0].deterministic and not other.done[0].deterministic:
            found.append(f"{row.name} is deterministic: its one run is paired with every seed.")
        if row.stale:
            found.append(f"{row.name}: made with another version of the method's source.")
        if row.stale_recipe:
            found.append(f"{row.name}: {TUNED_BEFORE}")
        if row.failed:
            found.append(f"{row.name}: {len(row.failed)} of {row.cells} runs have no result.")
    return tuple(found)


def _list(items: Iterable[object]) -> str:
    return ", ".join(map(str, items))
