from __future__ import annotations

import dataclasses
import datetime
import itertools
import json
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from benchmarks.calibration_error import expected_calibration_error
from benchmarks.errors import DataError
from benchmarks.run.batched_fits import shares
from benchmarks.run.checkpoints import RESTARTED, FileCheckpoint, checkpoint_file
from benchmarks.run.model_files import model_file, read_model
from methods.base import Predictor
from results.store import Store
from tests.benchmarks.datasets.own_files import describe, tree
from tests.benchmarks.run.runs.worlds import SMALL, Cells, Watcher, run

# ---- what is measured ----------------------------------------------------------------------------


def test_a_record_is_complete(cells: Cells, out: Path) -> None:
    (cell,) = todo = cells("fine", seeds="5", groups="thirds")
    (record,) = run(todo, out)
    assert record == Store(out).get(cell.key)
    assert (record.key, record.identity) == (cell.key, cell.identity)
    assert (record.method, record.seed, record.split_seed) == ("fine", 5, 0)
    assert (record.dataset, record.task, record.recipe) == (
        SMALL,
        "single",
        "glyphs/exp",
    )
    assert record.dataset_config["n_max"] == 35
    assert record.backbone == cell.backbone.name
    assert (record.protocol, record.precision, record.deterministic) == ("paper", "fp32", False)
    assert record.notes == ("a note of the task", "mine", "all of it is made up")
    assert len(record.class_names) == len(record.nearest) == 4
    assert all(own != other for own, other in enumerate(record.nearest))
    assert record.error is None

    assert record.groups is not None
    assert record.groups.rule == "thirds"
    assert sorted(record.groups.train_counts) == [4, 8, 17, 35]
    assert (record.groups.many, record.groups.medium, record.groups.few) == (2, 1, 1)
    by_count = dict(zip(record.groups.train_counts, record.groups.membership, strict=True))
    assert by_count == {35: "many", 17: "many", 8: "medium", 4: "few"}

    assert record.cost is not None
    cost = record.cost
    assert (cost.trainable_params, cost.epochs, cost.images_seen) == (64, 2, 128)
    assert cost.fit_s >= 0
    assert cost.eval_s >= 0
    assert cost.peak_memory_mb > 50  # a process that imported torch has more
    assert cost.gpu is None
    assert cost.data_wait_s is None  # on frozen features

    found = record.provenance
    assert found is not None
    assert found.weights_id == cell.backbone.weights_id
    assert found.fingerprint == cell.fingerprint
    assert {"python", "torch", "numpy", "open_clip_torch"} <= found.versions.keys()
    assert torch.__version__.startswith(found.versions["torch"].partition("+")[0])
    assert found.hardware.endswith("cpu")
    times = [datetime.datetime.fromisoformat(t) for t in (found.started, found.finished)]
    assert times[0] <= times[1] <= datetime.datetime.now(datetime.UTC)
    texts = (found.preprocess_hash, found.text_hash, found.split_hash, found.git)
    assert all(texts)
    assert "NaN" not in json.dumps(record.to_json())


def test_classes_without_images_are_a_footnote_of_the_record(
    cells: Cells, out: Path, tmp_path: Path
) -> None:
    for split, counts in (("train", {"a": 2, "b": 2}), ("test", {"a": 1, "b": 1, "c": 1})):
        tree(tmp_path / "photos" / split, counts)
    (record,) = run(cells("fine", datasets=describe(tmp_path, images="photos"), seeds="0"), out)
    assert record.groups is not None
    assert record.groups.train_counts == (2, 2, 0)
    assert "1 of 3 classes have no training images: c" in record.notes


def test_thirds_of_equal_counts_follow_the_rank_of_the_data_set(cells: Cells, out: Path) -> None:
    """The groups contain the same classes as in the long-tailed world."""
    long_tailed, even = run(
        [
            *cells("fine", seeds="0", groups="thirds"),
            *cells("fine", "glyphs100_lt.imbalance=1", seeds="0", groups="thirds"),
        ],
        out,
    )
    assert long_tailed.groups is not None
    assert even.groups is not None
    assert len(set(even.groups.train_counts or ())) == 1
    assert even.groups.membership == long_tailed.groups.membership
    assert even.groups.membership != ("many", "many", "medium", "few")  # the order of the classes


