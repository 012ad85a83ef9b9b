"""A user's own images in the forms of Hugging Face's `datasets`."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.datasets.same_files import same_files
from benchmarks.errors import DataError, DataMissing, UserError
from tests.benchmarks.datasets.own_files import describe, family, load, tree
from tests.benchmarks.datasets.tar_files import encoded
from tests.benchmarks.hub_server import Hub, lead_client_to, serving


def package() -> Any:
    """The package `datasets`; not the folder of tests, which Python would take in its place."""
    pytest.importorskip("datasets.arrow_dataset")
    return importlib.import_module("datasets")


def rows(values: list[int], **columns: list[Any]) -> Any:
    """A data set of one image for each value, whose class is rose for odd ones, or daisy."""
    datasets = package()
    features = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(names=NAMES))
    images = [{"bytes": encoded(value), "path": None} for value in values]
    labels = [value % 2 for value in values]
    made = datasets.Dataset.from_dict({"image": images, "label": labels}, features=features)
    for name, column in columns.items():
        made = made.add_column(name, column)
    return made


NAMES = ["daisy", "rose", "tulip"]
SPLITS = {"train": range(6), "validation": range(20, 22), "test": range(5, 9), "extra": range(3)}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that `save_to_disk` wrote."""
    datasets = package()
    folder = tmp_path_factory.mktemp("hf") / "saved"
    datasets.disable_progress_bars()
    parts = {name: rows(list(values)) for name, values in SPLITS.items()}
    datasets.DatasetDict(parts).save_to_disk(folder)
    return folder


@pytest.fixture
def copy(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "saved"))


