"""Records of every released schema are read, and earlier ones rewritten with a copy kept."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.errors import UserError
from results import record_file
from results.migration import STEPS, migrate
from results.schema import SCHEMA_VERSION
from results.store import Store
from tests.results.factory import change_file, make_record

EXAMPLES = Path(__file__).with_name("schemas")
"""For each released schema a folder with records of it."""


def to_schema_1(data: dict[str, Any]) -> dict[str, Any]:
    """The step from a schema, made up for these tests, that had another name for the seed."""
    return {("seed" if name == "run" else name): value for name, value in data.items()}


def to_schema_0(data: dict[str, Any]) -> None:
    data["run"] = data.pop("seed")
    data["schema_version"] = 0


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two records of schema 0, one of schema 1 and one that is damaged."""
    store = Store(tmp_path / "out")
    for key, seed in (("a", 5), ("b", 6), ("c", 7)):
        store.write(make_record(key=key, seed=seed), {"labels": np.array([0, 1])})
    for key in "ab":
        change_file(store.folder / f"{key}.json", to_schema_0)
    (store.folder / "d.json").write_text("{")
    return store


def texts(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text("utf-8") for file in folder.glob("*.json")}


def test_there_are_examples_of_every_released_schema_and_steps_from_each() -> None:
    released = range(1, SCHEMA_VERSION + 1)
    assert {folder.name for folder in EXAMPLES.iterdir()} == {str(n) for n in released}
    assert STEPS.keys() == set(released[:-1])


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*/*.json")), ids=lambda file: file.stem)
def test_records_of_every_released_schema_can_be_read(file: Path) -> None:
    found = record_file.read(file, STEPS)
    assert found.schema == int(file.parent.name)
    assert found.record.schema_version == SCHEMA_VERSION
    record_file.text_of(found.record, None)


def test_earlier_records_are_rewritten_and_kept(store: Store) -> None:
    before = texts(store.folder)
    done = migrate(store.folder.parent, {0: to_schema_1})
    assert (done.present, done.migrated) == (1, {0: 2})
    assert [f"{store.folder}/d.json: not JSON" in line for line in done.problems] == [True]
    records, _ = store.all()
    assert [(r.key, r.seed) for r in records] == [("a", 5), ("b", 6), ("c", 7)]
    assert done.copy == store.folder.parent / "schema-0" / "records"
    assert texts(done.copy) == before
    for key in "abc":
        for folder in (store.folder.parent, done.copy.parent):
            assert (folder / "records" / f"{key}.npz").is_file()
        assert store.predictions(key)["labels"].tolist() == [0, 1]
    again = migrate(store.folder.parent, {0: to_schema_1})
    assert (again.present, again.migrated, again.copy) == (3, {}, None)


def test_without_a_step_nothing_is_changed(store: Store) -> None:
    before = texts(store.folder)
    done = migrate(store.folder.parent)
    assert (done.present, done.migrated, done.copy, len(done.problems)) == (1, {}, None, 3)
    assert texts(store.folder) == before
    assert not (store.folder.parent / "schema-0").exists()


@pytest.mark.parametrize("step", range(4))
def test_a_migration_that_is_killed_goes_on(
    store: Store, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Killed before the copy gets its name (0), then before each renaming of a record."""
    before = texts(store.folder)
    calls: list[Any] = []

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **rest: Any) -> Any:
            calls.append(args)
            if len(calls) > step:
                raise KeyboardInterrupt
            return real(*args, **rest)

        return call

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "replace", counted(os.replace))
        patch.setattr(Path, "rename", counted(Path.rename))
        if step < 3:
            with pytest.raises(KeyboardInterrupt):
                migrate(store.folder.parent, {0: to_schema_1})
        else:
            migrate(store.folder.parent, {0: to_schema_1})
    assert len(store.all()[0]) == 1 + max(step - 1, 0)
    migrate(store.folder.parent, {0: to_schema_1})
    assert len(store.all()[0]) == 3
    assert texts(store.folder.parent / "schema-0" / "records") == before
    assert {f.name for f in store.folder.parent.iterdir()} == {"records", "schema-0"}


def test_other_old_records_get_a_copy_of_their_own(store: Store) -> None:
    migrate(store.folder.parent, {0: to_schema_1})
    change_file(store.folder / "c.json", to_schema_0)
    done = migrate(store.folder.parent, {0: to_schema_1})
    assert done.copy == store.folder.parent / "schema-0-2" / "records"
    assert record_file.read(done.copy / "c.json", {0: to_schema_1}).schema == 0


def test_a_record_that_a_step_does_not_make_valid_is_left(store: Store) -> None:
    def wrong(data: dict[str, Any]) -> dict[str, Any]:
        return to_schema_1(data) | ({"seed": -1} if data["key"] == "a" else {})

    done = migrate(store.folder.parent, {0: wrong})
    assert done.migrated == {0: 1}
    assert "a.json: record.seed" in done.problems[0]


def test_what_cannot_be_copied_is_no_obstacle(store: Store) -> None:
    os.mkfifo(store.folder / "e.json")
    (store.folder / "f.json").symlink_to("nowhere")
    (store.folder / "g.json").mkdir()
    shutil.copy(store.folder / "a.json", store.folder.parent / "elsewhere")
    (store.folder / "a.json").unlink()
    (store.folder / "a.json").symlink_to("../elsewhere")
    done = migrate(store.folder.parent, {0: to_schema_1})
    assert done.migrated == {0: 2} and len(done.problems) == 4


def test_an_earlier_schema_says_what_to_type(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("results.schema.SCHEMA_VERSION", 2)
    shutil.copytree(EXAMPLES / "1", tmp_path / "records")
    lines = Store(tmp_path).all()[1]
    assert len(lines) == len(list((EXAMPLES / "1").iterdir()))
    assert all("schema 1, but this version reads 2: `migrate DIR` rewrites it" in s for s in lines)


def test_unreadable_folders_are_errors(tmp_path: Path) -> None:
    (tmp_path / "records").symlink_to(tmp_path / "records")
    with pytest.raises(UserError, match="Cannot read"):
        migrate(tmp_path)