def test_metrics_follow_from_the_predictions(cells: Cells, out: Path) -> None:
    (record,) = run(cells("fine", seeds="0", groups="thirds"), out)
    metrics, groups = record.metrics, record.groups
    assert metrics is not None
    assert groups is not None
    arrays = Store(out).predictions(record.key)
    labels, top = arrays["labels"], arrays["top5"]
    assert top.shape == (16, 4)  # four classes have no five best
    assert np.bincount(labels).tolist() == [4] * 4
    assert len(set(arrays["ids"])) == 16
    first = top[:, 0]
    assert metrics.overall == pytest.approx(100 * accuracy_score(labels, first))
    assert metrics.balanced == pytest.approx(100 * balanced_accuracy_score(labels, first))
    per_class = [100 * (first[labels == c] == c).mean() for c in range(4)]
    assert metrics.per_class == pytest.approx(per_class)
    for group in ("many", "medium", "few"):
        inside = [a for a, g in zip(per_class, groups.membership, strict=True) if g == group]
        assert getattr(metrics, group) == pytest.approx(np.mean(inside))
    probabilities = arrays["top5_prob"]
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
    assert (np.diff(probabilities, axis=1) <= 0).all()
    where = top == labels[:, None]
    np.testing.assert_array_equal(probabilities[where], arrays["true_prob"])
    error = expected_calibration_error(probabilities[:, 0].astype(float), first == labels)
    assert metrics.ece == pytest.approx(error, abs=1e-3)


def test_the_same_run_twice_gives_the_same_numbers(cells: Cells, tmp_path: Path) -> None:
    todo = cells("linear_probe,lift", "linear_probe.epochs=2", "lift.epochs=1", seeds="3")
    first, second = (run(todo, tmp_path / name) for name in ("a", "b"))
    for a, b in zip(first, second, strict=True):
        assert a.status == "done", a.error
        assert a.metrics == b.metrics
        assert a.key == b.key
        ones, others = (Store(tmp_path / n).predictions(a.key) for n in ("a", "b"))
        for name in ones:
            np.testing.assert_array_equal(ones[name], others[name])


def test_seeds_and_split_seeds_matter(cells: Cells, out: Path) -> None:
    records = run(cells("fine", seeds="0,1", split_seeds="0,1"), out)
    splits = [r.provenance.split_hash for r in records if r.provenance]
    assert splits[0] == splits[1] != splits[2] == splits[3]
    arrays = [Store(out).predictions(r.key)["top5_prob"] for r in records]
    assert not np.array_equal(arrays[0], arrays[1])


def test_a_trained_method_reports_its_cost(cells: Cells, out: Path) -> None:
    watcher = Watcher()
    (record,) = run(cells("linear_probe", "linear_probe.epochs=3", seeds="0"), out, watcher)
    assert record.cost is not None
    assert (record.cost.epochs, record.cost.images_seen) == (3, 3 * 64)
    assert record.cost.trainable_params == 4 * 16
    assert watcher.steps[-1] == (2, 3, 1, 1)


def test_the_epoch_is_selected_by_validation_images_only_if_asked(cells: Cells, out: Path) -> None:
    (last,) = run(cells("validated", seeds="0"), out)
    (val,) = run(cells("validated", seeds="0", select="val"), out)
    assert last.selection is not None
    assert val.selection is not None
    assert (last.selection.rule, last.selection.source) == ("last", "last epoch")
    assert (val.selection.rule, val.selection.source) == ("val", "fresh draw")
    assert last.notes == ("validation None",)
    assert val.notes == ("validation 80",)
    assert last.key != val.key


