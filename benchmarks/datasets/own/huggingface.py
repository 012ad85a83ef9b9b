"""A user's own images in the forms of Hugging Face's `datasets`, on disk or from the hub.

A folder that `save_to_disk` wrote, Parquet files, or class folders. No loading script runs: of a
data set on the hub only the Parquet files are fetched. Arrow data are checked before they are read,
because a made-up file may point outside of itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.datasets.files.image_limits import largest_file, max_pixels
from benchmarks.datasets.own.arrow_files import Parts, Table, parquet, saved
from benchmarks.datasets.own.contents import described
from benchmarks.datasets.own.entries import UNASSIGNED, Complaints, Entry, Listing
from benchmarks.datasets.own.hub_data import fetched
from benchmarks.datasets.own.labels import SPLIT_NAMES, labels_of, plain, unfit
from benchmarks.datasets.own.places import HubData
from benchmarks.datasets.own.spec import Spec
from benchmarks.datasets.own.tree import has_folders, read_tree
from benchmarks.datasets.own.words import nfc
from benchmarks.errors import DataError, DataMissing, did_you_mean, first_few
from benchmarks.input_files import beyond


def read_huggingface(spec: Spec) -> Listing:
    """List the images of a data set, sorted by id; none is decoded.

    Raises:
        DataMissing: it is not on this machine.
        DataError: it cannot be read, a column or split is missing, rows cannot be used, or the
            package `datasets` is not installed.
    """
    place = spec.places.huggingface
    assert place is not None
    folder, homes = fetched(place) if isinstance(place, HubData) else (place, ())
    if not folder.is_dir():
        raise DataMissing(f"{folder}: no such folder.")
    parts = saved(folder) or parquet(folder, homes)
    if not parts:
        if has_folders(folder):
            return read_tree({"": folder}, spec.classes)
        raise DataError(
            f"{described(folder, 'huggingface')}; expected is a data set that `save_to_disk` "
            "wrote, Parquet files or class folders."
        )
    tables, notes = _by_split(parts, spec, str(place))
    return replace(_Rows(spec, str(place)).listing(tables), notes=notes)


def _by_split(parts: Parts, spec: Spec, where: str) -> tuple[dict[str, Table], tuple[str, ...]]:
    """Split of ours -> the data set, and a note on splits that are not used.

    Raises:
        DataError: a split that the description names is not there, or no name tells which is train.
    """
    chosen = dict(spec.places.splits)
    for split, name in chosen.items():
        if name not in parts:
            there = [part for part in parts if part] or ["one without a name"]
            raise DataError(
                f"{where}: there is no split '{name}' for {split}, but {first_few(there)}."
            )
    if list(parts) == [""]:
        chosen = {UNASSIGNED: ""}
    for name in parts if not chosen else ():
        split = SPLIT_NAMES.get(name.lower(), "")
        if split in chosen:
            raise DataError(
                f"{where}: the splits {chosen[split]} and {name} are both for {split}; write "
                f"`splits: {{{split}: {name}}}` and the others."
            )
        if split:
            chosen[split] = name
    if not {"train", UNASSIGNED} & chosen.keys():
        raise DataError(
            f"{where}: which of its splits ({first_few(list(parts))}) is for training? Write "
            f"`splits: {{train: {next(iter(parts))}}}`."
        )
    unused = [name for name in parts if name not in chosen.values()]
    notes = (f"not used: split {first_few(unused)}",) if unused else ()
    return {split: parts[name]() for split, name in chosen.items()}, notes


# ---- rows ----------------------------------------------------------------------------------------


@dataclass(eq=False)
class ArrowPack:
    """Images in the rows of Arrow tables."""

    where: str
    files: tuple[Path, ...] = ()
    columns: dict[str, Any] = field(default_factory=dict)
    """Split -> the encoded images, a pyarrow.ChunkedArray of bytes."""
    rows: dict[str, tuple[str, int, int]] = field(default_factory=dict)
    """Name -> split, row and bytes."""

    def place(self, name: str) -> str:
        split, row, _ = self.rows[name]
        return f"{self.where}, {_row(split, row)}"

    def size(self, name: str) -> int:
        return self.rows[name][2]

    def read(self, name: str) -> bytes:
        split, row, _ = self.rows[name]
        found: bytes = self.columns[split][row].as_py()
        return found


def _row(split: str, row: int) -> str:
    return f"row {row}" if split == UNASSIGNED else f"row {row} of {split}"


class _Rows:
    """Makes entries of rows.

    Args:
        spec: the description.
        where: the data set, for messages.
    """

    def __init__(self, spec: Spec, where: str) -> None:
        self._spec, self._where = spec, where

    def listing(self, tables: Mapping[str, Table]) -> Listing:
        """List the images of all splits.

        Raises:
            DataError: a column is missing, or rows cannot be used.
        """
        wrong, pack = Complaints(self._where, "row"), ArrowPack(self._where)
        entries: list[Entry] = []
        keys: dict[str, None] = {}
        captioned = False
        for split, table in tables.items():
            pack.files += tuple(Path(file["filename"]) for file in table.cache_files)
            pack.columns[split], sizes = self._images(table)
            names, values = self._labels(table)
            keys |= dict.fromkeys(names)
            captions = self._captions(table)
            captioned |= captions is not None
            for row, (size, value) in enumerate(zip(sizes, values, strict=True)):
                caption = plain(captions[row]) if captions else ""
                labels, trouble = labels_of(value, self._spec)
                trouble = self._unreadable(size) or trouble or unfit(labels, caption)
                if size is None or trouble:
                    wrong.add("" if wrong.full else f"{_row(split, row)}: {trouble}")
                    continue
                sid = f"{row:09}" if split == UNASSIGNED else f"{split}/{row:09}"
                where = _row(split, row)
                entries.append(Entry(sid, sid, split, labels, caption, size, where))
                pack.rows[sid] = (split, row, size)
        wrong.refuse()
        if not entries:
            raise DataError(f"{self._where}: there are no rows.")
        ordered = tuple(sorted(entries, key=lambda entry: entry.sid))
        return Listing(ordered, pack=pack, keys=tuple(keys), captioned=captioned)

    def _unreadable(self, size: int | None) -> str:
        if size is None:
            return "there is no image in the row; a path to one elsewhere is not followed"
        if not size:
            return "the image is empty"
        most = largest_file(max_pixels())
        return f"the image has {beyond(size, most)}" if size > most else ""

    def _column(self, table: Table, name: str) -> Any:
        """A column, once its offsets and texts are verified."""
        import pyarrow as pa

        found = table.data.column(name)
        try:
            found.validate(full=True)
        except pa.ArrowInvalid as error:
            raise DataError(f"{self._where}: the column '{name}' is damaged ({error}).") from error
        return found

    def _named(self, table: Table, roles: Sequence[str]) -> str:
        """The column that the description names for a role; "" if it names none."""
        role = next((role for role in roles if role in self._spec.columns), "")
        name = self._spec.columns.get(role, "")
        if name and name not in table.features:
            hint = str(did_you_mean("column", str(name), table.features)).partition(". ")[2]
            raise DataError(f"{self._where} has no column '{name}'. {hint}")
        return str(name)

    def _images(self, table: Table) -> tuple[Any, list[int | None]]:
        """The encoded images as a column of bytes, and their sizes; None where there is none."""
        import pyarrow as pa
        import pyarrow.compute as pc

        kinds = {name: type(feature).__name__ for name, feature in table.features.items()}
        several = [name for name, kind in kinds.items() if kind == "Image"]
        name = self._named(table, ("image",))
        name = name or self._one("image", several or [n for n in ("image", "img") if n in kinds])
        if not name:
            raise DataError(
                f"{self._where} has no column of images: it has {first_few(list(kinds))}; write "
                "`columns: {image: NAME}`."
            )
        column = self._column(table, name)
        if pa.types.is_struct(column.type) and column.type.get_field_index("bytes") >= 0:
            column = pc.struct_field(column, "bytes")
        if not (pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type)):
            raise DataError(
                f"{self._where}: the column '{name}' holds {column.type}, not image files."
            )
        return column, pc.binary_length(column).to_pylist()

    def _labels(self, table: Table) -> tuple[tuple[str, ...], list[Any]]:
        """The names of the classes, if the column has any, and the values of the rows."""
        kinds = {name: type(_inner(feature)).__name__ for name, feature in table.features.items()}
        roles = ("labels", "label") if self._spec.task == "multi" else ("label", "labels")
        name = self._named(table, roles) or next((r for r in roles if r in kinds), "")
        name = name or self._one("label", [n for n, kind in kinds.items() if kind == "ClassLabel"])
        if not name:
            raise DataError(
                f"{self._where} has no column of labels: it has {first_few(list(kinds))}; write "
                f"`columns: {{{roles[0]}: NAME}}`."
            )
        values = self._column(table, name).to_pylist()
        names = getattr(_inner(table.features[name]), "names", None)
        if not names:
            return (), values
        keys = tuple(nfc(plain(one)) for one in names)

        def key(value: Any) -> Any:
            if isinstance(value, list):
                return [key(one) for one in value]
            return keys[value] if isinstance(value, int) and 0 <= value < len(keys) else ""

        return keys, [key(value) for value in values]

    def _captions(self, table: Table) -> list[Any] | None:
        name = self._named(table, ("caption",)) or (
            "caption" if "caption" in table.features else ""
        )
        return self._column(table, name).to_pylist() if name else None

    def _one(self, role: str, names: Sequence[str]) -> str:
        """The only one of some columns; "" if there is none.

        Raises:
            DataError: there are several.
        """
        if len(names) > 1:
            raise DataError(
                f"{self._where}: which column is the {role}, {' or '.join(names)}? Write "
                f"`columns: {{{role}: {names[0]}}}`."
            )
        return names[0] if names else ""


def _inner(feature: Any) -> Any:
    """The feature of the values in a list of them."""
    inner = getattr(feature, "feature", None)
    if inner is None and isinstance(feature, list) and feature:
        inner = feature[0]
    return feature if inner is None else inner