def parquet(folder: Path, **parts: Any) -> Path:
    """Write `data/SPLIT-00000-of-00001.parquet` for each part."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    for split, part in parts.items():
        part.to_parquet(folder / "data" / f"{split}-00000-of-00001.parquet")
    return folder


# ---- what is read --------------------------------------------------------------------------------


def test_a_saved_data_set_with_splits(copy: Path, tmp_path: Path) -> None:
    data = load(describe(tmp_path, huggingface="saved"))
    assert data.texts.class_names == tuple(NAMES)
    assert data.recipe == "as given"
    assert data.train.ids == tuple(f"train/{row:09}" for row in range(6))
    assert data.train.labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert data.counts.tolist() == [3, 3, 0]
    assert data.validation is not None
    splits = {"train": data.train, "validation": data.validation(), "test": data.test}
    for name, split in splits.items():
        pixels = [split.images.read(i) for i in range(len(split.ids))]
        assert [p.shape for p in pixels] == [(4, 6, 3)] * len(pixels)
        assert [p[0, 0, 0] for p in pixels] == list(SPLITS[name])
    assert "not used: split extra" in data.notes
    assert same_files(data.train.images, data.test.images) == [(5, 0)]


def test_named_columns_splits_and_captions(tmp_path: Path) -> None:
    train = rows(list(range(4)), caption=[f"flower {n}" for n in range(4)], kind=[0, 1, 1, 0])
    train = train.rename_column("image", "photo")
    parquet(tmp_path / "p", train=train, validation=train.select([1, 2]))
    typed = describe(
        tmp_path, huggingface="p", splits={"train": "train", "test": "validation"},
        columns={"image": "photo", "label": "kind"}, classes=["a", "b"],
    )  # fmt: skip
    data = load(typed)
    assert data.train.labels.tolist() == [0, 1, 1, 0]
    assert data.train.captions == tuple(f"flower {n}" for n in range(4))
    assert data.test.ids == ("test/000000000", "test/000000001")
    assert data.test.images.read(1)[0, 0, 0] == 2
    assert data.validation is None


def test_one_data_set_and_several_labels(tmp_path: Path) -> None:
    datasets = package()
    features = datasets.Features(
        img=datasets.Image(), tags=datasets.List(datasets.ClassLabel(names=["cat", "dog"]))
    )
    images = [{"bytes": encoded(n), "path": None} for n in range(6)]
    tags = [[0], [1], [0, 1], [], [1], [0]]
    made = datasets.Dataset.from_dict({"img": images, "tags": tags}, features=features)
    made.save_to_disk(tmp_path / "one")
    data = load(describe(tmp_path, huggingface="one", task="multi"))
    assert data.recipe == "test drawn"
    for split in (data.train, data.test):
        for i, sid in enumerate(split.ids):
            assert [*split.labels[i].nonzero()[0]] == tags[int(sid)]
            assert split.images.read(i)[0, 0, 0] == int(sid)


def test_class_folders_are_read_as_such(tmp_path: Path) -> None:
    tree(tmp_path / "p", {"train/a": 3, "train/b": 2, "test/a": 1, "test/b": 2})
    folders = load(describe(tmp_path, images="p"))
    assert load(describe(tmp_path, huggingface="p")).split_hash == folders.split_hash


def test_what_identifies_the_data(copy: Path, tmp_path: Path) -> None:
    typed = describe(tmp_path, huggingface="saved")
    before = family(typed).pinned()["data"]
    moved = tmp_path / "moved"
    shutil.copytree(copy, moved / "saved")
    assert family(describe(moved, huggingface="saved")).pinned()["data"] == before
    other = parquet(tmp_path / "p", train=rows([0, 1, 2, 3, 4, 7]), test=rows(list(range(5, 9))))
    again = family(describe(tmp_path, "p", huggingface="p")).pinned()["data"]
    (other / "data" / "train-00000-of-00001.parquet").unlink()
    parquet(tmp_path / "p", train=rows([0, 1, 2, 3, 4, 6]))
    assert family(describe(tmp_path, "p", huggingface="p")).pinned()["data"] != again


# ---- what is refused -----------------------------------------------------------------------------


def without_file(folder: Path) -> None:
    next(folder.glob("train/*.arrow")).unlink()


def truncated(folder: Path) -> None:
    file = next(folder.glob("train/*.arrow"))
    file.write_bytes(file.read_bytes()[:900])


def state(folder: Path, name: str) -> None:
    file = folder / "train" / "state.json"
    values = json.loads(file.read_text()) | {"_data_files": [{"filename": name}]}
    file.write_text(json.dumps(values))


def a_link(folder: Path) -> None:
    file = next(folder.glob("train/*.arrow"))
    file.rename(folder.parent / "outside.arrow")
    file.symlink_to(folder.parent / "outside.arrow")


def wild_offsets(folder: Path) -> None:
    """The first image is said to end far behind the file."""
    import pyarrow as pa

    file = next(folder.glob("train/*.arrow"))
    data = bytearray(file.read_bytes())
    with pa.memory_map(str(file)) as source:
        table = pa.ipc.open_stream(source).read_all()
    offsets = table.column("image").chunk(0).field("bytes").buffers()[1].to_pybytes()
    start = bytes(data).index(offsets[:28])
    data[start + 4 : start + 8] = (2**30).to_bytes(4, "little")
    file.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (without_file, r"1 of 1 file are missing: data-00000|1 of 1 file"),
        (truncated, "truncated, or no data set that can be read|damaged"),
        (lambda f: state(f, "../../x.arrow"), "state.json: no list of files"),
        (lambda f: state(f, "/etc/passwd"), "state.json: no list of files"),
        (a_link, r"is a link to .*LONGTAIL_VLM_LINKS"),
        (wild_offsets, "the column 'image' is damaged"),
        (lambda f: (f / "train" / "state.json").unlink(), "state.json: no such file"),
        (lambda f: (f / "dataset_dict.json").write_text("{"), "not valid JSON"),
        (lambda f: (f / "dataset_dict.json").write_text('{"splits": ["../a"]}'), "no list of spl"),
    ],
)
def test_damaged_data_sets(
    copy: Path, tmp_path: Path, damage: Callable[[Path], object], says: str
) -> None:
    damage(copy)
    with pytest.raises(DataError, match=says) as caught:
        load(describe(tmp_path, huggingface="saved"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"columns": {"image": "imagee"}}, "has no column 'imagee'. Did you mean: image"),
        ({"columns": {"label": "kind"}}, "has no column 'kind'"),
        ({"columns": {"image": "label"}}, "the column 'label' holds int64, not image files"),
        ({"columns": {"split": "x"}}, "Unknown role"),
        ({"splits": {"train": "training"}}, "no split 'training' for train, but train, validation"),
        ({"splits": {"test": "test"}}, "which of its splits .* is for training"),
        ({"splits": {"tests": "test"}}, "Did you mean: test"),
        ({"classes": ["daisy", "tulip"]}, "'rose' is not a class"),
        ({"task": "multi", "classes": ["x", "y"]}, "'daisy' is not a class"),
    ],
)  # fmt: skip
def test_descriptions_that_do_not_fit(
    copy: Path, tmp_path: Path, keys: dict[str, Any], says: str
) -> None:
    with pytest.raises(UserError, match=says):
        load(describe(tmp_path, huggingface="saved", **keys))


def test_rows_that_cannot_be_used(tmp_path: Path) -> None:
    datasets = package()
    features = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(names=NAMES))
    images = [{"bytes": b"", "path": None}, None, {"bytes": encoded(1), "path": None}]
    made = datasets.Dataset.from_dict({"image": images, "label": [1, 2, -1]}, features=features)
    made.save_to_disk(tmp_path / "one")
    with pytest.raises(DataError, match="3 rows cannot be used: row 0: the image is em") as caught:
        load(describe(tmp_path, huggingface="one"))
    assert "row 1: there is no image in the row; a path" in str(caught.value)
    made.select([2]).save_to_disk(tmp_path / "two")
    with pytest.raises(DataError, match="row 0: there is no label"):
        load(describe(tmp_path, huggingface="two"))


def test_several_columns_of_classes(tmp_path: Path) -> None:
    datasets = package()
    made = rows([0, 1]).rename_column("label", "fine").add_column("coarse", [0, 1])
    made = made.cast_column("coarse", datasets.ClassLabel(names=["a", "b"]))
    made.save_to_disk(tmp_path / "one")
    with pytest.raises(DataError, match=r"which column is the label, fine or coarse\? Write"):
        load(describe(tmp_path, huggingface="one"))


def test_parquet_files_that_are_missing_or_damaged(tmp_path: Path) -> None:
    file = parquet(tmp_path / "p", train=rows([0, 1])) / "data" / "train-00000-of-00001.parquet"
    typed = describe(tmp_path, huggingface="p", test_share=0.5)
    part = file.rename(file.with_name("train-00001-of-00003.parquet"))
    with pytest.raises(DataError, match="2 of 3 files of train are missing"):
        load(typed)
    part.rename(file)
    (tmp_path / "p" / "more.parquet").write_bytes(file.read_bytes())
    with pytest.raises(DataError, match=r"1 file of no split beside others: more\.parquet"):
        load(typed)
    (tmp_path / "p" / "more.parquet").unlink()
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(DataError, match="truncated, or no Parquet file"):
        load(typed)


def test_parquet_that_unpacks_to_much_more(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"image": [bytes(60_000_000)], "label": [0]})
    (tmp_path / "p").mkdir()
    file = tmp_path / "p" / "train.parquet"
    pq.write_table(table, file, compression="zstd", use_dictionary=False)
    with pytest.raises(DataError, match=r"contents are many times larger than the file"):
        load(describe(tmp_path, huggingface="p"))


def test_other_folders_are_described(tmp_path: Path) -> None:
    typed = describe(tmp_path, huggingface="p")
    with pytest.raises(DataMissing, match=r"p: no such folder"):
        load(typed)
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "data-00000-of-00001.arrow").write_bytes(b"x")
    with pytest.raises(DataError, match=r"holds 1 \.arrow; expected is a data set that `save_to"):
        load(typed)
    (tmp_path / "p" / "a.tar").write_bytes(b"x")
    with pytest.raises(DataError, match=r"holds 1 \.arrow, 1 \.tar: write `shards"):
        load(typed)


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "state.json").write_text('{"_data_files": [{"filename": "a.arrow"}]}')
    (tmp_path / "p" / "a.arrow").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "datasets.arrow_dataset", None)
    with pytest.raises(DataError, match=r"needs the package datasets: `pip install datasets`\."):
        load(describe(tmp_path, huggingface="p"))


# ---- the hub -------------------------------------------------------------------------------------


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub on this machine with an empty cache for its client."""
    with serving() as found:
        lead_client_to(found, tmp_path / "cache", monkeypatch)
        yield found