def test_a_method_with_fit_many_fits_its_seeds_as_a_batch(cells: Cells, out: Path) -> None:
    records = run(cells("together", seeds="4,2,9"), out)
    assert [r.notes for r in records] == [("seeds 4,2,9",)] * 3
    # Cells of another configuration or split are another batch.
    more = cells("together", seeds="1,2", split_seeds="0,1")
    assert [r.notes for r in run(more, out)] == [("seeds 1,2",)] * 4


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("nothing", "fit_many must return a Predictor for each task, not NoneType"),
        ("numbers", "every fit must return a Predictor, not int"),
    ],
)
def test_the_result_of_fit_many_is_checked(cells: Cells, out: Path, kind: str, said: str) -> None:
    records = run(cells("together", f"together.kind={kind}", seeds="0,1"), out)
    assert [r.status for r in records] == ["failed"] * 2
    assert all(said in (r.error or "") for r in records)


def test_one_seed_of_a_batch_may_fail(cells: Cells, out: Path) -> None:
    records = run(cells("together", "together.bad=1"), out)
    assert [r.status for r in records] == ["done", "failed", "done"]
    assert "NaN" in (records[1].error or "")


def test_too_few_predictors_for_the_seeds(cells: Cells, out: Path) -> None:
    records = run(cells("together", "together.count=2"), out)
    assert [r.status for r in records] == ["failed"] * 3


def test_a_tower_that_never_saw_the_words(cells: Cells, out: Path, small_arch: str) -> None:
    (record,) = run(cells("zero_shot", backbone=f"{small_arch}/random"), out)
    assert any("chance expected" in note for note in record.notes)


# ---- several cells as one problem ----------------------------------------------------------------


SHORT = ("linear_probe.epochs=3", "linear_probe.batch_size=16")


def test_seeds_of_a_head_are_one_problem_with_the_numbers_of_each(cells: Cells, out: Path) -> None:
    together = run(cells("linear_probe", *SHORT, seeds="0,1,2"), out / "a")
    for record in together:
        (alone,) = run(cells("linear_probe", *SHORT, seeds=str(record.seed)), out / "b")
        assert alone.key == record.key
        assert record.cost is not None and alone.cost is not None
        assert (record.cost.fitted_together, alone.cost.fitted_together) == (3, 1)
        kept = [Store(out / name).predictions(record.key)["true_prob"] for name in ("a", "b")]
        np.testing.assert_allclose(*kept, atol=1e-5)


def test_configurations_of_a_head_are_one_problem_too(cells: Cells, out: Path) -> None:
    todo = [
        cell
        for rate in (0.01, 0.1, 1e38)
        for cell in cells("linear_probe", *SHORT, f"linear_probe.lr={rate}", seeds="0,1")
    ]
    watcher = Watcher()
    records = run(todo, out, watcher)
    assert [r.status for r in records] == ["done"] * 4 + ["failed"] * 2
    assert [r.cost.fitted_together for r in records if r.cost] == [6] * 4
    assert "lower the learning rate" in (records[-1].error or "")
    # Each is begun before the first ends, and each step is told once.
    assert [line.split()[0] for line in watcher.lines] == ["started"] * 6 + ["done"] * 4 + [
        "failed"
    ] * 2
    assert len(watcher.steps) == 3 * 4
    kept = Store(out).predictions(records[2].key)["true_prob"]
    (alone,) = run([todo[2]], out / "alone")
    np.testing.assert_allclose(
        kept, Store(out / "alone").predictions(alone.key)["true_prob"], atol=1e-5
    )


