"""Training states on disk."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.run.checkpoints import RESTARTED, FileCheckpoint, remove_finished
from benchmarks.safe_files import replacing_checked
from tests.benchmarks.damage import damages, full_disk


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A state of an interrupted cell."""
    file = tmp_path / "checkpoints" / "cell.pt"
    FileCheckpoint(file, seconds=0.0).save({"stage": 0, "module": {"w": torch.arange(100.0)}})
    return file


def test_a_state_is_read_as_it_was_written(file: Path) -> None:
    remarks: list[str] = []
    checkpoint = FileCheckpoint(file, remarks=remarks)
    state = checkpoint.load()
    assert state is not None and state["stage"] == 0
    assert torch.equal(state["module"]["w"], torch.arange(100.0))
    assert checkpoint.earlier_s > 0.0
    assert remarks == []


def refused(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    remarks: list[str] = []
    checkpoint = FileCheckpoint(file, remarks=remarks)
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="benchmarks"):
        assert checkpoint.load() is None
        assert checkpoint.load() is None
    assert caplog.messages == [f"{file} is damaged: its cell is trained from the beginning."]
    assert checkpoint.earlier_s == 0.0
    assert remarks == [RESTARTED]


def test_a_damaged_state_is_none_with_a_warning(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in damages(file, flips=40, seed=0):
        refused(file, caplog)


def test_the_state_of_another_cell_is_not_used(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    refused(file.rename(file.with_name("other.pt")), caplog)


@pytest.mark.parametrize("content", [{"state": {}}, ["cell"], {"cell": "cell", "elapsed_s": 1.0}])
def test_content_of_another_kind_is_not_used(
    content: Any, file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with replacing_checked(file) as stream:
        torch.save(content, stream)  # type: ignore[arg-type]
    refused(file, caplog)
    with replacing_checked(file) as stream:
        stream.write(b"no tensors")
    refused(file, caplog)


def test_time_is_earlier_only_if_another_process_spent_it(file: Path) -> None:
    checkpoint = FileCheckpoint(file.with_name("new.pt"), seconds=0.0)
    checkpoint.save({"stage": 1, "finished": []})
    assert checkpoint.load() is not None
    assert checkpoint.earlier_s == 0.0


# ---- full disks ----------------------------------------------------------------------------------


def test_training_goes_on_without_a_checkpoint_on_a_full_disk(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = file.read_bytes()
    checkpoint = FileCheckpoint(file, seconds=0.0)
    with caplog.at_level(logging.WARNING, logger="benchmarks"), full_disk():
        for epoch in range(3):
            checkpoint.save({"stage": 0, "epoch": epoch, "module": {"w": torch.zeros(10_000)}})
    assert [path.name for path in file.parent.iterdir()] == ["cell.pt"]
    assert file.read_bytes() == before
    (said,) = caplog.messages
    assert said == (
        f"No checkpoint can be written to {file.parent} (File too large): cells that are "
        "interrupted start over."
    )


def test_the_next_stage_starts_although_the_end_of_the_last_could_not_be_written(
    file: Path,
) -> None:
    checkpoint = FileCheckpoint(file, seconds=0.0)
    assert checkpoint.load() is not None
    over = {"stage": 1, "finished": [{"w": torch.ones(10_000)}]}
    with full_disk():
        checkpoint.save(over)
    for _ in range(2):
        assert checkpoint.load() == over
        file.unlink(missing_ok=True)
    checkpoint.save({"stage": 1, "finished": over["finished"], "epoch": 3})
    state = checkpoint.load()
    assert state is not None and state["epoch"] == 3


def test_a_state_that_vanishes_does_not_end_the_next_stages(file: Path) -> None:
    finished = [{"w": torch.ones(2)}]
    FileCheckpoint(file, seconds=0.0).save({"stage": 1, "finished": finished, "epoch": 2})
    checkpoint = FileCheckpoint(file)
    assert (checkpoint.load() or {})["epoch"] == 2
    file.unlink()
    state = checkpoint.load()
    assert state is not None and state.keys() == {"stage", "finished"}
    assert state["stage"] == 1 and torch.equal(state["finished"][0]["w"], torch.ones(2))


# ---- leftovers -----------------------------------------------------------------------------------


def test_states_of_cells_with_a_record_are_removed(tmp_path: Path) -> None:
    folder, records = tmp_path / "checkpoints", tmp_path / "records"
    folder.mkdir()
    records.mkdir()
    for key in ("done", "again", "open"):
        (folder / f"{key}.pt").touch()
    for key, seconds in (("done", 60), ("again", -60)):
        record = records / f"{key}.json"
        record.touch()
        then = record.stat().st_mtime + seconds
        os.utime(record, (then, then))
    old = folder / "open.123.partial"  # of a version that did not name the writer
    old.touch()
    os.utime(old, (0, 0))
    remove_finished(tmp_path, records)
    assert sorted(path.name for path in folder.iterdir()) == ["again.pt", "open.pt"]
    remove_finished(tmp_path / "none", records)
