"""Global state of a process, compared and put back around each cell.

Methods of the suite share a worker process, and no cell may depend on what ran before it.
`guarded_torch.py` and `guarded_python.py` declare the state piece by piece; `patches.py` finds
replaced functions. Shared tensors are checked by `untouched.py`.
"""

from __future__ import annotations

from typing import Any

from benchmarks.datasets.registry import DATASETS
from benchmarks.run import guarded_python, guarded_torch
from benchmarks.run.patches import Patches
from benchmarks.run.setting import Setting
from methods.registry import METHODS

SETTINGS: list[Setting] = [
    *guarded_python.SETTINGS,
    *guarded_torch.SETTINGS,
    *guarded_python.registry("METHODS", METHODS),
    *guarded_python.registry("DATASETS", DATASETS),
]


class ProcessState:
    """The global state of this process at one time."""

    def __init__(self, patches: Patches, values: list[Any]) -> None:
        self._patches = patches
        self._values = values
        self.lasting: list[str] = []
        """Changes that `restore` could not put back: only a new process is without them."""

    @classmethod
    def taken(cls) -> ProcessState:
        """Return the state as it is now."""
        return cls(Patches.now(), [setting.value() for setting in SETTINGS])

    def restore(self) -> list[str]:
        """Put back what has changed since, and return one phrase for each thing.

        Random numbers may be drawn: the generators are put back without a word. Threads and
        processes that a method left behind are named, but not stopped.
        """
        changed = self._patches.restore()
        self.lasting = []
        for setting, old in zip(SETTINGS, self._values, strict=True):
            phrase, is_back = setting.restored(old)
            if phrase:
                changed.append(phrase)
            if not is_back:
                self.lasting.append(phrase)
        return changed
