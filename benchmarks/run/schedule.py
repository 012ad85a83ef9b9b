"""The order in which places take units of work."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Hashable, Sequence

from benchmarks.run.slots import Slot
from benchmarks.run.units import Unit


class Schedule:
    """Units that are left, for one place after another or for several at a time.

    A single place takes them in their order. Among several, a place takes the longest unit of the
    bench that it has loaded; if none is left, it joins the bench with the most work for each place
    there. A unit that does not fit into memory beside those that run waits.

    Args:
        units: in the order of the plan.
        slots: the places.
    """

    def __init__(self, units: Sequence[Unit], slots: Sequence[Slot]) -> None:
        self._slots = slots
        self._left: dict[Hashable, deque[Unit]] = {}
        """Units of each bench."""
        self._work: dict[Hashable, float] = {}
        """Seconds that they are expected to take together."""
        if len(slots) > 1:
            units = sorted(units, key=lambda unit: unit.seconds, reverse=True)
        for unit in units:
            self._left.setdefault(unit.bench, deque()).append(unit)
            self._work[unit.bench] = self._work.get(unit.bench, 0.0) + _weight(unit)
        self._benches: dict[int, Hashable] = {}
        """Bench that each place has loaded, by its number."""
        self._over = False
        self._changed = threading.Condition()

    def next(self, place: int) -> Unit | None:
        """Return the next unit of a place; wait until one fits. None if there are no more.

        Args:
            place: its number among `slots`.
        """
        with self._changed:
            while self._left and not self._over:
                unit = self._fitting(place)
                if unit is not None:
                    self._take(unit, place)
                    return unit
                self._changed.wait()
            self._benches.pop(place, None)
            return None

    def ended(self, place: int, unit: Unit) -> None:
        """Free the memory of a unit."""
        with self._changed:
            self._slots[place].give_back(unit.memory)
            self._changed.notify_all()

    def stop(self) -> None:
        """Give out no more units."""
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def _fitting(self, place: int) -> Unit | None:
        """Return the best unit for a place among those that fit now."""
        slot, loaded = self._slots[place], self._benches.get(place)
        others = Counter(bench for number, bench in self._benches.items() if number != place)

        def rank(bench: Hashable) -> tuple[bool, float]:
            return bench == loaded, self._work[bench] / (1 + others[bench])

        benches = list(self._left)
        if len(self._slots) > 1:
            benches.sort(key=rank, reverse=True)
        every = (unit for bench in benches for unit in self._left[bench])
        return next((unit for unit in every if slot.fits(unit.memory)), None)

    def _take(self, unit: Unit, place: int) -> None:
        self._slots[place].take(unit.memory)
        left = self._left[unit.bench]
        left.remove(unit)
        self._work[unit.bench] -= _weight(unit)
        if not left:
            del self._left[unit.bench], self._work[unit.bench]
        self._benches[place] = unit.bench


def _weight(unit: Unit) -> float:
    return unit.seconds + 1e-3  # also without an estimate, more units are more work