def test_a_cell_of_a_batch_counts_the_time_of_its_own_epochs(
    cells: Cells, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    todo = [
        cell
        for epochs in (1, 3, 12)
        for cell in cells("linear_probe", f"linear_probe.epochs={epochs}", seeds="0")
    ]
    clock = itertools.count(step=100)
    monkeypatch.setattr(
        "benchmarks.run.bench.time", SimpleNamespace(perf_counter=lambda: float(next(clock)))
    )
    costs = [record.cost for record in run(todo, out) if record.cost]
    # The batch took 100 seconds.
    assert [cost.fit_s for cost in costs] == [pytest.approx(100 * n / 16) for n in (1, 3, 12)]
    assert [cost.fitted_together for cost in costs] == [3, 3, 3]


def test_shares_of_a_time_go_by_the_images_seen() -> None:
    def seen(images: int) -> Predictor:
        return Predictor(lambda batch: batch.inputs, images_seen=images)

    assert shares([seen(3000)], 100) == [1.0]
    assert shares([seen(6000), seen(2000)], 100) == [0.75, 0.25]
    # Without training, failed, or with a cost that no record would hold: one pass of 100 images.
    odd = [seen(0), ValueError("diverged"), seen(-5), seen("many")]  # type: ignore[arg-type]
    assert shares([seen(600), *odd], 100) == [0.6, 0.1, 0.1, 0.1, 0.1]


def test_an_interrupted_group_goes_on(cells: Cells, out: Path) -> None:
    todo = cells("linear_probe", *SHORT, seeds="0,1")
    whole = run(todo, out / "whole")

    class Impatient(Watcher):
        def stepped(self, epoch: int, epochs: int, step: int, steps: int) -> None:
            super().stepped(epoch, epochs, step, steps)
            if epoch == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(todo, out, Impatient(), checkpoint_s=0.0)
    assert len(list((out / "checkpoints").iterdir())) == 2
    watcher = Watcher()
    records = run(todo, out, watcher)
    assert watcher.steps[0][0] == 2
    assert [r.metrics for r in records] == [r.metrics for r in whole]
    assert list((out / "checkpoints").iterdir()) == []


def test_a_model_of_one_of_several_is_kept_whole(cells: Cells, out: Path) -> None:
    records = run(cells("tau_norm", "tau_norm.epochs=2", seeds="0,1"), out, save_model=True)
    for record in records:
        model = read_model(model_file(out, record.key))
        assert set(model.tensors) == {"head._head.weight", "head._head.bias"}
        assert model.tensors["head._head.weight"].shape == (4, 16)


def test_a_model_that_fails_once_it_is_saved_costs_the_file_alone(cells: Cells, out: Path) -> None:
    (record,) = run(cells("half", seeds="0"), out, save_model=True)
    assert record.status == "done"
    (said,) = [remark for remark in record.details if "not saved" in remark]
    assert said.startswith("its model is not saved: AttributeError: ") and "weight" in said
    assert not model_file(out, record.key).exists()


def test_a_model_that_cannot_be_written_ends_the_run_and_loses_nothing(
    cells: Cells, out: Path
) -> None:
    (out / "models").parent.mkdir()
    (out / "models").touch()
    with pytest.raises(DataError) as raised:
        run(cells("ncm,fine", seeds="0"), out, save_model=True)
    assert str(raised.value).startswith(f"Cannot write {out / 'models'}")
    assert Store(out).all() == ([], [])
    (out / "models").unlink()
    records = run(cells("ncm,fine", seeds="0"), out, save_model=True)
    assert [r.status for r in records] == ["done", "done"]


def test_algorithms_that_need_not_repeat_their_numbers_are_noted(cells: Cells, out: Path) -> None:
    (plain,) = run(cells("fine", seeds="0"), out / "a")
    (free,) = run(cells("fine", seeds="0"), out / "b", deterministic=False)
    assert plain.provenance is not None and free.provenance is not None
    assert plain.provenance.deterministic_algorithms
    assert not free.provenance.deterministic_algorithms
    assert any("--no-deterministic" in note for note in free.notes)
    assert not any("--no-deterministic" in note for note in plain.notes)
    assert plain.key == free.key
    run(cells("fine", seeds="0"), out / "c")
    assert torch.are_deterministic_algorithms_enabled()


def test_evaluation_takes_smaller_batches_where_memory_is_short(cells: Cells, out: Path) -> None:
    (record,) = run(cells("forgetful", seeds="0"), out)
    (expected,) = run(cells("fine", seeds="0"), out)
    assert record.status == "done", record.error
    assert record.metrics is not None and expected.metrics is not None
    # Smaller products may round in other ways, which only a metric of probabilities shows.
    assert record.metrics.ece == pytest.approx(expected.metrics.ece, abs=1e-3)
    assert dataclasses.replace(record.metrics, ece=expected.metrics.ece) == expected.metrics
    (hopeless,) = run(cells("forgetful", "forgetful.room=0", seeds="0"), out)
    assert "single sample at a time" in (hopeless.error or "")


# ---- checkpoints ---------------------------------------------------------------------------------


def test_a_checkpoint_is_removed_with_the_end_of_its_cell(cells: Cells, out: Path) -> None:
    todo = cells("fine,raises", seeds="1")
    for cell in todo:
        file = checkpoint_file(out, cell)
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"epoch": 1}, file)
    assert [r.status for r in run(todo, out)] == ["done", "failed"]
    assert list((out / "checkpoints").iterdir()) == []


