from __future__ import annotations

import datetime
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from benchmarks import plan, runner
from benchmarks.bench import Settings
from benchmarks.checkpoints import FileCheckpoint, checkpoint_file
from benchmarks.errors import DataMissing, UserError
from benchmarks.metrics import expected_calibration_error
from benchmarks.plan import Cell
from benchmarks.settings import read_sweep
from methods.registry import METHODS
from results.schema import Record
from results.store import Store
from tests.benchmarks.small import FIELDS

PLUGIN = '''
    import shutil
    from dataclasses import dataclass
    from pathlib import Path

    import torch

    from benchmarks.errors import NotApplicable, UserError
    from methods.base import Method, Predictor
    from methods.registry import register


    def predictor(task, **rest):
        weight = task.normal_per_class("weight", 16)
        return Predictor(lambda batch: batch.inputs @ weight.T, **rest)


    class Base(Method):
        def fit(self, task):
            return predictor(task)


    @register("fine", paper="-", needs="features", reconstruction="all of it is made up")
    @dataclass(frozen=True)
    class Fine(Base):
        """Works."""

        def fit(self, task):
            task.note("a note of the task")
            return predictor(task, trainable_params=64, epochs=2, images_seen=128, notes=("mine",))


    @register("raises", paper="-", needs="features")
    @dataclass(frozen=True)
    class Raises(Base):
        """Raises for seed 1."""

        def fit(self, task):
            if task.seed == 1:
                raise RuntimeError("out\\nof luck")
            return predictor(task)


    @register("strict", paper="-", needs="features")
    @dataclass(frozen=True)
    class Strict(Base):
        """Refuses its own fields."""

        lr: float = -1.0

        def __post_init__(self):
            if self.lr < 0:
                raise ValueError("lr must be positive")


    @register("picky", paper="-", needs="features")
    @dataclass(frozen=True)
    class Picky(Base):
        """Asks the user for another value."""

        def fit(self, task):
            raise UserError("picky.width must be even,\\nnot 3.")


    @register("not_here", paper="-", needs="features")
    @dataclass(frozen=True)
    class NotHere(Base):
        """Does not go with this data."""

        def fit(self, task):
            raise NotApplicable("wants captions")


    @register("multi_only", paper="-", needs="features", tasks=("multi",))
    @dataclass(frozen=True)
    class MultiOnly(Base):
        """Serves multi-label data alone."""


    @register("interrupted", paper="-", needs="features")
    @dataclass(frozen=True)
    class Interrupted(Base):
        """Ctrl-C in the second fit."""

        def fit(self, task):
            if task.seed == 1:
                raise KeyboardInterrupt
            return predictor(task)


    @register("odd", paper="-", needs="features")
    @dataclass(frozen=True)
    class Odd(Base):
        """Predicts what nobody can use."""

        kind: str = "nan"

        def fit(self, task):
            good = predictor(task).logits
            return {
                "nan": Predictor(lambda batch: good(batch) * float("nan")),
                "inf": Predictor(lambda batch: good(batch) / 0.0),
                "class": Predictor(lambda batch: good(batch)[:, 1:]),
                "rows": Predictor(lambda batch: good(batch)[1:]),
                "flat": Predictor(lambda batch: good(batch).flatten()),
                "numpy": Predictor(lambda batch: good(batch).numpy()),
                "nothing": None,
                "cost": predictor(task, trainable_params=float("nan")),
                "late": Predictor(lambda batch: 1 / 0),
            }[self.kind]


    @register("together", paper="-", needs="features")
    @dataclass(frozen=True)
    class Together(Base):
        """Fits all seeds at once; one of them predicts NaN."""

        bad: int = -1
        count: int = 0

        def fit_many(self, tasks):
            seeds = ",".join(str(task.seed) for task in tasks)
            found = [predictor(task, notes=(f"seeds {seeds}",)) for task in tasks]
            if self.bad >= 0:
                found[self.bad] = Predictor(lambda batch: torch.full((len(batch), 4), torch.nan))
            return found[: self.count or None]


    @register("validated", paper="-", needs="features")
    @dataclass(frozen=True)
    class Validated(Base):
        """Notes what it was given to select by."""

        def fit(self, task):
            found = task.validation
            return predictor(task, notes=(f"validation {None if found is None else len(found)}",))


    @register("careless", paper="-", needs="features")
    @dataclass(frozen=True)
    class Careless(Base):
        """Changes in place what other methods share."""

        what: str = "features"

        def fit(self, task):
            model = task.backbone.model
            if self.what == "features":
                task.train.features().sub_(0.1)
            elif self.what == "labels":
                task.train.labels.zero_()
            elif self.what == "weights":
                with torch.no_grad():
                    next(model.parameters()).add_(1.0)
            elif self.what == "gradients":
                model.requires_grad_(True)
            elif self.what == "mode":
                model.train()
            elif self.what == "late":
                return Predictor(lambda batch: batch.inputs[:, :4] + model.train().logit_scale)
            return predictor(task)


    @register("torch_random", paper="-", needs="features")
    @dataclass(frozen=True)
    class TorchRandom(Base):
        """Draws from torch itself."""

        def fit(self, task):
            weight = torch.randn(16, 4)
            return Predictor(lambda batch: batch.inputs @ weight)


    @register("vandal", paper="-", needs="features")
    @dataclass(frozen=True)
    class Vandal(Base):
        """Puts a file where the results go."""

        out: str = ""

        def fit(self, task):
            shutil.rmtree(self.out)
            Path(self.out).write_text("in the way")
            return predictor(task)
'''

