from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.errors import DataMissing, UserError
from benchmarks.run import runner
from benchmarks.run.checkpoints import checkpoint_file
from benchmarks.sweep import plan
from results.store import Store
from tests.benchmarks.run.runs.worlds import SMALL, Cells, Watcher, run
from tests.results.factory import failed_record, make_record

# ---- what goes wrong -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("nan", "NaN"),
        ("inf", "infinite"),
        ("class", r"shape \(16, 3\), expected \(16, 4\)"),
        ("rows", r"shape \(15, 4\), expected \(16, 4\)"),
        ("flat", r"shape \(64,\), expected \(16, 4\)"),
        ("numpy", "TypeError"),
        ("nothing", "NoneType"),
        ("late", "ZeroDivisionError"),
        ("cost", "trainable_params must be a whole number, not nan"),
        ("other", "KeyError"),
    ],
)
def test_what_a_method_may_not_return(cells: Cells, out: Path, kind: str, says: str) -> None:
    todo = cells("odd,fine", f"odd.kind={kind}", seeds="0")
    odd, fine = run(todo, out)
    assert (odd.status, fine.status) == ("failed", "done")
    assert odd.metrics is None
    assert re.search(says, odd.error or ""), odd.error
    log = (out / "logs" / f"{odd.key}.txt").read_text(encoding="utf-8")
    assert "Traceback" in log
    assert Store(out).get(odd.key) == odd
    assert not (out / "records" / f"{odd.key}.npz").exists()


@pytest.mark.parametrize("what", ["features", "labels", "weights", "gradients", "mode", "late"])
def test_a_method_cannot_spoil_the_next(cells: Cells, out: Path, what: str) -> None:
    (alone,) = run(cells("ncm"), out / "alone")
    careless, after = run(cells("careless,ncm", f"careless.what={what}", seeds="0"), out / "both")
    assert careless.status == "failed"
    assert "work on a copy" in (careless.error or "")
    assert after.metrics == alone.metrics


def test_a_method_that_draws_from_torch_repeats_its_numbers(cells: Cells, out: Path) -> None:
    runs = []
    for name in ("a", "b"):
        torch.manual_seed(len(runs))
        runs.append(run(cells("torch_random", seeds="0,1"), out / name))
    (first, other), again = runs
    assert [first.metrics, other.metrics] == [r.metrics for r in again]
    store = [Store(out / "a").predictions(r.key)["true_prob"] for r in (first, other)]
    assert not np.array_equal(*store)


def test_logits_are_kept_on_request(cells: Cells, out: Path) -> None:
    (record,) = run(cells("fine", seeds="0"), out, save_logits=True)
    kept = Store(out).predictions(record.key)
    assert kept["logits"].shape == (16, 4)
    assert np.array_equal(kept["logits"].argmax(1), kept["top5"][:, 0])
    (record,) = run(cells("fine", seeds="1"), out)
    assert "logits" not in Store(out).predictions(record.key)


def test_a_seed_that_fails_does_not_stop_the_others(cells: Cells, out: Path) -> None:
    watcher = Watcher()
    records = run(cells("raises,fine"), out, watcher)
    assert [(r.method, r.seed, r.status) for r in records] == [
        ("raises", 0, "done"),
        ("raises", 1, "failed"),
        ("raises", 2, "done"),
        *[("fine", seed, "done") for seed in range(3)],
    ]
    assert (records[1].error or "").startswith("RuntimeError: out of luck (see logs/")
    assert watcher.lines[2:4] == ["started raises 1", "failed raises 1"]
    assert Store(out).all()[1] == []


def test_a_method_that_refuses_its_fields_fails_its_cells_only(cells: Cells, out: Path) -> None:
    strict, fine = run(cells("strict,fine", seeds="0"), out)
    assert (strict.status, fine.status) == ("failed", "done")
    assert "lr must be positive" in (strict.error or "")


def test_a_user_error_is_recorded_without_the_name_of_its_class(cells: Cells, out: Path) -> None:
    picky, strict = run(cells("picky,strict", seeds="0"), out)
    assert picky.error == f"picky.width must be even, not 3. (see logs/{picky.key}.txt)"
    assert "benchmarks.errors.UserError" in (out / "logs" / f"{picky.key}.txt").read_text("utf-8")
    assert (strict.error or "").startswith("ValueError: ")


