"""A user's own table of images, CSV or Parquet, with one row per image.

A CSV file may have commas, semicolons or tabs, any line ends, and be UTF-8 or UTF-16.
"""

from __future__ import annotations

import csv
import io
import os
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.datasets.files import characters
from benchmarks.datasets.files.characters import shown
from benchmarks.datasets.files.other_formats import refuse_messages
from benchmarks.datasets.own.entries import UNASSIGNED, Complaints, Entry, Folders, Listing
from benchmarks.datasets.own.labels import SPLIT_NAMES, labels_of, plain, unfit
from benchmarks.datasets.own.spec import Spec
from benchmarks.datasets.own.tree import is_image
from benchmarks.datasets.own.words import nfc
from benchmarks.errors import DataError, DataMissing, counted, did_you_mean
from benchmarks.input_files import MB, opened, read_bytes

_DELIMITERS = ",;\t"
_SEPARATOR = re.compile(r'"?sep=([^"\r\n])"?(?:\r\n|\r|\n)', re.IGNORECASE)
"""A first line that tells Excel what separates columns."""
_ELSEWHERE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://?")
"""Beginning of a path with a drive of Windows, or of an address of the web."""
_LIMIT = 512 * MB
"""Largest table, in bytes."""
_COLUMNS = 100_000
"""Most columns."""
_TABLES = (".csv", ".tsv", ".txt", ".parquet", ".pq")

Row = tuple[str, Sequence[Any]]
"""Its position ("line 7") and its fields."""


def read_table(spec: Spec) -> Listing:
    """List the images of a table, sorted by id; a row that repeats another is dropped.

    Raises:
        DataMissing: there is no such table.
        DataError: it cannot be read, a column is missing, or rows cannot be used; these are
            counted and the first few named.
    """
    table, folder = spec.places.table, spec.places.images[""]
    assert table is not None
    header, rows = _read(table)
    columns = _Columns.of(spec, table, header)
    folders, wrong = Folders(folder), Complaints(table, "row")
    entries: dict[str, Entry] = {}
    repeated = merged = 0
    for where, fields in rows:
        entry = columns.entry(where, fields, folder, wrong.add)
        if entry is None:
            continue
        first = entries.get(entry.sid)
        if first is None:
            file, size = folders.find(entry.file)
            entries[entry.sid] = replace(entry, file=file, size=size)
        elif first.split != entry.split:
            wrong.add(
                f"{where}: {entry.sid} is in {entry.split}, but {first.where} has it in "
                f"{first.split}"
            )
        elif first.labels == entry.labels:
            repeated += 1
        elif spec.task == "multi":
            merged += 1
            both = tuple(dict.fromkeys(first.labels + entry.labels))
            entries[entry.sid] = replace(first, labels=both)
        else:
            wrong.add(
                f"{where}: {entry.sid} is '{entry.labels[0]}', but {first.where} has "
                f"'{first.labels[0]}'"
            )
    wrong.refuse()
    if not entries:
        raise DataError(f"{table}: no rows below the header.")
    notes = [f"{counted(repeated, 'repeated row')} dropped"] if repeated else []
    if merged:
        notes.append(f"{counted(merged, 'row')} merged into others of the same image")
    return Listing(
        tuple(entries[sid] for sid in sorted(entries)),
        dict.fromkeys((UNASSIGNED, *SPLIT_NAMES.values()), folder),
        keys=columns.keys,
        captioned=columns.caption is not None,
        notes=tuple(notes),
    )


def header_of(table: Path) -> list[str]:
    """The names of a table's columns.

    Raises:
        DataMissing: there is no such table.
        DataError: it cannot be read.
    """
    return _read(table)[0]


@dataclass(frozen=True)
class _Columns:
    """Positions of the columns in a row."""

    path: int
    labels: tuple[int, ...]
    split: int | None
    caption: int | None
    keys: tuple[str, ...]
    """The classes, if each has a column of 0 and 1; otherwise empty."""
    spec: Spec

    @classmethod
    def of(cls, spec: Spec, table: Path, header: Sequence[str]) -> _Columns:
        """Find the columns by their names.

        Raises:
            DataError: one is missing, or two have its name; the line names the columns.
        """

        def place(name: str, role: str) -> int:
            if header.count(name) > 1:
                raise DataError(f"{table}: two columns are called '{name}'.")
            if name in header:
                return header.index(name)
            hint = str(did_you_mean("column", name, header)).partition(". ")[2]
            raise DataError(
                f"{table} has no column '{name}'. {hint} If it has another name, write "
                f"`columns: {{{role}: NAME}}`."
            )

        if not spec.columns and any(is_image(word) for name in header for word in name.split()):
            raise DataError(
                f"{table}: the first line is an image and names no columns: begin the table with a "
                "line such as 'path,label'; lists with blanks need commas."
            )
        wanted: Mapping[str, Any] = spec.columns
        usual = ("labels", "label") if spec.task == "multi" else ("label", "labels")
        named = [r for r in usual if r in wanted] or [r for r in usual if r in header]
        role = (named or usual)[0]
        labels = wanted.get(role, role)
        several = labels if isinstance(labels, tuple) else ()
        optional = {
            other: place(wanted.get(other, other), other)
            for other in ("split", "caption")
            if other in wanted or other in header
        }
        return cls(
            path=place(wanted.get("path", "path"), "path"),
            labels=tuple(place(name, role) for name in several or (labels,)),
            split=optional.get("split"),
            caption=optional.get("caption"),
            keys=tuple(map(nfc, several)),
            spec=spec,
        )

    def entry(
        self, where: str, fields: Sequence[Any], folder: Path, complain: Callable[[str], None]
    ) -> Entry | None:
        """The image of a row; None after a complaint about it."""
        file, trouble = _relative(plain(fields[self.path]), folder)
        split = UNASSIGNED
        if self.split is not None:
            named = plain(fields[self.split])
            split = SPLIT_NAMES.get(named.lower(), "")
            if not split:
                trouble = trouble or f"the split '{shown(named)}' is not train, test or val"
        labels, wrong = self._labels(fields)
        caption = "" if self.caption is None else plain(fields[self.caption])
        trouble = trouble or wrong or unfit(labels, caption)
        if trouble:
            complain(f"{where}: {trouble}")
            return None
        return Entry(nfc(file), file, split, labels, caption, where=where)

    def _labels(self, fields: Sequence[Any]) -> tuple[tuple[str, ...], str]:
        """Labels, and an error or an empty text."""
        if self.keys:
            found = []
            for key, at in zip(self.keys, self.labels, strict=True):
                value = plain(fields[at]).lower()
                if value in ("1", "1.0", "true"):
                    found.append(key)
                elif value not in ("0", "0.0", "false", ""):
                    return (), f"'{shown(value)}' in the column of {key} is neither 0 nor 1"
            return tuple(found), ""
        return labels_of(fields[self.labels[0]], self.spec)