def test_what_a_checkpoint_holds(tmp_path: Path) -> None:
    file = tmp_path / "new" / "cell.pt"
    checkpoint = FileCheckpoint(file, seconds=0)
    assert checkpoint.load() is None
    for epoch in (1, 2):
        state = {"epoch": epoch, "module": {"w": torch.arange(3.0) * epoch}, "best": None}
        checkpoint.save(state)
        loaded = FileCheckpoint(file).load()
        assert loaded is not None
        assert loaded["epoch"] == epoch
        assert torch.equal(loaded["module"]["w"], state["module"]["w"])  # type: ignore[index]
    assert [f.name for f in file.parent.iterdir()] == ["cell.pt"]


def test_checkpoints_are_not_written_all_the_time(tmp_path: Path) -> None:
    file = tmp_path / "cell.pt"
    FileCheckpoint(file, seconds=1000).save({"epoch": 1})
    assert not file.exists()


def test_the_end_of_a_stage_is_written_however_soon(tmp_path: Path) -> None:
    file = tmp_path / "c.pt"
    checkpoint = FileCheckpoint(file, seconds=1000)
    checkpoint.save({"stage": 0, "finished": [], "epoch": 1})
    assert not file.exists()
    checkpoint.save({"stage": 1, "finished": [{"weight": torch.ones(2)}]})
    state = checkpoint.load()  # as the next stage does
    assert state is not None
    assert state["stage"] == 1
    assert torch.equal(state["finished"][0]["weight"], torch.ones(2))
    checkpoint.save({"stage": 1, "finished": state["finished"], "epoch": 1})
    assert "epoch" not in (FileCheckpoint(file).load() or {})


def test_a_cell_with_a_damaged_checkpoint_starts_over_and_says_so(cells: Cells, out: Path) -> None:
    todo = cells("linear_probe", "linear_probe.epochs=2", seeds="0")
    (expected,) = run(todo, out / "undisturbed")
    file = checkpoint_file(out, todo[0])
    FileCheckpoint(file, seconds=0).save({"stage": 0, "finished": [], "epoch": 1})
    with file.open("r+b") as stream:
        stream.seek(file.stat().st_size // 2)
        stream.write(b"x")
    (record,) = run(todo, out)
    assert record.metrics == expected.metrics
    assert record.notes == expected.notes
    assert record.details == (RESTARTED, *expected.details)
    assert list((out / "checkpoints").iterdir()) == []


def test_a_finished_cell_leaves_no_checkpoint_to_resume_from(cells: Cells, out: Path) -> None:
    """A kill after the record is written and before the checkpoint is removed."""
    todo = cells("fine", seeds="0")
    file = checkpoint_file(out, todo[0])
    file.parent.mkdir(parents=True)
    file.touch()
    run(todo, out)
    file.touch()
    record = Store(out).folder / f"{todo[0].key}.json"
    os.utime(file, ns=(record.stat().st_mtime_ns,) * 2)
    run(cells("raises", seeds="0"), out)
    assert not file.exists()