SMALL = "glyphs100_lt_ir8 (n_max=35, classes=4, test_per_class=4)"
"""The small world's name: the family and every knob that is not at its default."""


class Watcher:
    """A display that remembers."""

    def __init__(self) -> None:
        self.prepared: list[str] = []
        self.lines: list[str] = []
        self.steps: list[tuple[int, int, int, int]] = []

    def preparing(self, what: str, done: int = 0, total: int = 0) -> None:
        self.prepared.append(what)

    def started(self, cell: Cell) -> None:
        self.lines.append(f"started {cell.method} {cell.seed}")

    def stepped(self, epoch: int, epochs: int, step: int, steps: int) -> None:
        self.steps.append((epoch, epochs, step, steps))

    def finished(self, cell: Cell, record: Record) -> None:
        self.lines.append(f"{record.status} {cell.method} {cell.seed}")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def cells(
    plugin: Callable[[str], Path], clip_folder: Path, tmp_path: Path
) -> Callable[..., list[Cell]]:
    """Cells of methods on the small world."""
    METHODS.load_file(plugin(PLUGIN))

    def expand(methods: str, *assignments: str, **flags: Any) -> list[Cell]:
        data = flags.get("datasets", "glyphs100_lt")
        fields = [f"glyphs100_lt.{name}={value}" for name, value in FIELDS.items()]
        if "glyphs100_lt" not in data:
            fields = []
        defaults = {
            "datasets": "glyphs100_lt",
            "backbone": f"local-dir:{clip_folder}",
            "device": "cpu",
            "data_root": str(tmp_path / "data"),
        }
        flags = defaults | flags | {"methods": methods, "set": [*fields, *assignments]}
        return plan.expand(read_sweep(None, flags))

    return expand


def _run(
    cells: list[Cell], out: Path, watcher: Watcher | None = None, **settings: Any
) -> list[Record]:
    where = Settings(out, out.parent / "data", torch.device("cpu"), **settings)
    return runner.run(cells, where, watcher or Watcher())


Cells = Callable[..., list[Cell]]


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
        ("cost", "trainable_params is nan"),
        ("other", "KeyError"),
    ],
)
def test_what_a_method_may_not_return(cells: Cells, out: Path, kind: str, says: str) -> None:
    todo = cells("odd,fine", f"odd.kind={kind}", seeds="0")
    odd, fine = _run(todo, out)
    assert (odd.status, fine.status) == ("failed", "done")
    assert odd.metrics is None
    assert re.search(says, odd.error or ""), odd.error
    log = (out / "logs" / f"{odd.key}.txt").read_text(encoding="utf-8")
    assert "Traceback" in log
    assert Store(out).get(odd.key) == odd
    assert not (out / "records" / f"{odd.key}.npz").exists()


