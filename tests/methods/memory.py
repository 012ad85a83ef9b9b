"""An in-memory checkpoint for tests of interruptions."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any


class Memory:
    """A checkpoint in memory that copies on load and save, like one on disk."""

    def __init__(self) -> None:
        self.state: dict[str, Any] | None = None

    def load(self) -> dict[str, Any] | None:
        return copy.deepcopy(self.state)

    def save(self, state: Mapping[str, Any]) -> None:
        self.state = copy.deepcopy(dict(state))

    def trained(self, stage: int, state: Mapping[str, Any]) -> None:
        pass

    @property
    def earlier_s(self) -> float:
        return 0.0
