"""The file of one record: its text, its checksums, and what makes it unreadable.

After the record come two lines that are no part of it: the checksum of the predictions, so that a
record is never paired with those of another run, and the checksum of everything before. Records of
earlier versions have neither. Whoever changes a record on purpose removes its line `checksum`.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from types import MappingProxyType
from typing import Any

from benchmarks.yaml_files import load_json
from results.identity import check_key
from results.json_form import values_of
from results.schema import SCHEMA_VERSION, Record, RecordError, check_schema

LARGEST = 64 * 2**20
"""Bytes of a record file: hundreds of times those of a record of 20,000 classes."""
_PREDICTIONS = "predictions_sha256"
_CHECKSUM = "checksum"
_SHA256 = re.compile("[0-9a-f]{64}")
_LAST_LINE = re.compile(rb'"checksum": "([0-9a-f]{64})"\n}\n')
_LAST_BYTES = len(f'"{_CHECKSUM}": "{"0" * 64}"\n}}\n')


@dataclass(frozen=True)
class RecordFile:
    """The content of a record's file."""

    record: Record
    predictions_sha256: str | None
    """Checksum of the file of predictions; None for a cell without, and in old files."""
    schema: int = SCHEMA_VERSION
    """The schema of the file; that of the record is the present one."""


Step = Callable[[dict[str, Any]], dict[str, Any]]
"""Turns the JSON of a record of one schema into that of the next."""


def read(file: Path, steps: Mapping[int, Step] = MappingProxyType({})) -> RecordFile:
    """Read and check the file of a record.

    Args:
        file: the file.
        steps: schema -> step to the next, for the earlier schemas that are to be read, too.

    Raises:
        RecordError: it is damaged, of another schema, or not the record that its name tells. The
            message does not name the file.
        OSError: it is absent or cannot be read.
    """
    content = _content(file)
    try:
        data = load_json(content.decode("utf-8"))
    except ValueError as error:  # not UTF-8, too
        raise RecordError(f"not JSON ({' '.join(str(error).split())[:200]})") from None
    if not isinstance(data, dict):
        raise RecordError("not a record: it is no mapping")
    version = data.get("schema_version")
    schema = version if type(version) is int and version in steps else SCHEMA_VERSION
    if schema == SCHEMA_VERSION:
        check_schema(data)
    checksum, predictions = (data.pop(name, None) for name in (_CHECKSUM, _PREDICTIONS))
    for value in (checksum, predictions):
        if not (value is None or (isinstance(value, str) and _SHA256.fullmatch(value))):
            raise RecordError(f"{str(value)[:60]!r} is no checksum")
    for number in range(schema, SCHEMA_VERSION):
        data = steps[number](data) | {"schema_version": number + 1}
    record = Record.from_json(data)
    if checksum is not None:  # after the values, because this message tells less
        _check_sum(content)
    if record.key != file.stem:
        raise RecordError(
            f"contains the record of another cell, {record.key}: the file was renamed or copied"
        )
    check_key(record)
    return RecordFile(record, predictions, schema)


def text_of(record: Record, predictions_sha256: str | None) -> str:
    """The text to write: one line for each field of the record, and not for each of 1,000 classes.

    Args:
        record: the record.
        predictions_sha256: checksum of its predictions, None if there are none.

    Raises:
        RecordError: the text could not be read back.
    """
    return with_checksums(checked_text(record), predictions_sha256)


def checked_text(record: Record) -> str:
    """The text without its last lines, which `with_checksums` adds.

    Raises:
        RecordError: the text could not be read back.
    """
    try:
        lines = [f'"{name}": {_dumped(value)}' for name, value in values_of(record).items()]
    except (TypeError, ValueError):
        record.to_json()  # says which value no record can hold
        raise
    text = "{\n" + ",\n".join(lines)
    Record.from_json(json.loads(f"{text}}}"))
    check_key(record)
    return f"{text},\n"


def with_checksums(text: str, predictions_sha256: str | None) -> str:
    """The whole text of a record, from what `checked_text` returned."""
    if predictions_sha256 is not None:
        text += f'"{_PREDICTIONS}": "{predictions_sha256}",\n'
    return f'{text}"{_CHECKSUM}": "{hashlib.sha256(text.encode()).hexdigest()}"\n}}\n'


def reason(error: OSError | RecordError) -> str:
    """The reason why a record's file cannot be read, without its path."""
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def open_regular(file: Path) -> BufferedReader:
    """Open a file for reading; a pipe does not block.

    Raises:
        OSError: it is absent, cannot be read or is no file.
    """
    # Without O_NONBLOCK opening a pipe would wait for its writer for ever.
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is a folder, a pipe or a device, not a file")
    return open(descriptor, "rb")


def _content(file: Path) -> bytes:
    with open_regular(file) as stream:
        size = os.fstat(stream.fileno()).st_size
        if size > LARGEST:
            raise RecordError(f"{size:,} bytes, more than any record has")
        return stream.read(size)  # for a larger number it would set so much memory aside


def _check_sum(content: bytes) -> None:
    content = content.replace(b"\r\n", b"\n")  # as Git may check text out on Windows
    said = _LAST_LINE.fullmatch(content[-_LAST_BYTES:])
    if said is None or said[1].decode() != hashlib.sha256(content[:-_LAST_BYTES]).hexdigest():
        raise RecordError(f"the {_CHECKSUM} is not that of the record, which was changed later")


_dumped = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=values_of).encode
