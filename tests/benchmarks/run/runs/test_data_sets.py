"""Each data set of a run is loaded once and kept while cells need it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from benchmarks.datasets.base import DataSet
from benchmarks.errors import DataMissing
from benchmarks.run import runner
from benchmarks.run.data_sets import DataSets
from benchmarks.run.options import RunOptions
from benchmarks.sweep.cell import Cell
from tests.benchmarks.datasets.own_files import describe, tree
from tests.benchmarks.run.runs.worlds import Cells, Watcher


@pytest.fixture
def options(out: Path) -> RunOptions:
    return RunOptions(out=out, data_root=out.parent / "data", device=torch.device("cpu"))


def own(folder: Path, *names: str) -> str:
    for name in names:
        tree(folder / name, {"a": 5, "b": 5})
    return ",".join(describe(folder, name, images=name) for name in names)


def test_a_data_set_is_loaded_once_while_cells_need_it(
    cells: Cells, options: RunOptions, tmp_path: Path
) -> None:
    first, second = cells("fine", datasets=own(tmp_path, "birds", "fish"), seeds="0")
    watcher = Watcher()
    data_sets = DataSets(options, watcher)
    data_sets.load_all([first, second])
    assert watcher.prepared == ["looking for birds", "looking for fish"]
    birds, fish = data_sets.get(first), data_sets.get(second)
    assert data_sets.get(first) is birds
    data_sets.keep_for([second])
    assert data_sets.get(second) is fish
    assert data_sets.get(first) is not birds
    data_sets.release(second)
    assert data_sets.get(second) is not fish
    (other_split,) = cells("fine", datasets=first.dataset_as_typed, seeds="0", split_seeds="1")
    assert data_sets.get(other_split).split_hash != data_sets.get(first).split_hash


def test_one_of_several_data_sets_that_is_missing_is_found_first(
    cells: Cells, options: RunOptions, tmp_path: Path
) -> None:
    typed = own(tmp_path, "birds", "fish")
    shutil.rmtree(tmp_path / "fish")
    todo = cells("fine", datasets=typed, seeds="0")
    with pytest.raises(DataMissing, match="fish"):
        DataSets(options, Watcher()).load_all(todo)


class Nothing(DataSets):
    """Data sets that are never there."""

    def get(self, cell: Cell) -> DataSet:
        raise DataMissing(f"no {cell.dataset} here")


def test_a_run_takes_data_sets_that_its_caller_has_loaded(
    cells: Cells, options: RunOptions
) -> None:
    with pytest.raises(DataMissing, match="no glyphs100_lt"):
        runner.run(cells("fine"), options, Watcher(), Nothing(options, Watcher()))


@pytest.mark.parametrize("select", ["last", "val"])
def test_images_in_two_splits_are_counted(
    cells: Cells, options: RunOptions, tmp_path: Path, select: str
) -> None:
    tree(tmp_path / "birds/train", {"a": 5, "b": 6})
    (tmp_path / "birds/test").mkdir()
    for name in "ab":  # as users do who have no test images yet
        (tmp_path / "birds/test" / name).symlink_to(tmp_path / "birds/train" / name)
    for name in "ab":
        (tmp_path / "birds/val" / name).mkdir(parents=True)
        file = tmp_path / "birds/val" / name / "new.png"
        shutil.copy(tmp_path / "birds/train" / name / "0.png", file)
    typed = describe(tmp_path, "birds", images="birds")
    (cell,) = cells("fine", datasets=typed, seeds="0", select=select)
    notes = DataSets(options, Watcher()).for_fitting(cell).notes
    assert "11 test images are identical to a training image" in notes
    for others in ("training", "test"):
        note = f"2 validation images are identical to a {others} image"
        assert (note in notes) == (select == "val")
