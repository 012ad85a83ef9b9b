from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.sweep import plan
from benchmarks.sweep.cell import Cell
from tests.benchmarks.sweep.sweeps import sweep_of


@pytest.fixture
def cell(clip_folder: Path) -> Cell:
    return plan.expand(sweep_of(clip_folder, seeds="0")).cells[0]
