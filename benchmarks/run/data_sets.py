"""The data sets of a run, each loaded once."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from benchmarks.datasets.base import ArrayImages, DataSet, Family, Split
from benchmarks.datasets.carving import with_validation
from benchmarks.datasets.checking import duplicates_note, train_test_duplicates
from benchmarks.datasets.same_files import same_files
from benchmarks.errors import DataMissing, one_line
from benchmarks.run.display import Display
from benchmarks.run.options import RunOptions
from benchmarks.run.recorder import partition_of_cell
from benchmarks.sweep.cell import Cell


class DataSets:
    """Loads data sets on first use and keeps them while cells need them; threads may share it.

    Most data sets hold lists of files; the largest that hold pixels, CIFAR's, take 180 MB each.
    A worker makes no records, so it looks for no images that splits share.
    """

    def __init__(self, options: RunOptions, display: Display) -> None:
        self._options = options
        self._display = display
        self._loaded: dict[tuple[Family, int], DataSet] = {}
        self._for_fitting: dict[tuple[Family, int, str], DataSet] = {}
        self._lock = threading.RLock()

    def get(self, cell: Cell) -> DataSet:
        """Return the cell's data set; if it is missing, download it unless offline.

        Raises:
            DataMissing: it is not here and could not be fetched.
            DataError: it is damaged.
            UserError: the cell's partition does not fit its classes.
        """
        key = (cell.family, cell.split_seed)
        with self._lock:
            if key not in self._loaded:
                data = self._load(cell)
                if not self._options.isolated:  # a worker makes no records, and has not the file
                    partition_of_cell(cell, data)  # a class that is missing is said before a fit
                self._loaded[key] = data if self._options.isolated else _with_duplicates_note(data)
            return self._loaded[key]

    def for_fitting(self, cell: Cell) -> DataSet:
        """Return the cell's data set, with validation images only if the cell selects by them.

        Raises:
            DataError: as `get`.
        """
        key = (cell.family, cell.split_seed, cell.select)
        with self._lock:
            if key not in self._for_fitting:
                self._for_fitting[key] = self._prepared(cell)
            return self._for_fitting[key]

    def load_all(self, cells: Iterable[Cell]) -> None:
        """Load each data set of several that are on disk, so that a missing one is found now.

        Hours later would be too late.

        Raises:
            DataError: one cannot be used.
        """
        families = {cell.family: cell for cell in cells}
        for family, cell in families.items() if len(families) > 1 else ():
            if family.on_disk:
                self._display.preparing(f"looking for {cell.dataset}")
                self.get(cell)

    def keep_for(self, cells: Iterable[Cell]) -> None:
        """Release the data sets that none of these cells needs."""
        needed = {(cell.family, cell.split_seed) for cell in cells}
        with self._lock:
            self._loaded = {key: data for key, data in self._loaded.items() if key in needed}
            self._for_fitting = {
                key: data for key, data in self._for_fitting.items() if key[:2] in needed
            }

    def release(self, cell: Cell) -> None:
        """Release the cell's data set: the next use loads it anew."""
        with self._lock:
            self._loaded.pop((cell.family, cell.split_seed), None)
            self._for_fitting.pop((cell.family, cell.split_seed, cell.select), None)

    def _prepared(self, cell: Cell) -> DataSet:
        self._display.preparing(f"loading {cell.dataset}")
        data = self.get(cell)
        held_out = None
        if cell.select == "val":
            data = with_validation(data, cell.split_seed)
            # Built now: a function that builds them later may hold on to the test labels.
            held_out = None if data.validation is None else data.validation()
            if held_out is not None and not self._options.isolated:
                data = _with_shared_validation_note(data, held_out)
        return dataclasses.replace(data, validation=None if held_out is None else lambda: held_out)

    def _load(self, cell: Cell) -> DataSet:
        options = self._options
        return load_or_download(cell, options.data_root, options.offline, self._display.preparing)


def load_or_download(
    cell: Cell, root: Path, offline: bool, say: Callable[[str], object]
) -> DataSet:
    """Load the data set of a cell; if it is missing, download it unless offline.

    Args:
        cell: its family and its split seed are used.
        root: folder of the data sets.
        offline: never download.
        say: is told what is downloaded.

    Raises:
        DataMissing: it is not here and could not be fetched.
        DataError: it is damaged.
    """
    try:
        return cell.family.load(root, cell.split_seed)
    except DataMissing as missing:
        if offline or not cell.family.published:
            raise
        say(f"downloading {cell.dataset}")
        try:
            cell.family.download(root)
        except DataMissing as error:  # the first line says what to do
            reason = one_line(error.__cause__ or error)
            raise DataMissing(f"{missing} (Downloading failed: {reason}.)") from error
    return cell.family.load(root, cell.split_seed)


def _with_duplicates_note(data: DataSet) -> DataSet:
    """Add a footnote if training images are also test images.

    Images in memory are compared by their pixels, those in files as far as that is quick.
    """
    if all(isinstance(s.images, ArrayImages) for s in (data.train, data.test)):
        number = len({test for _, test in train_test_duplicates(data)})
    else:
        number = len(same_files(data.train.images, data.test.images))
    return _with_note(data, number, f"{data.tested_on} image", "training")


def _with_shared_validation_note(data: DataSet, held_out: Split) -> DataSet:
    """Add footnotes if validation images are also training or test images, by their files."""
    number = len(same_files(data.train.images, held_out.images))
    data = _with_note(data, number, "validation image", "training")
    number = len(same_files(data.test.images, held_out.images))
    return _with_note(data, number, "validation image", data.tested_on)


def _with_note(data: DataSet, number: int, what: str, others: str) -> DataSet:
    if not number:
        return data
    note = duplicates_note(number, what, others)
    return dataclasses.replace(data, notes=(*data.notes, note))