def test_a_data_set_of_the_hub(hub: Hub, tmp_path: Path) -> None:
    folder = parquet(tmp_path / "p", train=rows(list(range(6))), test=rows([7, 8]))
    files = {f"data/{file.name}": file.read_bytes() for file in (folder / "data").iterdir()}
    script = {"flowers.py": b"raise SystemExit", "README.md": b"# Flowers"}
    hub.files["ada/flowers"] = files | script
    typed = describe(tmp_path, huggingface="hf-hub:ada/flowers@main")
    found = family(typed)
    assert found.published
    with pytest.raises(DataMissing, match="hf-hub:ada/flowers@main is not on this machine"):
        found.load(tmp_path, 0)
    assert hub.requests == []
    assert "flowers@main is in" in found.download(tmp_path)
    fetched = {request.rpartition("/")[2] for request in hub.requests if "/resolve/" in request}
    assert fetched == {Path(file).name for file in files}
    hub.requests.clear()
    data = load(typed)
    assert hub.requests == []
    assert data.train.labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert [data.test.images.read(i)[0, 0, 0] for i in range(2)] == [7, 8]
    part = family(describe(tmp_path, huggingface="hf-hub:ada/flowers/data@main"))
    assert "flowers/data@main is in" in part.download(tmp_path)
    assert part.load(tmp_path, 0).split_hash == data.split_hash


