"""The command that keeps the correctness bits of a run beside committed records."""

from __future__ import annotations

import dataclasses
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.errors import UserError
from benchmarks.tools.keep_bits import keep_bits, main
from reports.compare.runs import NEEDED
from results import correctness
from results.store import Store
from tests.results.factory import failed_record, make_record
from tests.results.test_predictions import RECORDS, SINGLE

SECOND = dataclasses.replace(RECORDS["single"], key="second", seed=1)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A run of two finished cells, and the folder that its records were copied to."""
    run, to = tmp_path / "run", tmp_path / "reference"
    for record in (RECORDS["single"], SECOND):
        Store(run).write(record, SINGLE)
    Store(run).write(failed_record("sage", key="failed"), None)
    (to / "records").mkdir(parents=True)
    for file in (run / "records").glob("*.json"):
        shutil.copy(file, to / "records")
    return run, to


def test_the_bits_of_every_finished_cell_are_kept(folders: tuple[Path, Path]) -> None:
    run, to = folders
    assert keep_bits([run], to) == (2, [])
    for key in ("k", "second"):
        assert Store(to).predictions(key, NEEDED)["right"].sum() == 3


def test_a_second_run_adds_to_the_file_and_removed_records_leave_it(
    folders: tuple[Path, Path],
) -> None:
    run, to = folders
    (run / "records" / "second.npz").rename(run / "later.npz")
    kept, without = keep_bits([run], to)
    assert (kept, [record.key for record in without]) == (1, ["second"])
    (run / "later.npz").rename(run / "records" / "second.npz")
    (run / "records" / "k.npz").unlink()
    assert keep_bits([run], to) == (2, [])
    (to / "records" / "k.json").unlink()
    assert keep_bits([run], to) == (1, [])
    assert not correctness.CorrectnessBits(to / correctness.FILE).has("k")


def test_a_damaged_file_is_replaced(folders: tuple[Path, Path]) -> None:
    run, to = folders
    (to / correctness.FILE).write_bytes(b"nothing")
    assert keep_bits([run], to) == (2, [])


def test_keys_that_do_not_match_are_refused(folders: tuple[Path, Path], tmp_path: Path) -> None:
    _, to = folders
    other = tmp_path / "other"
    Store(other).write(make_record(key="another", per_class=[100.0] * 3 + [0.0] * 3), SINGLE)
    with pytest.raises(UserError, match=r"of the 2 finished cells .*: keys must be equal"):
        keep_bits([other], to)
    assert not (to / correctness.FILE).exists()


def test_a_run_that_gave_other_values_is_refused(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    """The same cell, run again on another machine."""
    _, to = folders
    again = tmp_path / "again"
    Store(again).write(
        make_record(key="k", per_class=[100.0] * 6), {**SINGLE, "top5": np.arange(6)[:, None]}
    )
    with pytest.raises(UserError, match=r"k\.json: they give other values by class"):
        keep_bits([again], to)
    assert not (to / correctness.FILE).exists()


def test_the_command_says_what_it_did(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run, to = folders
    words = ["keep_bits", str(run), "--to", str(to)]
    monkeypatch.setattr(sys, "argv", words)
    assert main() == 0
    assert "correct.npz: bits of 2 cells, " in capsys.readouterr().out
    (run / "records" / "second.npz").unlink()
    (to / correctness.FILE).unlink()
    assert main() == 1
    assert "1 finished cell without: second" in capsys.readouterr().err
    shutil.rmtree(run)
    assert main() == 2
    assert "No predictions under" in capsys.readouterr().err
    shutil.rmtree(to)
    assert main() == 2
    assert "No finished cells under" in capsys.readouterr().err
