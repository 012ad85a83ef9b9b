"""Training states on disk."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from benchmarks.run.checkpoints import FileCheckpoint


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A state of an interrupted cell."""
    file = tmp_path / "checkpoints" / "cell.pt"
    FileCheckpoint(file, seconds=0.0).save({"stage": 0, "module": {"w": torch.arange(100.0)}})
    return file


def test_a_state_is_read_as_it_was_written(file: Path) -> None:
    checkpoint = FileCheckpoint(file)
    state = checkpoint.load()
    assert state is not None and state["stage"] == 0
    assert torch.equal(state["module"]["w"], torch.arange(100.0))
    assert checkpoint.earlier_s >= 0.0


@pytest.mark.parametrize("kept", [0, 30, 500, -1])
def test_a_damaged_state_is_none_with_a_warning(
    kept: int, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = file.read_bytes()
    assert len(whole) > 500
    file.write_bytes(whole[:kept])
    checkpoint = FileCheckpoint(file)
    with caplog.at_level(logging.WARNING, logger="benchmarks"):
        assert checkpoint.load() is None
    assert checkpoint.earlier_s == 0.0
    (said,) = caplog.messages
    assert said == f"{file} is damaged: its cell is trained from the beginning."