@pytest.mark.parametrize("what", ["features", "labels", "weights", "gradients", "mode", "late"])
def test_a_method_cannot_spoil_the_next(cells: Cells, out: Path, what: str) -> None:
    (alone,) = _run(cells("ncm"), out / "alone")
    careless, after = _run(cells("careless,ncm", f"careless.what={what}", seeds="0"), out / "both")
    assert careless.status == "failed"
    assert "work on a copy" in (careless.error or "")
    assert after.metrics == alone.metrics


def test_a_method_that_draws_from_torch_repeats_its_numbers(cells: Cells, out: Path) -> None:
    runs = []
    for name in ("a", "b"):
        torch.manual_seed(len(runs))
        runs.append(_run(cells("torch_random", seeds="0,1"), out / name))
    (first, other), again = runs
    assert [first.metrics, other.metrics] == [r.metrics for r in again]
    store = [Store(out / "a").predictions(r.key)["true_prob"] for r in (first, other)]
    assert not np.array_equal(*store)


def test_logits_are_kept_on_request(cells: Cells, out: Path) -> None:
    (record,) = _run(cells("fine", seeds="0"), out, save_logits=True)
    kept = Store(out).predictions(record.key)
    assert kept["logits"].shape == (16, 4)
    assert np.array_equal(kept["logits"].argmax(1), kept["top5"][:, 0])
    (record,) = _run(cells("fine", seeds="1"), out)
    assert "logits" not in Store(out).predictions(record.key)


def test_a_seed_that_fails_does_not_stop_the_others(cells: Cells, out: Path) -> None:
    watcher = Watcher()
    records = _run(cells("raises,fine"), out, watcher)
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
    strict, fine = _run(cells("strict,fine", seeds="0"), out)
    assert (strict.status, fine.status) == ("failed", "done")
    assert "lr must be positive" in (strict.error or "")


def test_a_line_written_for_the_user_stands_without_the_name_of_its_class(
    cells: Cells, out: Path
) -> None:
    picky, strict = _run(cells("picky,strict", seeds="0"), out)
    assert picky.error == f"picky.width must be even, not 3. (see logs/{picky.key}.txt)"
    assert "benchmarks.errors.UserError" in (out / "logs" / f"{picky.key}.txt").read_text("utf-8")
    assert (strict.error or "").startswith("ValueError: ")


def test_what_does_not_apply_is_no_failure(cells: Cells, out: Path) -> None:
    here, multi, fine = _run(cells("not_here,multi_only,fine", seeds="0"), out)
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
        _run(todo, out)
    planned = plan.look_up(todo, Store(out).all()[0])
    assert [p.state for p in planned] == ["done"] * 4 + ["missing"] * 2
    assert state.exists()  # of the cell that was being fitted
    assert not list(out.rglob("*.tmp"))


def test_missing_data_end_the_run_and_keep_what_is_finished(cells: Cells, out: Path) -> None:
    todo = cells("fine", datasets="glyphs100_lt,cifar100_lt", seeds="0")
    with pytest.raises(DataMissing, match="CIFAR-100"):
        _run(todo, out, offline=True)
    assert [r.dataset for r in Store(out).all()[0]] == [SMALL]


def test_a_failed_download_says_what_to_do_and_why(cells: Cells, out: Path) -> None:
    with pytest.raises(DataMissing, match="download cifar100_lt --data-root") as caught:
        _run(cells("fine", datasets="cifar100_lt"), out)
    line = str(caught.value)
    assert re.search(r"Downloading failed: .+\)", line)
    assert "by hand" in line
    assert "--datasets glyphs100_lt --backbone glyph" in line
    assert "\n" not in line


def test_results_that_cannot_be_written_end_the_run_in_a_line(cells: Cells, out: Path) -> None:
    with pytest.raises(UserError, match="Cannot write to"):
        _run(cells("vandal", f"vandal.out={out}"), out)


