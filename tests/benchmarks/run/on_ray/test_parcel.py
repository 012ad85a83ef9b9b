"""Code and data that travel to the nodes."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from benchmarks.datasets.base import ArrayImages, DataSet, Split, Texts
from benchmarks.errors import NotApplicable, UserError
from benchmarks.hierarchy import Hierarchy
from benchmarks.plugins.origins import PluginFile
from benchmarks.run import ray_parcel
from benchmarks.run.ray_parcel import pack, portable, there


def test_what_fits_cells_travels_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    (folder / "package").mkdir(parents=True)
    for name in ("told.py", "beside.py", "package/__init__.py", "package/table.csv", "big.bin"):
        (folder / name).write_text("x = 1")
    plugin = PluginFile.at(folder / "told.py")
    copy = tmp_path / "copy"
    copy.mkdir()
    assert pack(copy, [plugin]) == []
    sent = there(plugin)
    assert isinstance(sent, PluginFile)
    assert sent.module == plugin.module and sent.typed == plugin.typed
    beside = copy / sent.path.parent
    names = {str(p.relative_to(beside)) for p in beside.rglob("*") if p.is_file()}
    assert names == {"told.py", "beside.py", "package/__init__.py", "package/table.csv"}
    assert {p.name for p in copy.iterdir()} == {"benchmarks", "methods", "results", "plugins"}
    assert (copy / "results" / "published.yaml").is_file()
    assert sum(p.stat().st_size for p in copy.rglob("*")) < 20 * 2**20


def test_a_package_travels_as_one_and_alone(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    (folder / "inner").mkdir(parents=True)
    for name in ("__init__.py", "beside.py", "inner/table.csv", "../stranger.py"):
        (folder / name).write_text("x = 1")
    plugin = PluginFile.at(folder)
    (tmp_path / "copy").mkdir()
    assert pack(tmp_path / "copy", [plugin]) == []
    sent = there(plugin)
    assert isinstance(sent, PluginFile)
    assert sent.module == plugin.module and sent.path.name == "__init__.py"
    home = tmp_path / "copy" / sent.path.parent.parent
    assert {str(p.relative_to(home)) for p in home.rglob("*") if p.is_file()} == {
        "mine/__init__.py", "mine/beside.py", "mine/inner/table.csv",
    }  # fmt: skip


def test_a_folder_to_import_from_is_one_on_the_nodes_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "told.py").touch()
    plugin = PluginFile.at(tmp_path / "mine" / "told.py")
    monkeypatch.syspath_prepend(tmp_path / "mine")
    (tmp_path / "copy").mkdir()
    sent = there(plugin)
    assert isinstance(sent, PluginFile)
    assert pack(tmp_path / "copy", [plugin]) == [str(sent.path.parent)]


def test_too_much_beside_a_plugin_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_parcel, "LARGEST_COMPANY", 5)
    (tmp_path / "told.py").write_text("x = 12345")
    with pytest.raises(UserError, match="move the plug-in to a folder of its own"):
        pack(tmp_path / "copy", [PluginFile.at(tmp_path / "told.py")])


def arrays(count: int, validation: bool = False) -> DataSet:
    def split(name: str) -> Split:
        pixels = np.arange(count * 12, dtype=np.uint8).reshape(count, 2, 2, 3)
        labels = np.arange(count) % 3
        ids = tuple(f"{name} {i}" for i in range(count))
        # Made when it is read, under the digest of a file: neither can be pickled.
        return Split(ArrayImages(lambda: pixels, count, lambda: f"file {name}"), labels, ids)

    held_out = split("held out")
    return DataSet(
        "three", "single", "1", "none", Texts(("a", "b", "c"), ("{}",)),
        split("train"), split("test"), validation=(lambda: held_out) if validation else None,
    )  # fmt: skip


@pytest.mark.parametrize("validation", [False, True])
def test_arrays_travel_without_test_labels(validation: bool) -> None:
    data = arrays(9, validation)
    sent = portable(data)
    assert sent is not None
    got: DataSet = pickle.loads(pickle.dumps(sent))
    assert got.split_hash == data.split_hash
    assert got.test.withheld and set(got.test.labels) == {-1} and "test 3" not in got.test.ids
    pairs: Sequence[tuple[Split, Split]] = [(data.train, got.train), (data.test, got.test)]
    if validation:
        assert data.validation is not None and got.validation is not None
        pairs = [*pairs, (data.validation(), got.validation())]
        assert np.array_equal(pairs[-1][0].labels, pairs[-1][1].labels)
    for a, b in pairs:
        assert a.images.digest() == b.images.digest()
        assert all(np.array_equal(a.images.read(i), b.images.read(i)) for i in range(9))
    assert np.array_equal(got.train.labels, data.train.labels)


def test_trees_travel_and_so_does_the_reason_for_having_none() -> None:
    def refused() -> Hierarchy:
        raise NotApplicable("no tree here")

    tree = Hierarchy((("root", "a"), ("root", "b"), ("root", "c")), "test")
    for hierarchy in (lambda: tree, refused):  # neither can be pickled
        sent = portable(dataclasses.replace(arrays(3), hierarchy=hierarchy))
        got: DataSet = pickle.loads(pickle.dumps(sent))
        assert got.hierarchy is not None
        if hierarchy is refused:
            with pytest.raises(NotApplicable, match="no tree here"):
                got.hierarchy()
        else:
            assert got.hierarchy() == tree


def test_images_in_files_do_not_travel() -> None:
    class Files:
        def __len__(self) -> int:
            return 3

        def read(self, index: int) -> np.ndarray:
            raise AssertionError("it is not read")

        def digest(self) -> str:
            return "files"

    files = Split(Files(), np.arange(3), ("x", "y", "z"))
    data = arrays(3)
    assert portable(DataSet("f", "single", "1", "none", data.texts, files, data.test)) is None
