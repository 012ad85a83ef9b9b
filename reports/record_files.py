"""The table of records as files: CSV always, and JSON and Parquet where they are asked for."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from benchmarks.inputs.export_files import require_parquet
from benchmarks.safe_files import replacing, write_text
from benchmarks.visible import visible
from reports.records_table import records_csv, records_json
from results.schema import Record

FORMATS = ("json", "parquet")
"""Formats beside CSV."""
STEM = "records"


def refuse_unwritable(formats: Collection[str]) -> None:
    """Refuse formats whose package is missing, before anything is made.

    Raises:
        UserError: the package that writes Parquet is not installed.
    """
    if "parquet" in formats:
        require_parquet("leave parquet out of --format.")


def write_records(records: Sequence[Record], out: Path, formats: Collection[str]) -> list[Path]:
    """Write `records.csv` and further formats.

    Args:
        records: lines of the table, in their order.
        out: an existing folder.
        formats: some of FORMATS.

    Returns:
        The files written.

    Raises:
        OSError: the disk is full or the folder cannot be written to.
    """
    csv, json, parquet = (out / f"{STEM}.{ending}" for ending in ("csv", *FORMATS))
    write_text(csv, visible(records_csv(records)))
    written = [csv]
    if "json" in formats:
        write_text(json, records_json(records))
        written.append(json)
    if "parquet" in formats:
        from reports.frames import records_parquet  # pandas takes a second

        content = records_parquet(records)
        with replacing(parquet) as stream:
            stream.write(content)
        written.append(parquet)
    return written
