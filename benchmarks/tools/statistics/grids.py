"""The tables of docs/statistics.md, line by line as they are simulated."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from benchmarks.tools.statistics.across import false_ranks, of_improvement, of_middle
from benchmarks.tools.statistics.coverage import (
    Draw,
    coverage,
    of_one_way,
    of_pairs,
    of_precisions,
    of_rows,
    of_typical_runs,
)
from benchmarks.tools.statistics.decisions import false_tables, looking_again, planned
from benchmarks.tools.statistics.worlds import SHAKEN, World
from reports.markdown_text import pipes

Grid = Callable[[int | None, int], Iterator[str]]
"""Yields the lines of a Markdown table, from the worlds of a line (None: its own) and a seed."""

FLOORS = {"60 %": 0.4, "96 %": 2.7, "99.5 %": 4.2}
"""Mean worth of a class by the accuracy that it leads to."""


def _pairs(worlds: int | None, seed: int) -> Iterator[str]:
    yield from _head("runs", "runs vary", "10 × 20", "30 × 10", "null, 30 × 20", "width")
    for runs in (2, 3, 5, 10):
        for name in SHAKEN:
            held = [
                coverage(of_pairs(World(classes, images, runs, gap=gap).shaken(name)),
                         worlds or 2000, seed)
                for classes, images, gap in ((10, 20, 0.3), (30, 10, 0.3), (30, 20, 0.0))
            ]  # fmt: skip
            shares = [_percent(one.share) for one in held]
            yield pipes([str(runs), name, *shares, f"{held[0].width:.1f}"])


def _rows(worlds: int | None, seed: int) -> Iterator[str]:
    yield from _head("accuracy", "1 × 50, fixed", "10 × 20, fixed", "1 × 50, 3 runs",
                     "10 × 20, 3 runs", "10 × 20, 5 runs")  # fmt: skip
    designs = ((1, 50, 1), (10, 20, 1), (1, 50, 3), (10, 20, 3), (10, 20, 5))
    for name, level in FLOORS.items():
        cells = []
        for classes, images, runs in designs:
            fixed = (0,) if runs == 1 else ()
            draw = of_rows(World(classes, images, runs, level=level, fixed=fixed))
            cells.append(_percent(coverage(draw, worlds or 2000, seed).share))
        yield pipes([name, *cells])


def _few(worlds: int | None, seed: int) -> Iterator[str]:
    yield from _head("images that differ", "1 × 200", "10 × 20", "100 to 5", "before", "no width")
    shapes = ((200,), (20,) * 10, (100, 50, 30, 15, 5))
    for expected in (0.5, 1.0, 2.0, 3.5, 5.0, 8.0, 20.0):
        held = [coverage(of_one_way(expected, sizes), worlds or 4000, seed) for sizes in shapes]
        before = coverage(of_one_way(expected, shapes[1], steps=False), worlds or 4000, seed)
        shares = [_percent(one.share) for one in (*held, before)]
        yield pipes([f"{expected:g}", *shares, _percent(before.zero)])


def _floor(worlds: int | None, seed: int) -> Iterator[str]:
    yield from _head("accuracy", "runs", "1 × 10", "1 × 50", "10 × 20", "10 × 20 before",
                     "no width")  # fmt: skip
    for name, level in FLOORS.items():
        for runs in (1, 3, 5):
            fixed = (0, 1) if runs == 1 else ()
            made = [
                World(classes, images, runs, level=level, gap=0.3, fixed=fixed)
                for classes, images in ((1, 10), (1, 50), (10, 20))
            ]
            held = [coverage(of_pairs(world), worlds or 1000, seed) for world in made]
            before = coverage(of_pairs(made[2], steps=False), worlds or 1000, seed)
            shares = [_percent(one.share) for one in (*held, before)]
            yield pipes([name, str(runs), *shares, _percent(before.zero)])


def _precision(worlds: int | None, seed: int) -> Iterator[str]:
    yield from _head("positives", "1 class", "10 classes")
    for positives in (2, 5, 10, 30):
        held = [coverage(of_precisions(positives, c), worlds or 1000, seed) for c in (1, 10)]
        yield pipes([str(positives), *(_percent(one.share) for one in held)])


def _splits(worlds: int | None, seed: int) -> Iterator[str]:
    yield from _head("splits", "runs on each", "split ≪ run", "split ≈ run", "split ≫ run",
                     "width", "deterministic")  # fmt: skip
    for splits in (2, 3, 5):
        for runs in (1, 3):
            made = [
                World(10, 20, runs, gap=0.3, splits=splits, split=split, split_class=2 * split)
                for split in (0.02, 0.1, 0.3)
            ]
            held = [coverage(of_pairs(world), worlds or 1000, seed) for world in made]
            still = World(10, 20, 1, gap=0.3, splits=splits, split=0.1, split_class=0.2,
                          fixed=(0, 1))  # fmt: skip
            alone = coverage(of_pairs(still), worlds or 1000, seed)
            shares = [_percent(one.share) for one in held]
            last = _percent(alone.share) if runs == 1 else "–"
            yield pipes([str(splits), str(runs), *shares, f"{held[1].width:.1f}", last])


def _robust(worlds: int | None, seed: int) -> Iterator[str]:
    yield from _head("runs", "runs vary", "collapse", "robust", "width", "usual", "width")
    for runs in (3, 5, 7, 10, 20):
        for name in ("small", "middle"):
            for collapse in (0.0, 0.1, 0.2):
                world = World(10, 20, runs, gap=0.2, collapse=collapse).shaken(name)
                robust = ["–", "–"]
                if runs >= 5:
                    robust = _share_and_width(of_typical_runs(world, seed), worlds or 600, seed)
                usual = _share_and_width(of_pairs(world), worlds or 600, seed)
                yield pipes([str(runs), name, f"{collapse:.0%}", *robust, *usual])


def _power(worlds: int | None, seed: int) -> Iterator[str]:
    yield from _head(
        "runs", "runs vary", "smallest difference", "power", "from one world's records"
    )
    for runs in (3, 5, 10):
        for name in ("small", "middle"):
            found = planned(World(10, 20, runs, level=-0.5).shaken(name), worlds or 600, seed)
            low, high = found.single
            yield pipes([str(runs), name, f"{found.difference:.1f}", _percent(found.shown),
                         f"{low:.1f} to {high:.1f}"])  # fmt: skip


def _families(worlds: int | None, seed: int) -> Iterator[str]:
    yield from _head("rows", "runs", "runs vary", "one by one", "together")
    for rows in (1, 9):
        for runs in (3, 5, 10):
            for name in ("middle", "large"):
                world = World(15, 20, runs).shaken(name)
                found = false_tables(world, rows, worlds or 2000, seed)
                shares = [_percent(found.one_by_one), _percent(found.together)]
                yield pipes([str(rows), str(runs), name, *shares])


def _looking(worlds: int | None, seed: int) -> Iterator[str]:
    yield from _head("runs vary", "three runs", "three, and two more if nothing shows")
    for name in SHAKEN:
        once, last = looking_again(World(10, 20, 5).shaken(name), 3, worlds or 4000, seed)
        yield pipes([name, _percent(once), _percent(last)])


def _across(worlds: int | None, seed: int) -> Iterator[str]:
    yield from _head("data sets", "runs", "interquartile mean, far apart", "close", "improvement")
    for sets in (2, 5, 10):
        for runs in (3, 5, 10):
            draws = [of_middle(sets, runs, 40.0), of_middle(sets, runs, 2.0)]
            draws.append(of_improvement(sets, runs))
            shares = [coverage(draw, worlds or 1000, seed).share for draw in draws]
            yield pipes([str(sets), str(runs), *map(_percent, shares)])


def _ranks(worlds: int | None, seed: int) -> Iterator[str]:
    yield from _head("variants", "6 data sets", "9 data sets", "13 data sets")
    for variants in (2, 3, 5):
        shares = [false_ranks(variants, sets, worlds or 2000, seed) for sets in (6, 9, 13)]
        yield pipes([str(variants), *map(_percent, shares)])


GRIDS: dict[str, Grid] = {
    "pairs": _pairs,
    "few": _few,
    "floor": _floor,
    "rows": _rows,
    "precision": _precision,
    "splits": _splits,
    "robust": _robust,
    "power": _power,
    "families": _families,
    "looking": _looking,
    "across": _across,
    "ranks": _ranks,
}
"""Tables by name."""


def _head(*titles: str) -> Iterator[str]:
    yield pipes(titles)
    yield pipes(["--:"] * len(titles))


def _share_and_width(draw: Draw, worlds: int, seed: int) -> list[str]:
    held = coverage(draw, worlds, seed)
    return [_percent(held.share), f"{held.width:.1f}"]


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"
