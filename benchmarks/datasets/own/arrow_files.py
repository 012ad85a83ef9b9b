"""Files of Hugging Face's `datasets` on disk, opened as its tables once their paths are checked."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.cache import cache_dir
from benchmarks.datasets.files.links import Links
from benchmarks.datasets.files.other_formats import refuse_messages
from benchmarks.datasets.own.labels import SPLIT_NAMES
from benchmarks.errors import DataError, counted, first_few, one_line
from benchmarks.input_files import MB, read_text
from benchmarks.yaml_files import load_json

_SPLITS, _STATE = "dataset_dict.json", "state.json"
"""Files of a data set with several splits, and of one split."""
_JSON_LIMIT = 64 * MB
_GROWTH = 50
"""Most bytes that a Parquet file unpacks to for each of its own."""
_SHARD = re.compile(r"(.*)-(\d{1,9})-of-(\d{1,9})$")
_WORD = re.compile(r"[-._/ ]+")

Table = Any
"""A `datasets.Dataset`, which has no types."""

Parts = dict[str, Callable[[], Table]]
"""Name of a split, "" for all, -> function that opens it."""


def is_saved(folder: Path) -> bool:
    """True for a folder that `save_to_disk` wrote."""
    return any((folder / name).is_file() for name in (_SPLITS, _STATE))


def saved(folder: Path) -> Parts:
    """The splits that `save_to_disk` wrote into a folder; none if it did not."""
    if not is_saved(folder):
        return {}
    if not (folder / _SPLITS).is_file():
        return {"": _opener(folder, folder)}
    names = _json(folder / _SPLITS).get("splits")
    if not isinstance(names, list) or not all(map(_is_name, names)):
        raise DataError(f"{folder / _SPLITS}: no list of splits.")
    return {name: _opener(folder / name, folder) for name in names}


def _opener(folder: Path, root: Path) -> Callable[[], Table]:
    def open_it() -> Table:
        state = folder / _STATE
        files = _json(state).get("_data_files")
        names = [file.get("filename") for file in files] if isinstance(files, list) else []
        if not names or not all(map(_is_name, names)):
            raise DataError(f"{state}: no list of files.")
        missing = [name for name in names if not (folder / name).is_file()]
        if missing:
            raise DataError(
                f"{folder}: {len(missing)} of {counted(len(names), 'file')} are missing: "
                f"{first_few(missing)}."
            )
        for name in names:
            Links(root).check(folder / name)
            refuse_messages(folder / name)
        return _guarded(folder, lambda datasets: datasets.load_from_disk(str(folder)))

    return open_it


def parquet(folder: Path, homes: Sequence[Path]) -> Parts:
    """The splits of the Parquet files under a folder, by the words in their paths."""
    links, found = Links(folder, homes), dict[str, list[Path]]()
    for file in sorted(folder.rglob("*.parquet")):
        inside = file.relative_to(folder)
        if any(part.startswith(".") for part in inside.parts):
            continue
        links.check(file)
        words = _WORD.split(str(inside.with_suffix("")).lower())
        found.setdefault(next((w for w in words if w in SPLIT_NAMES), ""), []).append(file)
    if len(found) > 1 and "" in found:
        raise DataError(
            f"{folder}: {counted(len(found['']), 'file')} of no split beside others: "
            f"{first_few([file.name for file in found['']])}."
        )
    for files in found.values():
        _refuse_incomplete(folder, files)
    return {split: _parquet_opener(folder, files) for split, files in found.items()}


def _refuse_incomplete(folder: Path, files: Sequence[Path]) -> None:
    """Refuse shards called NAME-00000-of-00003 of which some are missing."""
    parts = [(match, file) for file in files if (match := _SHARD.match(file.stem))]
    number = Counter((file.parent, match[1], int(match[3])) for match, file in parts)
    for (_, name, expected), there in number.items():
        if there < expected:
            raise DataError(
                f"{folder}: {expected - there} of {expected} files of {name} are missing."
            )


def _parquet_opener(folder: Path, files: Sequence[Path]) -> Callable[[], Table]:
    def open_it() -> Table:
        import pyarrow.parquet as pq

        for file in files:
            refuse_messages(file)
            try:
                about = pq.read_metadata(file)
            except Exception as error:  # pyarrow raises its own errors
                raise DataError(f"{file}: truncated, or no Parquet file.") from error
            groups = (about.row_group(i).total_byte_size for i in range(about.num_row_groups))
            if sum(groups) > _GROWTH * max(file.stat().st_size, MB):
                raise DataError(f"{file}: its contents are many times larger than the file.")
        names, copies = [str(file) for file in files], str(cache_dir() / "arrow")
        return _guarded(
            folder, lambda datasets: datasets.Dataset.from_parquet(names, cache_dir=copies)
        )

    return open_it


def _guarded(folder: Path, read: Callable[[Any], Table]) -> Table:
    """Result of reading with the package `datasets`; its errors become one line."""
    try:
        import_module("datasets.arrow_dataset")  # `datasets` may be any folder of that name
        datasets = import_module("datasets")
    except ModuleNotFoundError as error:
        raise DataError(
            f"{folder}: reading it needs the package datasets: `pip install datasets`."
        ) from error
    bars = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        return read(datasets)
    except Exception as error:  # all kinds of errors, of pyarrow as well
        raise DataError(
            f"{folder}: truncated, or no data set that can be read ({type(error).__name__}: "
            f"{one_line(error)})."
        ) from error
    finally:
        if not bars:
            datasets.enable_progress_bars()


def _json(file: Path) -> dict[str, Any]:
    try:
        found = load_json(read_text(file, _JSON_LIMIT))
    except FileNotFoundError as error:
        raise DataError(f"{file}: no such file; copy the data set again.") from error
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise DataError(f"{file}: not valid JSON ({error}).") from error
    if not isinstance(found, dict):
        raise DataError(f"{file}: not a mapping.")
    return found


def _is_name(name: object) -> bool:
    """True for the name of a file or folder without a path."""
    return isinstance(name, str) and name not in ("", ".", "..") and not re.search(r"[/\\\0]", name)
