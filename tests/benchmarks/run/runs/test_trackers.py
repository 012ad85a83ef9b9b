"""Trackers of users and of the suite, through the runner."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import torch

from benchmarks.errors import UserError
from benchmarks.run import runner
from benchmarks.run.options import RunOptions
from benchmarks.run.tracking.base import Settings
from benchmarks.run.tracking.tracked_display import TrackedDisplay
from benchmarks.run.tracking.trackers import Trackers
from benchmarks.sweep.cell import Cell
from benchmarks.sweep.tracks import tracks_of
from results.schema import Record
from tests.benchmarks.run.runs.recorder import RECORDER, seen, told
from tests.benchmarks.run.runs.worlds import Cells, Watcher, run

TRAINED = ("linear_probe.epochs=3", "linear_probe.batch_size=16")


@pytest.fixture(autouse=True)
def _work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with the recorder as the working directory."""
    monkeypatch.chdir(tmp_path)
    Path("recorder.py").write_text(dedent(RECORDER))


@pytest.fixture
def trained(cells: Cells) -> list[Cell]:
    """Two cells that train together and one that trains nothing."""
    return cells("linear_probe,ncm", *TRAINED, seeds="0,1", select="val")


def tracked(
    cells: Sequence[Cell],
    out: Path,
    *names: str,
    watcher: Watcher | None = None,
    known: Mapping[str, None] | None = None,
) -> tuple[list[Record], list[str]]:
    """Run cells with trackers; return the records and the lines about the trackers."""
    said: list[str] = []
    where = RunOptions(
        out=out, data_root=out, device=torch.device("cpu"), live=True, checkpoint_s=0.0
    )
    settings = Settings(out, offline=True)
    with Trackers(tracks_of(list(names), "--track"), settings, said.append) as trackers:
        records = runner.run(
            cells, where, TrackedDisplay(watcher or Watcher(), trackers), known=known
        )
    return records, said


def as_json(record: Record) -> Any:
    return json.loads(json.dumps(record.to_json()))


def test_a_tracker_sees_every_cell(trained: list[Cell], out: Path) -> None:
    records, said = tracked(trained, out, "recorder.py")
    calls = seen()
    assert [len(record.curves) for record in records] == [3, 3, 0]
    for cell, record in zip(trained, records, strict=True):
        own = [call for call in calls if call["key"] == record.key]
        assert (own[0]["call"], own[0]["title"]) == ("begin", cell.title)
        assert own[0]["config"].items() >= json.loads(json.dumps(record.config)).items()
        assert (own[0]["config"]["data.classes"], own[0]["config"]["seed"]) == (4, record.seed)
        assert own[-1] == {"call": "end", "key": record.key, "record": as_json(record)}
        assert told(calls, record.key) == {n: list(points) for n, points in record.curves.items()}
    assert set(records[0].curves) == {"loss", "validation", "lr"}
    assert (calls[-1]["call"], said) == ("close", [])


def test_a_tracker_changes_no_record_but_for_the_learning_rate(
    trained: list[Cell], out: Path
) -> None:
    plain = run(trained, out / "plain")
    with_tracker, _ = tracked(trained, out / "tracked", "recorder.py")
    for one, other in zip(plain, with_tracker, strict=True):
        assert (one.key, one.metrics, one.details) == (other.key, other.metrics, other.details)
        assert one.curves == {n: points for n, points in other.curves.items() if n != "lr"}


def test_a_cell_that_goes_on_sends_all_its_numbers_again(cells: Cells, out: Path) -> None:
    class Impatient(Watcher):
        def stepped(self, epoch: int, epochs: int, step: int, steps: int) -> None:
            if epoch == 2:
                raise KeyboardInterrupt

    todo = cells("linear_probe", *TRAINED, seeds="0,1")
    with pytest.raises(KeyboardInterrupt):
        tracked(todo, out, "recorder.py", watcher=Impatient())
    assert {call["key"]: call["record"] for call in seen() if call["call"] == "end"} == {
        cell.key: None for cell in todo
    }
    Path("seen.jsonl").unlink()
    records, _ = tracked(todo, out, "recorder.py")
    for record in records:
        assert [epoch for epoch, _ in record.curves["lr"]] == [1, 2, 3]
        curves = {name: list(points) for name, points in record.curves.items()}
        assert told(seen(), record.key) == curves


@pytest.mark.parametrize("call", ["begin", "log", "end", "close"])
def test_a_tracker_that_fails_harms_nothing(trained: list[Cell], out: Path, call: str) -> None:
    name = f"recorder.py:fail-{call}"
    records, said = tracked(trained, out, name, "recorder.py")
    assert [record.status for record in records] == ["done"] * 3
    lacking = {"begin": 3, "log": 2, "end": 3, "close": 0}[call]
    assert (
        said
        == [
            f"--track {name}: ValueError: no luck. The sweep goes on without it.",
            f"--track {name}: incomplete there: {lacking} of 3 cells.",
        ][: 2 if lacking else 1]
    )
    assert sum(one["call"] == "end" for one in seen()) == 3  # the other tracker has them all
    if call == "log":  # after its failure a cell ends there, as if it were interrupted
        calls = [json.loads(line) for line in Path("seenfail-log.jsonl").read_text().splitlines()]
        own = [one for one in calls if one["key"] == trained[0].key]
        assert [one["call"] for one in own] == ["begin", "log", "end"]
        assert own[-1]["record"] is None