def test_a_cell_that_does_not_apply_is_not_a_failure(cells: Cells, out: Path) -> None:
    here, multi, fine = run(cells("not_here,multi_only,fine", seeds="0"), out)
    assert [r.status for r in (here, multi, fine)] == ["not_applicable", "not_applicable", "done"]
    assert here.error == "wants captions"
    assert multi.error == "serves multi-label data only"
    assert not (out / "logs").exists()


def test_an_interruption_keeps_what_is_finished(cells: Cells, out: Path) -> None:
    todo = cells("fine,interrupted")
    state = checkpoint_file(out, todo[4])
    state.parent.mkdir(parents=True)
    torch.save({"epoch": 3}, state)
    with pytest.raises(KeyboardInterrupt):
        run(todo, out)
    planned = plan.look_up(todo, Store(out).all()[0])
    assert [p.state for p in planned] == ["done"] * 4 + ["missing"] * 2
    assert state.exists()  # of the cell that was being fitted
    assert not list(out.rglob("*.tmp"))


def test_missing_data_end_the_run_and_keep_what_is_finished(cells: Cells, out: Path) -> None:
    todo = cells("fine", datasets="glyphs100_lt,cifar100_lt", seeds="0")
    with pytest.raises(DataMissing, match="CIFAR-100"):
        run(todo, out, offline=True)
    assert [r.dataset for r in Store(out).all()[0]] == [SMALL]


def test_a_failed_download_says_what_to_do_and_why(cells: Cells, out: Path) -> None:
    with pytest.raises(DataMissing, match="download cifar100_lt --data-root") as caught:
        run(cells("fine", datasets="cifar100_lt"), out)
    line = str(caught.value)
    assert re.search(r"Downloading failed: .+\)", line)
    assert "by hand" in line
    assert "--datasets glyphs100_lt --backbone glyph" in line
    assert "\n" not in line


def test_results_that_cannot_be_written_end_the_run_in_a_line(cells: Cells, out: Path) -> None:
    with pytest.raises(UserError, match="Cannot write to"):
        run(cells("vandal", f"vandal.out={out}"), out)


def test_a_run_does_not_need_checkpoints(
    cells: Cells, out: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out.mkdir()
    (out / "checkpoints").write_text("a file where the folder should be")
    todo = cells("ncm,linear_probe", seeds="0")
    found = run(todo, out, checkpoint_s=0.0)
    assert [record.status for record in found] == ["done", "done"]
    assert not any("checkpoint" in note for record in found for note in record.notes)
    assert "No checkpoint can be written to" in caplog.text


PREDICTIONS = {"ids": np.array(["a", "b"]), "labels": np.array([0, 1])}


def test_a_failure_that_could_not_be_read_back_ends_the_run_in_a_line(out: Path) -> None:
    for record, arrays in (
        (failed_record("lift", dataset="x" * 5000), None),
        (make_record(dataset="x" * 5000), PREDICTIONS),
    ):
        with pytest.raises(UserError, match="No record can hold lift on") as caught:
            runner._written(Store(out), record, arrays)
        assert "\n" not in str(caught.value)


def test_a_result_that_could_not_be_read_back_is_a_failed_cell(out: Path) -> None:
    for record, arrays, reason in (
        (make_record(), {"labels": np.array([10**9])}, "predictions"),
        (make_record(cost_fit_s=math.inf), PREDICTIONS, "fit_s"),
    ):
        written = runner._written(Store(out), record, arrays)
        stored = Store(out).get(record.key)
        assert stored == written
        assert stored.status == "failed" and stored.metrics is None
        assert stored.error.startswith("RecordError: ") and reason in stored.error


def test_a_folder_that_cannot_be_written_is_found_before_anything_else(
    cells: Cells, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    watcher = Watcher()
    with pytest.raises(UserError, match="--out"):
        run(cells("fine"), tmp_path / "file" / "runs", watcher)
    assert watcher.prepared == []


def test_debugging_stops_at_the_first_failure(cells: Cells, out: Path) -> None:
    for methods in ("raises", "odd"):
        with pytest.raises((RuntimeError, ValueError), match=r"luck|NaN"):
            run(cells(methods), out, debug=True)
