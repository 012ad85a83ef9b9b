from __future__ import annotations

import fcntl
import gc
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.errors import UserError
from benchmarks.safe_files import this_process
from results.schema import Record, RecordError
from results.store import Store, preference
from tests.results.factory import change_file, failed_record, make_record, with_key

ROOT = Path(__file__).resolve().parents[2]
PREDICTIONS = {"ids": np.array(["a.png", "bé.png"]), "labels": np.array([0, 1])}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


def test_what_is_written_is_read(store: Store) -> None:
    record = make_record(config={"betas": (0.9, 0.999)})
    store.write(record, PREDICTIONS)
    assert store.get(record.key) == record
    assert store.all() == ([record], [])
    read = store.predictions(record.key)
    assert read.keys() == PREDICTIONS.keys()
    for name, array in PREDICTIONS.items():
        np.testing.assert_array_equal(read[name], array)
        assert read[name].dtype == array.dtype
    assert {f.name for f in store.folder.iterdir()} == {f"{record.key}.json", f"{record.key}.npz"}


def test_names_can_be_read_in_the_file(store: Store) -> None:
    store.write(make_record(key="k", notes=("Pokémon, 神奇寶貝",)), PREDICTIONS)
    assert "Pokémon, 神奇寶貝" in (store.folder / "k.json").read_text(encoding="utf-8")


def test_files_can_be_read_by_whoever_the_umask_allows(store: Store) -> None:
    old = os.umask(0o022)
    try:
        store.write(make_record(key="k"), PREDICTIONS)
    finally:
        os.umask(old)
    for file in store.folder.iterdir():
        assert file.stat().st_mode & 0o777 == 0o644


def test_nothing_is_done_where_nothing_was_written(store: Store) -> None:
    assert store.get("k") is None
    assert store.all() == ([], [])
    store.folder.mkdir(parents=True)
    np.savez(store.folder / "k.npz", **PREDICTIONS)
    assert store.get("k") is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema_version": 1}', "\ud800"])
def test_a_damaged_file_is_not_done_and_is_named(store: Store, text: str) -> None:
    good = make_record(key="good")
    store.write(good, PREDICTIONS)
    (store.folder / "k.json").write_text(text, encoding="utf-8", errors="surrogatepass")
    assert store.get("k") is None
    records, problems = store.all()
    assert records == [good]
    assert len(problems) == 1
    assert "k.json" in problems[0]
    assert "\n" not in problems[0]


def test_a_truncated_record_is_not_done(store: Store) -> None:
    store.write(make_record(key="k"), PREDICTIONS)
    file = store.folder / "k.json"
    whole = file.read_text()
    for length in range(0, len(whole) - 2, 97):
        file.write_text(whole[:length])
        assert store.get("k") is None


def test_an_unknown_schema_is_refused_with_a_remedy(store: Store) -> None:
    store.write(make_record(key="k"), PREDICTIONS)
    file = store.folder / "k.json"
    change_file(file, lambda data: data.update(schema_version=99))
    assert store.get("k") is None
    assert store.all()[1] == [f"{file}: schema 99, but this version reads 1: update the suite"]


def test_a_record_under_another_name_is_refused(store: Store) -> None:
    store.write(make_record(key="k"), PREDICTIONS)
    os.rename(store.folder / "k.json", store.folder / "other.json")
    os.rename(store.folder / "k.npz", store.folder / "other.npz")
    assert store.get("other") is None
    assert "another cell, k" in store.all()[1][0]


def test_a_done_record_without_predictions_is_not_done_but_can_be_reported(store: Store) -> None:
    record = make_record(key="k")
    store.write(record, PREDICTIONS)
    (store.folder / "k.npz").unlink()
    assert store.get("k") is None
    assert store.all() == ([record], [])


def test_a_second_look_sees_what_others_wrote_meanwhile(store: Store) -> None:
    for seed in (0, 1, 2):
        store.write(make_record(seed=seed, key=f"k{seed}", overall=50.0), PREDICTIONS)
    first, _ = store.all()
    other = Store(store.folder.parent)
    other.write(make_record(seed=1, key="k1", overall=60.0), PREDICTIONS)
    (store.folder / "k2.json").unlink()
    other.write(make_record(seed=3, key="k3", overall=70.0), PREDICTIONS)
    (store.folder / "k4.json").write_text("{", encoding="utf-8")
    records, problems = store.all()
    assert [(r.key, r.metrics.overall) for r in records] == [("k0", 50), ("k1", 60), ("k3", 70)]
    assert records[0] is first[0]  # the file is as it was
    assert len(problems) == 1


def test_a_failed_cell_has_a_record_and_no_predictions(store: Store) -> None:
    store.write(make_record(key="k"), PREDICTIONS)
    failed = failed_record("lift", key="k")
    store.write(failed, None)
    assert store.get("k") == failed
    with pytest.raises(UserError, match=r"No predictions at .*k\.npz"):
        store.predictions("k")


def test_the_first_record_of_a_cell_may_be_of_its_failure(store: Store) -> None:
    failed = failed_record("lift", key="k")
    store.write(failed, None)
    assert store.get("k") == failed


