"""Order in which places take units, and units that are made of cells."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

from benchmarks.run.schedule import Schedule
from benchmarks.run.slots import Pool, Slot
from benchmarks.run.units import Units
from benchmarks.sweep import plan
from benchmarks.sweep.estimate import Guess
from benchmarks.sweep.memory_needs import Memory
from benchmarks.sweep.settings import read_sweep
from tests.benchmarks.small import DATA, FIELDS

SMALL = Memory(host=1, gpu=0)


@dataclass(frozen=True)
class Work:
    """A unit that says no more than the schedule asks."""

    name: str
    bench: str
    seconds: float
    memory: Memory = SMALL


def schedule(units: list[Work], places: int, memory: float = 100) -> Schedule:
    pool = Pool(memory)
    return Schedule(units, [Slot(pool) for _ in range(places)])  # type: ignore[arg-type]


def names(units: Schedule, *places: int) -> list[str | None]:
    found: list[Any] = [units.next(place) for place in places]
    return [unit and unit.name for unit in found]


def test_one_place_keeps_the_order_of_the_plan() -> None:
    work = [Work("a", "x", 1), Work("b", "y", 9), Work("c", "x", 5)]
    assert names(schedule(work, 1), 0, 0, 0, 0) == ["a", "c", "b", None]


def test_several_places_take_the_longest_first_and_stay_on_their_bench() -> None:
    work = [Work("a", "x", 1), Work("b", "x", 9), Work("c", "y", 8), Work("d", "y", 3)]
    # y is 11 seconds of work and x is 10.
    assert names(schedule(work, 2), 0, 1, 0, 1, 0) == ["c", "b", "d", "a", None]
    alone = [Work("a", "x", 90), Work("b", "x", 80), Work("c", "y", 8)]
    # Half of what is left on x is more than all of y.
    assert names(schedule(alone, 2), 0, 1, 1, 0) == ["a", "b", "c", None]


def test_units_without_an_estimate_are_shared_out_by_number() -> None:
    work = [Work(f"{bench}{i}", bench, 0) for bench in "xy" for i in range(2)]
    assert names(schedule(work, 2), 0, 1) == ["x0", "y0"]


def test_a_unit_that_does_not_fit_beside_others_waits() -> None:
    large, small = Memory(host=80, gpu=0), Memory(host=30, gpu=0)
    work = [Work("a", "x", 9, large), Work("b", "x", 8, large), Work("c", "x", 1, small)]
    units = schedule(work, 2, memory=100)
    first: Any = units.next(0)
    assert first.name == "a"
    found: list[Any] = []
    waiting = threading.Thread(target=lambda: found.append(units.next(1)))
    waiting.start()
    waiting.join(0.2)
    assert found == []  # 80 + 80 and 80 + 30 do not fit
    units.ended(0, first)
    waiting.join(30)
    assert [unit.name for unit in found] == ["b"]
    second = schedule([work[0], work[1], Work("d", "x", 1, Memory(host=20, gpu=0))], 2, memory=100)
    assert names(second, 0, 1) == ["a", "d"]


def test_a_stopped_schedule_gives_nothing_out() -> None:
    units = schedule([Work("a", "x", 1)], 2)
    units.stop()
    assert names(units, 0, 1) == [None, None]


class Times:
    """Estimates: ten seconds for a cell of linear_probe, one for others."""

    def cell(self, cell: Any) -> Guess:
        return Guess(10.0 if cell.method == "linear_probe" else 1.0, "records")


class Sizes:
    def together(self, cells: Any) -> Memory:
        return Memory(host=float(len(cells)), gpu=0)


def test_long_batches_are_divided_among_places() -> None:
    flags = {"methods": "linear_probe,ncm", "datasets": "glyphs100_lt", "seeds": "0,1,2,3,4,5",
             "set": [f"glyphs100_lt.{k}={v}" for k, v in FIELDS.items()]}  # fmt: skip
    assert DATA[1] == flags["datasets"]
    cells = plan.expand(read_sweep(None, flags)).cells
    units = Units(Times(), Sizes())  # type: ignore[arg-type]
    assert [len(unit.cells) for unit in units.of(cells)] == [6, 1]
    assert [unit.seconds for unit in units.of(cells)] == [60.0, 1.0]
    assert [unit.memory.host for unit in units.of(cells)] == [6, 1]
    two = units.of(cells, places=2)  # 61 seconds in pieces of at most a sixth
    assert [len(unit.cells) for unit in two] == [1] * 6 + [1]
    assert [cell for unit in two for cell in unit.cells] == cells