def test_a_failed_cell_is_tracked_and_replaced(cells: Cells, out: Path) -> None:
    todo = cells("odd", "odd.kind=late", seeds="0")
    (record,), _ = tracked(todo, out, "recorder.py")
    tracked(todo, out, "recorder.py")
    assert [(call["call"], call["key"]) for call in seen() if call["key"]] == [
        ("begin", record.key),
        ("end", record.key),
    ] * 2
    assert seen()[1]["record"]["error"] == record.error


def test_cells_that_never_start_here_are_not_tracked(cells: Cells, out: Path) -> None:
    todo = cells("not_here,multi_only,fine", seeds="0")
    tracked(todo, out, "recorder.py")
    ends = [call["record"] for call in seen() if call["call"] == "end"]
    assert [end["status"] for end in ends] == ["not_applicable", "done"]  # multi_only never starts
    Path("seen.jsonl").unlink()
    tracked(todo, out, "recorder.py", known=dict.fromkeys(cell.key for cell in todo))
    assert [call["call"] for call in seen()] == ["close"]  # as if another run had done them


def test_the_example_of_the_documentation_works(trained: list[Cell], out: Path) -> None:
    page = Path(__file__).parents[4] / "docs" / "tracking.md"
    (example,) = re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    Path("lines.py").write_text(example)
    records, said = tracked(trained, out, "lines.py:told.txt")
    lines = Path("told.txt").read_text().splitlines()
    assert said == []
    assert sum(" after epoch 3" in line for line in lines) == 6
    assert sum(f"test/overall': {records[2].metrics.overall}" in line for line in lines) >= 1


# ---- the trackers of the suite -------------------------------------------------------------------


def test_tensorboard_has_the_curves_and_the_record(trained: list[Cell], out: Path) -> None:
    pytest.importorskip("tensorboard", reason="needs the package tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for _ in range(2):  # the second run replaces the first
        records, said = tracked(trained, out, "tensorboard:board")
        assert said == []
    for record in records:
        (folder,) = Path("board").glob(f"glyphs100*/*/seed-{record.seed}-{record.key[:8]}")
        found = EventAccumulator(str(folder))
        found.Reload()
        for name, points in record.curves.items():
            scalars = [(event.step, event.value) for event in found.Scalars(name)]
            assert scalars == [(n, pytest.approx(value, rel=1e-6)) for n, value in points]
        assert record.metrics is not None
        (last,) = found.Scalars("test/overall")
        assert last.value == pytest.approx(record.metrics.overall, rel=1e-6)
        (text,) = found.Tensors("record/text_summary")
        assert record.key in text.tensor_proto.string_val[0].decode()
        assert "_hparams_/session_start_info" in found.PluginTagToContent("hparams")
    Path("file").touch()
    with pytest.raises(UserError, match="cannot write to file/x: Not a directory"):
        tracked(trained, out, "tensorboard:file/x")


def test_wandb_has_the_curves_and_the_record(trained: list[Cell], out: Path) -> None:
    pytest.importorskip("wandb", reason="needs the package wandb")
    records, said = tracked(trained, out, "wandb:team/project")
    assert said == []
    for record in records:
        (folder,) = (out / "wandb").glob(f"offline-run-*-{record.key}")
        parts = list(wandb_parts(folder / f"run-{record.key}.wandb"))
        (one,) = (part.run for part in parts if part.WhichOneof("record_type") == "run")
        assert (one.run_id, one.project, one.entity) == (record.key, "project", "team")
        curves: dict[str, list[tuple[float, float]]] = {}
        for part in parts:
            items = {item.key or item.nested_key[0]: item.value_json for item in part.history.item}
            for name in items.keys() & record.curves.keys():
                point = (float(items["epoch"]), float(items[name]))
                curves.setdefault(name, []).append(point)
        assert curves == {name: list(points) for name, points in record.curves.items()}
        assert json.loads((folder / "files" / "record.json").read_text()) == as_json(record)


def wandb_parts(file: Path) -> Iterator[Any]:
    """Read a log of W&B: LevelDB's format behind seven bytes."""
    from wandb.proto.wandb_internal_pb2 import Record as Part

    data, at, piece = file.read_bytes(), 7, b""
    while at + 7 <= len(data):
        if 2**15 - at % 2**15 < 7:
            at += 2**15 - at % 2**15
            continue
        _, size, kind = struct.unpack("<IHB", data[at : at + 7])
        piece += data[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # whole, or the last piece
            part = Part()
            part.ParseFromString(piece)
            piece = b""
            yield part


def test_mlflow_has_the_curves_and_the_record(
    trained: list[Cell], out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow", reason="needs the package mlflow")
    from mlflow.tracking import MlflowClient

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    uri = Path("mlruns").absolute().as_uri()
    for _ in range(2):  # the second run replaces the first
        records, said = tracked(trained, out, f"mlflow:{uri}")
        assert said == []
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("longtail-vlm").experiment_id
    found = client.search_runs([experiment])
    assert sorted(run.data.tags["longtail_vlm.key"] for run in found) == sorted(
        record.key for record in records
    )
    runs = {run.data.tags["longtail_vlm.key"]: run for run in found}
    for record in records:
        one = runs[record.key]
        assert one.info.status == "FINISHED"
        for name, points in record.curves.items():
            history = client.get_metric_history(one.info.run_id, name)
            assert [(m.step, m.value) for m in history] == list(points)
        assert record.metrics is not None
        assert one.data.metrics["test/overall"] == record.metrics.overall
        assert one.data.params["data.classes"] == "4"
        assert [a.path for a in client.list_artifacts(one.info.run_id)] == ["record.json"]