def _relative(path: str, folder: Path) -> tuple[str, str]:
    """A path relative to the folder, and an error or an empty text."""
    path = path.replace("\\", "/")
    if not path:
        return "", "there is no path"
    if "\0" in path:
        return "", "the path contains a zero byte"
    if _ELSEWHERE.match(path) and not os.path.exists(folder / path):
        what = "an address of the web" if "://" in path else "a path of another computer"
        return "", f"{shown(path)} is {what}; write paths relative to {folder}"
    whole = path.startswith("/")
    inside = posixpath.relpath(path, folder.absolute()) if whole else posixpath.normpath(path)
    if inside.startswith("../") or inside in ("..", "."):
        if whole and not os.path.lexists(path):
            return "", (
                f"{shown(path)} is a path of another computer, or missing; write paths relative to "
                f"{folder}"
            )
        path = shown(path)
        return "", f"{path} is outside {folder}: set `images:` to a folder that contains it"
    if wrong := characters.trouble(inside, characters.TEXT):
        return "", f"the path {shown(inside)} {wrong}"
    return inside, ""


def _read(table: Path) -> tuple[list[str], Iterable[Row]]:
    """Names of the columns and the rows."""
    if not os.path.exists(table):
        raise DataMissing(f"{table}: no such file.")
    refuse_messages(table)
    if table.suffix.lower() in (".parquet", ".pq"):
        return _read_parquet(table)
    if table.suffix.lower() not in _TABLES:
        raise DataError(f"{table}: a table must be one of {', '.join(_TABLES)}.")
    return _read_csv(table)


def _read_csv(table: Path) -> tuple[list[str], Iterable[Row]]:
    try:
        data = read_bytes(table, _LIMIT)
    except OSError as error:
        raise DataError(f"{table}: cannot be read ({error.strerror}).") from error
    utf16 = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        text = data.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(f"{table}, line {line}: not UTF-8; save the table as UTF-8.") from error
    if declared := _SEPARATOR.match(text):
        text = text[declared.end() :]
        text = f"\n{text}"  # so that lines keep their numbers
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = declared[1] if declared else max(_DELIMITERS, key=first.count)
    rows = _csv_rows(table, text, delimiter)
    header = next(rows, None)
    if header is None:
        raise DataError(f"{table}: the table is empty.")
    names = [nfc(str(name).strip()) for name in header[1]]
    if len(names) > _COLUMNS:
        raise DataError(f"{table}: {len(names):,} columns, more than {_COLUMNS:,}.")
    return names, _of_width(table, rows, len(names))


def _csv_rows(table: Path, text: str, delimiter: str) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 1
    try:
        for fields in reader:
            if any(field.strip() for field in fields):
                yield f"line {line}", fields
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{table}, line {line}: {error}.") from error


def _of_width(table: Path, rows: Iterator[Row], width: int) -> Iterator[Row]:
    wrong = Complaints(table, "row")
    for where, fields in rows:
        if len(fields) == width:
            yield where, fields
        else:
            wrong.add(
                f"{where}: {counted(len(fields), 'field')} instead of {width}; put a text that "
                "contains a comma in quotes"
            )
    wrong.refuse()


def _read_parquet(table: Path) -> tuple[list[str], Iterable[Row]]:
    import pandas as pd

    try:
        opened(table, _LIMIT).close()
        frame = pd.read_parquet(table)
    except OSError as error:
        raise DataError(f"{table}: cannot be read ({error.strerror or error}).") from error
    except ImportError as error:
        raise DataError(
            f"{table}: reading Parquet needs pyarrow: `pip install pyarrow`, or save it as CSV."
        ) from error
    except Exception as error:  # pyarrow and fastparquet raise their own errors
        raise DataError(f"{table}: not a readable Parquet file.") from error
    frame = frame.astype(object).where(frame.notna(), None)
    rows = enumerate(frame.itertuples(index=False, name=None), 1)
    return [nfc(str(name)) for name in frame.columns], ((f"row {n}", row) for n, row in rows)
