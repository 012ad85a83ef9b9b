"""Claims on cells: in the folder of the run, with one line if it cannot be written to."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.errors import UserError
from benchmarks.run.claims import Claims


def test_claims_are_in_the_folder_of_the_run(tmp_path: Path) -> None:
    with Claims(tmp_path) as one:
        assert one.take(["a"]) == ["a"]
        assert [file.name for file in (tmp_path / "claims").iterdir()] == ["a.0"]


def test_a_folder_that_is_gone_is_said_in_a_line(tmp_path: Path) -> None:
    with (
        Claims(tmp_path / "gone") as one,
        pytest.raises(UserError, match=r"Cannot write to .*gone"),
    ):
        one.take(["a"])