def test_a_part_of_a_data_set_of_the_hub_is_not_taken_for_all_of_it(
    hub: Hub, tmp_path: Path
) -> None:
    folder = parquet(tmp_path / "p", train=rows(list(range(6))), test=rows([7, 8]))
    parts = {file.name.partition("-")[0]: file for file in (folder / "data").iterdir()}
    hub.files["ada/flowers"] = {f"{p}/{f.name}": f.read_bytes() for p, f in parts.items()}
    whole = family(describe(tmp_path, huggingface="hf-hub:ada/flowers"))
    family(describe(tmp_path, huggingface="hf-hub:ada/flowers/train")).download(tmp_path)
    with pytest.raises(DataMissing, match="hf-hub:ada/flowers@main is not on this machine"):
        whole.load(tmp_path, 0)
    whole.download(tmp_path)
    assert len(whole.load(tmp_path, 0).test.ids) == 2


def test_what_the_hub_does_not_have(hub: Hub, tmp_path: Path) -> None:
    hub.files["ada/script"] = {"script.py": b"raise SystemExit", "data.csv": b"a"}
    with pytest.raises(DataError, match=r"has no Parquet files.*@refs/convert/parquet"):
        family(describe(tmp_path, huggingface="hf-hub:ada/script")).download(tmp_path)
    with pytest.raises(DataMissing, match="hf-hub:ada/nothing@main was not fetched") as caught:
        family(describe(tmp_path, huggingface="hf-hub:ada/nothing")).download(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_hub_that_cannot_be_reached(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(DataMissing, match="was not fetched"):
        family(describe(tmp_path, huggingface="hf-hub:ada/flowers")).download(tmp_path)


@pytest.mark.parametrize(
    "name", ["hf-hub:flowers", "hf-hub:a/../b", "hf-hub:/a/b", "hf-hub:a/b@", "hf-hub:a/b/../c"]
)
def test_names_of_the_hub(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=r"is not hf-hub:USER/NAME"):
        family(describe(tmp_path, huggingface=name))