def test_damaged_predictions_are_named(store: Store) -> None:
    store.write(make_record(key="k"), PREDICTIONS)
    file = store.folder / "k.npz"
    whole = file.read_bytes()
    for content in (b"", b"no archive", whole[: len(whole) // 2]):
        file.write_bytes(content)
        with pytest.raises(UserError, match=r"k\.npz"):
            store.predictions("k")


def test_what_could_not_be_read_back_is_not_written(store: Store) -> None:
    bad = [
        (make_record(config={"lr": float("nan")}), PREDICTIONS),
        (make_record(seed="0"), PREDICTIONS),
        (make_record(), None),
        (failed_record("lift"), PREDICTIONS),
        (make_record(), {"ids": np.array(["a", None])}),
    ]
    for record, predictions in bad:
        with pytest.raises(RecordError):
            store.write(record, predictions)
    assert not store.folder.exists()


@pytest.mark.parametrize("step", [0, 1])
def test_an_interrupted_write_leaves_no_record_of_the_wrong_run(
    store: Store, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Killed before the rename of the predictions (0) or of the record (1)."""
    store.write(make_record(key="k", overall=1.0), PREDICTIONS)
    real, calls = os.replace, []

    def replace(source: Path, target: Path) -> None:
        calls.append(target)
        if len(calls) > step:
            raise KeyboardInterrupt
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(KeyboardInterrupt):
        store.write(make_record(key="k", overall=2.0), PREDICTIONS)
    assert store.get("k") is None
    monkeypatch.setattr(os, "replace", real)
    store.write(make_record(key="k", overall=2.0), PREDICTIONS)
    assert store.get("k").metrics.overall == 2.0


def test_a_full_disk_costs_no_earlier_record(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    earlier = make_record(key="k", overall=1.0)
    store.write(earlier, PREDICTIONS)

    def full(*_args: Any, **_arrays: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(OSError, match="No space"):
        store.write(make_record(key="k", overall=2.0), PREDICTIONS)
    assert store.get("k") == earlier
    assert not list(store.folder.glob(".*"))


@pytest.mark.parametrize("new", ["a", "z"])
def test_a_renamed_cell_takes_its_predictions_along(store: Store, new: str) -> None:
    store.write(make_record(key="k"), PREDICTIONS)
    store.rename("k", make_record(key=new, notes=("renamed",)))
    assert store.get("k") is None
    assert store.get(new) == make_record(key=new, notes=("renamed",))
    assert store.predictions(new)["labels"].tolist() == [0, 1]
    assert sorted(f.name for f in store.folder.iterdir()) == [f"{new}.json", f"{new}.npz"]


def test_a_cell_renamed_to_its_own_key_is_rewritten(store: Store) -> None:
    store.write(make_record(key="k"), PREDICTIONS)
    store.rename("k", make_record(key="k", notes=("rewritten",)))
    assert store.get("k") == make_record(key="k", notes=("rewritten",))


def test_leftovers_are_ignored_and_those_of_dead_writers_removed(store: Store) -> None:
    record = make_record(key="k")
    store.write(record, PREDICTIONS)
    ended = subprocess.run(
        [sys.executable, "-c", "from benchmarks.safe_files import *; print(this_process())"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    dead, living, old, new = (
        store.folder / f".k.json.{ended}.0.tmp",
        store.folder / f".k.json.{this_process()}.0.tmp",
        store.folder / f".k.{'0' * 32}.tmp",  # of an earlier version, which named no writer
        store.folder / f".k.{'1' * 32}.tmp",
    )
    for file in (dead, living, old, new):
        file.write_text("half a rec")
    os.utime(old, (1, 1))
    assert store.all() == ([record], [])
    store.check_writable()
    assert [file for file in (dead, living, old, new) if file.exists()] == [living, new]


@pytest.mark.parametrize("damage", ["{", "folder", "pipe", "link"])
def test_an_unreadable_record_is_kept_when_its_cell_is_computed_again(
    store: Store, damage: str
) -> None:
    record = make_record(key="k")
    file = store.folder / "k.json"
    for number in ("", "-2", "-3"):
        store.write(record, PREDICTIONS)
        file.unlink()
        if damage == "folder":
            file.mkdir()
        elif damage == "pipe":
            os.mkfifo(file)
        elif damage == "link":
            file.symlink_to("nowhere")
        else:
            file.write_text(damage, encoding="utf-8")
        (line,) = store.all()[1]
        assert line.startswith(f"{file}: ") and "keeps this file as k.json.unreadable" in line
        store.write(record, PREDICTIONS)
        assert store.all() == ([record], [])
        assert os.path.lexists(store.folder / f"k.json.unreadable{number}")
        assert (store.folder / f"k.npz.unreadable{number}").is_file()
        assert store.predictions("k").keys() == PREDICTIONS.keys()


def test_a_record_of_a_newer_schema_is_kept_when_its_cell_is_computed_again(store: Store) -> None:
    store.write(make_record(key="k"), PREDICTIONS)
    change_file(store.folder / "k.json", lambda data: data.update(schema_version=2))
    newer = (store.folder / "k.json").read_text("utf-8")
    store.write(failed_record("lift", key="k"), None)
    assert (store.folder / "k.json.unreadable").read_text("utf-8") == newer
    assert (store.folder / "k.npz.unreadable").is_file()


def test_a_folder_in_place_of_predictions_is_no_obstacle(store: Store) -> None:
    (store.folder / "k.npz").mkdir(parents=True)
    store.write(make_record(key="k"), PREDICTIONS)
    assert store.predictions("k").keys() == PREDICTIONS.keys()
    assert (store.folder / "k.npz.unreadable").is_dir()


def test_a_renamed_or_copied_record_is_told(store: Store) -> None:
    record = with_key(make_record())
    store.write(record, PREDICTIONS)
    copy = store.folder / f"{'0' * 16}.json"
    copy.write_bytes((store.folder / f"{record.key}.json").read_bytes())
    records, (line,) = store.all()
    assert records == [record]
    assert f"{copy}: contains the record of another cell, {record.key}" in line
    assert "renamed or copied" in line


def test_hidden_files_are_no_records(store: Store) -> None:
    store.write(make_record(key="k"), PREDICTIONS)
    (store.folder / "._k.json").write_bytes(b"\0")  # as macOS writes on other file systems
    assert len(store.all()[0]) == 1 and store.all()[1] == []


def test_a_folder_that_cannot_be_read_is_an_error(store: Store) -> None:
    store.folder.parent.mkdir()
    store.folder.symlink_to(store.folder)
    with pytest.raises(UserError, match=r"Cannot read .*records: Too many levels"):
        store.all()


def test_of_two_records_of_one_cell_a_finished_one_is_preferred_then_the_newest() -> None:
    def at(finished: str, key: str = "k", **changes: Any) -> Record:
        return make_record(key=key, provenance_finished=finished, **changes)

    failure = {"status": "failed", "error": "no", "metrics": None}
    in_order = [
        failed_record("lift", provenance=None),
        at("unknown", **failure),
        at("2026-01-03T00:00:00+00:00", **failure),
        make_record(provenance=None),
        at("2026-01-01T10:00:00+00:00"),
        at("2026-01-01T09:00:00-05:00"),  # later, though the text sorts before
        at("2026-01-01T14:00:01"),  # without a zone it is UTC
        at("2026-01-01T14:00:02Z", "a"),
        at("2026-01-01T14:00:02Z", "b"),  # the key breaks ties
    ]
    assert sorted(reversed(in_order), key=preference) == in_order


WRITER = """
import sys
from pathlib import Path
import numpy as np
from results.store import Store, preference
from tests.results.factory import make_record

folder, worker = Path(sys.argv[1]), int(sys.argv[2])
for i in range(8):
    for key in (f"w{worker}-{i}", "shared"):
        labels = np.full(20_000 * (worker + 1), worker)
        Store(folder).write(make_record(seed=worker, key=key), {"labels": labels})
"""


def test_processes_may_write_at_the_same_time(tmp_path: Path) -> None:
    workers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), str(w)], cwd=ROOT)
        for w in range(3)
    ]
    assert [worker.wait() for worker in workers] == [0, 0, 0]
    records, problems = Store(tmp_path).all()
    assert problems == []
    assert {r.key for r in records} == {f"w{w}-{i}" for w in range(3) for i in range(8)} | {
        "shared"
    }
    # The predictions and the record are of one writer.
    (shared,) = (record for record in records if record.key == "shared")
    labels = Store(tmp_path).predictions("shared")["labels"]
    assert set(labels) == {shared.seed} and len(labels) == 20_000 * (shared.seed + 1)
    assert len(list(tmp_path.glob("records/*"))) == 2 * len(records)


def test_a_writer_waits_until_another_has_renamed_both_files(store: Store) -> None:
    store.write(make_record(key="k", overall=1.0), PREDICTIONS)
    folder = os.open(store.folder, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)  # as another process does between its two renamings
    new = make_record(key="k", overall=2.0)
    writer = threading.Thread(target=lambda: Store(store.folder.parent).write(new, PREDICTIONS))
    writer.start()
    writer.join(0.3)
    assert writer.is_alive()
    assert store.get("k").metrics.overall == 1.0
    os.close(folder)
    writer.join()
    assert store.get("k") == new


def test_check_writable(tmp_path: Path) -> None:
    for _ in range(2):
        Store(tmp_path / "new").check_writable()
    assert list((tmp_path / "new" / "records").iterdir()) == []
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"file/records: Not a directory\. .*--out") as caught:
        Store(tmp_path / "file").check_writable()
    assert "\n" not in str(caught.value)


def test_records_and_reports_need_no_torch() -> None:
    code = "import sys, results.store, reports.report; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == 0


@pytest.mark.parametrize("collects", [True, False])
def test_reading_leaves_the_garbage_collector_as_it_was(store: Store, collects: bool) -> None:
    store.write(failed_record("lift"), None)
    before = gc.isenabled()
    try:
        gc.enable() if collects else gc.disable()
        assert len(store.all()[0]) == 1
        assert gc.isenabled() == collects
    finally:
        gc.enable() if before else gc.disable()
