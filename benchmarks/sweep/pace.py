"""Expected time that is left, from what was estimated and from how fast it went so far."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import fsum
from types import MappingProxyType

_TRUSTED_S = 60.0
"""Seconds of work for which the estimates count as much as what was measured."""
_NOTHING: Mapping[str, float] = MappingProxyType({})


class Pace:
    """Estimated seconds of cells, and the time that they take at the speed of those done.

    Args:
        expected: estimated seconds by the keys of the cells; None where nothing is known.
    """

    def __init__(self, expected: Mapping[str, float | None]) -> None:
        known = [seconds for seconds in expected.values() if seconds is not None]
        self._estimated = fsum(known) > 0
        # Cells without an estimate are like the others, and without any estimate all are alike.
        usual = fsum(known) / len(known) if self._estimated else 1.0
        self._work = {
            key: usual if seconds is None or not self._estimated else seconds
            for key, seconds in expected.items()
        }

    def left(
        self,
        elapsed: float,
        done: Iterable[str],
        left: Iterable[str],
        lanes: int = 1,
        running: Mapping[str, float] = _NOTHING,
    ) -> float | None:
        """Return the seconds until all is done.

        Args:
            elapsed: seconds since the first of them started.
            done: keys of cells that were done in this time.
            left: keys of the others, whether they are running or not.
            lanes: cells that run at a time.
            running: seconds since some of those that are left were started, by their keys.

        Returns:
            None if nothing was estimated and nothing is done.
        """
        behind, ahead = (fsum(self._work.get(key, 0.0) for key in keys) for keys in (done, left))
        if not ahead:
            return 0.0
        if not self._estimated:
            return elapsed * ahead / behind if behind else None
        at_once = max(1, lanes)
        begun = fsum(min(since, self._work.get(key, 0.0)) for key, since in running.items())
        # Before much is done, the time to load data would make all cells look slow.
        slower = (elapsed + _TRUSTED_S) / ((behind + begun) / at_once + _TRUSTED_S)
        return slower * max(0.0, ahead - begun) / at_once
