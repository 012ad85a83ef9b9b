"""The verb `migrate`, where nothing is to be rewritten."""

from __future__ import annotations

from pathlib import Path

from results.store import Store
from tests.benchmarks.cli.commands import Command, the_line
from tests.results.factory import make_record, with_key


def test_records_of_the_present_schema_are_counted_and_damaged_ones_named(
    command: Command, work: Path
) -> None:
    Store(work / "runs").write(with_key(make_record()), {})
    ended = command("migrate", "runs")
    assert (ended.status, ended.err) == (0, "")
    assert ended.out == "runs/records: nothing to rewrite, 1 record of schema 1, the present one.\n"
    (work / "runs/records/0.json").write_text("{")
    ended = command("migrate", "runs")
    assert ended.status == 1
    assert ended.out.startswith("Left as it is: runs/records/0.json: not JSON (")
    assert ended.out.count("\n") == 2


def test_a_folder_without_records(command: Command) -> None:
    assert the_line(command("migrate", "nowhere")).startswith("error: No records under nowhere:")