def test_a_folder_that_cannot_be_written_is_found_before_anything_else(
    cells: Cells, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    watcher = Watcher()
    with pytest.raises(UserError, match="--out"):
        _run(cells("fine"), tmp_path / "file" / "runs", watcher)
    assert watcher.prepared == []


def test_debugging_stops_at_the_first_failure(cells: Cells, out: Path) -> None:
    for methods in ("raises", "odd"):
        with pytest.raises((RuntimeError, ValueError), match=r"luck|NaN"):
            _run(cells(methods), out, debug=True)


# ---- what is measured ----------------------------------------------------------------------------


def test_a_record_is_complete(cells: Cells, out: Path) -> None:
    (cell,) = todo = cells("fine", seeds="5", groups="thirds")
    (record,) = _run(todo, out)
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
    assert len(record.class_names) == 4
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


def test_metrics_follow_from_the_predictions(cells: Cells, out: Path) -> None:
    (record,) = _run(cells("fine", seeds="0", groups="thirds"), out)
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
    first, second = (_run(todo, tmp_path / name) for name in ("a", "b"))
    for a, b in zip(first, second, strict=True):
        assert a.status == "done", a.error
        assert a.metrics == b.metrics
        assert a.key == b.key
        ones, others = (Store(tmp_path / n).predictions(a.key) for n in ("a", "b"))
        for name in ones:
            np.testing.assert_array_equal(ones[name], others[name])


def test_seeds_and_split_seeds_matter(cells: Cells, out: Path) -> None:
    records = _run(cells("fine", seeds="0,1", split_seeds="0,1"), out)
    splits = [r.provenance.split_hash for r in records if r.provenance]
    assert splits[0] == splits[1] != splits[2] == splits[3]
    arrays = [Store(out).predictions(r.key)["top5_prob"] for r in records]
    assert not np.array_equal(arrays[0], arrays[1])


def test_a_trained_method_says_what_it_cost(cells: Cells, out: Path) -> None:
    watcher = Watcher()
    (record,) = _run(cells("linear_probe", "linear_probe.epochs=3", seeds="0"), out, watcher)
    assert record.cost is not None
    assert (record.cost.epochs, record.cost.images_seen) == (3, 3 * 64)
    assert record.cost.trainable_params == 4 * 16
    assert watcher.steps[-1] == (2, 3, 1, 1)


def test_the_epoch_is_selected_by_validation_images_only_if_asked(cells: Cells, out: Path) -> None:
    (last,) = _run(cells("validated", seeds="0"), out)
    (val,) = _run(cells("validated", seeds="0", select="val"), out)
    assert last.selection is not None
    assert val.selection is not None
    assert (last.selection.rule, last.selection.source) == ("last", "last epoch")
    assert (val.selection.rule, val.selection.source) == ("val", "fresh draw")
    assert last.notes == ("validation None",)
    assert val.notes == ("validation 80",)
    assert last.key != val.key


def test_seeds_are_handed_over_together_to_who_can_take_them(cells: Cells, out: Path) -> None:
    records = _run(cells("together", seeds="4,2,9"), out)
    assert [r.notes for r in records] == [("seeds 4,2,9",)] * 3
    # Cells of another configuration or split are another problem.
    more = cells("together", seeds="1,2", split_seeds="0,1")
    assert [r.notes for r in _run(more, out)] == [("seeds 1,2",)] * 4


def test_of_seeds_fitted_together_one_may_fail(cells: Cells, out: Path) -> None:
    records = _run(cells("together", "together.bad=1"), out)
    assert [r.status for r in records] == ["done", "failed", "done"]
    assert "NaN" in (records[1].error or "")


def test_too_few_predictors_for_the_seeds(cells: Cells, out: Path) -> None:
    records = _run(cells("together", "together.count=2"), out)
    assert [r.status for r in records] == ["failed"] * 3


def test_a_tower_that_never_saw_the_words(cells: Cells, out: Path, small_arch: str) -> None:
    (record,) = _run(cells("zero_shot", backbone=f"{small_arch}/random"), out)
    assert any("chance expected" in note for note in record.notes)


# ---- checkpoints ---------------------------------------------------------------------------------


def test_a_checkpoint_is_removed_with_the_end_of_its_cell(cells: Cells, out: Path) -> None:
    todo = cells("fine,raises", seeds="1")
    for cell in todo:
        file = checkpoint_file(out, cell)
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"epoch": 1}, file)
    assert [r.status for r in _run(todo, out)] == ["done", "failed"]
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
