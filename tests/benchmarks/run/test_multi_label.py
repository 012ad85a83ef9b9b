"""Multi-label data through the suite: validation, data, records, methods that do not apply."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score, precision_recall_curve, roc_auc_score

import run_benchmarks
from benchmarks.conformance.tiny import permuted, tiny_data, tiny_task
from benchmarks.datasets.base import ArrayImages, DataSet, Split
from methods.parts.training.scoring import validation_score
from results.store import Store
from tests.benchmarks.oracles import sklearn_precisions

PLUGIN = '''
    from dataclasses import dataclass

    import torch

    from methods.base import Method, Predictor
    from methods.registry import register


    class Base(Method):
        def fit(self, task):
            weight = task.normal_per_class("weight", 16)
            return Predictor(lambda batch: batch.inputs @ weight.T)


    @register("one_label", paper="-", needs="features")
    @dataclass(frozen=True)
    class OneLabel(Base):
        """Serves single-label data alone."""


    @register("labels", paper="-", needs="features", tasks=("multi",))
    @dataclass(frozen=True)
    class Labels(Base):
        """Serves multi-label data alone."""

        def fit(self, task):
            assert task.kind == "multi" and task.train.labels.shape == (len(task.train), 4)
            assert task.counts.tolist() == task.train.labels.sum(0).tolist()
            assert task.train.captions is not None
            assert len(task.train.captions) == len(task.train)
            if task.validation is not None:
                task.note(f"{len(task.validation)} validation images")
            return super().fit(task)


    @register("either", paper="-", needs="images", tasks=("single", "multi"))
    @dataclass(frozen=True)
    class Either(Base):
        """Serves both."""

        def fit(self, task):
            weight = task.normal_per_class("weight", 3)
            return Predictor(lambda batch: batch.images.mean((2, 3)) @ weight.T)
'''
SCENES = ("classes=4", "n_max=54", "imbalance=5", "test_per_class=8")
SINGLE = ("classes=4", "n_max=35", "imbalance=8", "test_per_class=4")
Command = Callable[..., tuple[int, str]]


# ---- validation -------------------------------------------------------------------------------


class Linear(torch.nn.Module):
    """Logits that depend only on the images."""

    def forward(self, batch):  # type: ignore[no-untyped-def]
        return batch.inputs[:, :4]


@pytest.mark.parametrize("size", [7, 1000])
def test_validation_uses_mean_average_precision(size: int) -> None:
    task, _ = tiny_task(kind="multi", validation=True)
    assert task.validation is not None
    scores, labels = task.validation.features()[:, :4].numpy(), task.validation.labels.numpy()
    found = validation_score(task, Linear(), "features", size)
    assert found == pytest.approx(sklearn_precisions(scores, labels).mean())


# ---- data ----------------------------------------------------------------------------------------


def wide(labels: np.ndarray) -> DataSet:
    """The tiny data with other labels."""
    data = tiny_data("multi")
    names = tuple(f"class {i}" for i in range(labels.shape[1]))
    texts = dataclasses.replace(data.texts, class_names=names, descriptions=None)
    ids = tuple(f"image {i}" for i in range(len(labels)))
    split = Split(ArrayImages(np.zeros((len(labels), 2, 2, 3), np.uint8)), labels, ids)
    test = dataclasses.replace(split, ids=tuple(f"test/{sid}" for sid in ids))
    return dataclasses.replace(data, texts=texts, train=split, test=test)


def test_a_split_hash_is_over_every_label_however_many_there_are() -> None:
    labels = np.zeros((2, 3000), dtype=np.int64)
    hashes = {wide(labels).split_hash}
    for place in ((0, 0), (0, 1500), (1, 1500), (0, 2999)):
        labels[place] = 1
        hashes.add(wide(labels).split_hash)
    assert len(hashes) == 5


def test_a_split_hash_does_not_depend_on_the_order_of_the_images() -> None:
    data = tiny_data("multi")
    order = np.arange(len(data.train))[::-1]
    images = ArrayImages(data.train.images.array[order])  # type: ignore[attr-defined]
    train = Split(images, data.train.labels[order], tuple(data.train.ids[i] for i in order))
    assert dataclasses.replace(data, train=train).split_hash == data.split_hash


def test_labels_that_do_not_fit_the_task_are_refused() -> None:
    data, labels = tiny_data("multi"), tiny_data("multi").test.labels
    for wrong in (labels[:, :3], labels.argmax(1), labels - 1, labels * 2):
        with pytest.raises(ValueError, match="test labels"):
            dataclasses.replace(data, test=dataclasses.replace(data.test, labels=wrong))
    with pytest.raises(ValueError, match="captions"):
        dataclasses.replace(data.test, captions=("one",))


def test_permuting_the_tiny_world_permutes_everything() -> None:
    data, order = tiny_data("multi"), [2, 0, 3, 1]
    moved = permuted(data, order)
    assert moved.counts.tolist() == data.counts[order].tolist()
    assert moved.texts.class_names == tuple(data.texts.class_names[i] for i in order)
    assert (moved.test.labels == data.test.labels[:, order]).all()
    assert moved.train.captions == data.train.captions
    assert (len(data.train), sorted(data.counts)) == (64, [10, 18, 31, 54])


# ---- through the command line --------------------------------------------------------------------


@pytest.fixture
def command(
    plugin: Callable[[str], Path],
    clip_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Command:
    """Runs methods on the small worlds; returns the exit status and the output."""
    monkeypatch.setenv("COLUMNS", "200")
    file = plugin(PLUGIN)

    def run(methods: str, datasets: str, *more: str, verb: str = "run") -> tuple[int, str]:
        words = [verb, "--methods", methods, "--datasets", datasets, "--plugin", str(file)]
        words += ["--backbone", f"local-dir:{clip_folder}", "--out", str(tmp_path / "out")]
        for name, fields in (("glyphscenes_lt", SCENES), ("glyphs100_lt", SINGLE)):
            for field in fields if name in datasets.split(",") else ():
                words += ["--set", f"{name}.{field}"]
        status = run_benchmarks.main([*words, "--device", "cpu", *more])
        return status, capsys.readouterr().out

    return run


def test_records_hold_scores_and_metrics_as_by_scikit_learn(
    command: Command, tmp_path: Path
) -> None:
    status, out = command("labels,either", "glyphscenes_lt", "--seeds", "0,1")
    assert status == 0
    assert "mAP " in out and "raw logits" in out
    store = Store(tmp_path / "out")
    records, problems = store.all()
    assert problems == [] and len(records) == 4
    test = tiny_data("multi").test
    for record in records:
        kept = store.predictions(record.key)
        assert set(kept) == {"ids", "labels", "scores"}
        assert kept["scores"].dtype == np.float32 and kept["scores"].shape == (17, 4)
        assert kept["ids"].tolist() == list(test.ids)
        assert (kept["labels"] == test.labels).all()
        expected = 100 * sklearn_precisions(kept["scores"], kept["labels"])
        assert record.metrics is not None and record.groups is not None
        assert record.metrics.per_class == pytest.approx(expected)
        assert record.metrics.overall == pytest.approx(expected.mean())
        assert record.task == "multi"
        assert record.groups.rule == "lmpt"
        assert record.groups.train_counts == tuple(tiny_data("multi").counts.tolist())


def test_softmax_scores_are_an_option_with_a_table_of_its_own(
    command: Command, tmp_path: Path
) -> None:
    assert command("labels", "glyphscenes_lt", "--seeds", "0", "--save-logits")[0] == 0
    more = ("--seeds", "0", "--set", "glyphscenes_lt.scores=softmax", "--save-logits")
    status, out = command("labels", "glyphscenes_lt", *more)
    assert status == 0 and "scores=softmax" in out and "a softmax over the classes" in out
    store = Store(tmp_path / "out")
    by_scores = {r.dataset_config["scores"]: r for r in store.all()[0]}
    raw, soft = (store.predictions(by_scores[name].key) for name in ("logits", "softmax"))
    assert (raw["logits"] == raw["scores"]).all() and (raw["logits"] == soft["logits"]).all()
    probabilities = torch.from_numpy(raw["logits"]).double().softmax(-1).numpy()
    metrics = by_scores["softmax"].metrics
    assert metrics is not None
    assert metrics.per_class == pytest.approx(
        100 * sklearn_precisions(probabilities, raw["labels"])
    )
    assert metrics.per_class != by_scores["logits"].metrics.per_class  # type: ignore[union-attr]


def test_validation_images_are_given_on_request(command: Command, tmp_path: Path) -> None:
    assert command("labels", "glyphscenes_lt", "--seeds", "0", "--select", "val")[0] == 0
    (record,) = Store(tmp_path / "out").all()[0]
    assert record.selection is not None
    assert (record.selection.rule, record.selection.source) == ("val", "fresh draw")
    assert any("validation images" in note for note in record.notes)


KEEPING = '''
    from dataclasses import dataclass

    import numpy as np

    from methods.base import Method, Predictor
    from methods.registry import register


    @register("keeping", paper="-", needs="features", tasks=("multi",))
    @dataclass(frozen=True)
    class Keeping(Method):
        """Writes its validation logits to a file."""

        file: str = ""

        def fit(self, task):
            weight = task.normal_per_class("weight", 16)
            if task.validation is not None:
                logits = (task.validation.features() @ weight.T).numpy()
                np.savez(self.file, logits=logits, labels=task.validation.labels.numpy())
            return Predictor(lambda batch: batch.inputs @ weight.T)
'''


def test_f1_is_at_thresholds_from_validation_images(
    command: Command, plugin: Callable[[str], Path], tmp_path: Path
) -> None:
    file = tmp_path / "validation.npz"
    more = (
        "--seeds",
        "0",
        "--plugin",
        str(plugin(KEEPING, "keeping.py")),
        "--set",
        f"keeping.file={file}",
    )
    assert command("keeping", "glyphscenes_lt", *more)[0] == 0
    assert command("keeping", "glyphscenes_lt", *more, "--select", "val")[0] == 0
    store = Store(tmp_path / "out")
    by_rule = {r.selection.rule: r for r in store.all()[0] if r.selection is not None}
    last, chosen = by_rule["last"].metrics, by_rule["val"].metrics
    assert last is not None and chosen is not None
    assert last.macro_f1 is None and last.auroc == chosen.auroc  # there is no threshold to take
    validation, kept = np.load(file), store.predictions(by_rule["val"].key)
    values = []
    for c in range(4):
        precision, recall, thresholds = precision_recall_curve(
            validation["labels"][:, c], validation["logits"][:, c]
        )
        f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
        least = thresholds[f1[:-1] >= f1.max() - 1e-9].max()
        values.append(f1_score(kept["labels"][:, c], kept["scores"][:, c] >= least - 1e-6))
    assert chosen.macro_f1 == pytest.approx(100 * np.mean(values))
    areas = [roc_auc_score(kept["labels"][:, c], kept["scores"][:, c]) for c in range(4)]
    assert chosen.auroc == pytest.approx(100 * np.mean(areas))


@pytest.mark.figures
def test_a_method_that_does_not_serve_a_task_is_a_row_not_a_failure(
    command: Command, tmp_path: Path
) -> None:
    both = "glyphscenes_lt,glyphs100_lt"
    status, out = command("one_label,labels,either", both, "--seeds", "0,1", verb="plan")
    assert status == 0 and out.count("not applicable") == 3
    assert "12 to run, about 1 s, 4 of them not applicable" in out
    out = command("one_label", "glyphscenes_lt", "--seeds", "0", verb="plan")[1]
    assert "1 to run, about 0 s" in out and "to compute" not in out
    status, out = command("one_label,labels,either", both, "--seeds", "0,1")
    assert status == 0
    assert "one_label ‡: not applicable: serves single-label data only" in out
    assert "labels ‡: not applicable: serves multi-label data only" in out
    report = tmp_path / "out" / "report"
    for ending in ("md", "tex", "csv"):
        (scenes,) = report.glob(f"glyphscenes_lt*.{ending}")
        (single,) = report.glob(f"glyphs100_lt*.{ending}")
        for file in (scenes, single):
            text = file.read_text(encoding="utf-8").replace("\\_", "_")
            text = text.replace("\\penalty200{}", "")  # where LaTeX may break a line
            assert "one_label" in text and "labels" in text and "either" in text
            assert "nan" not in text.lower()
    assert "serves single-label data only" in next(report.glob("glyphscenes*.md")).read_text()
    assert {f.suffix for f in report.glob("*__groups.*")} == {".png", ".pdf"}
    files = (tmp_path / "out" / "records").glob("*.json")
    statuses = [json.loads(file.read_text())["status"] for file in files]
    assert sorted(statuses) == ["done"] * 8 + ["not_applicable"] * 4
    # Run again: nothing is left to do.
    status, out = command("one_label,labels,either", both, "--seeds", "0,1", verb="plan")
    assert "12 cells, 0 to run" in out


def test_a_table_in_which_nothing_applies(command: Command, tmp_path: Path) -> None:
    status, out = command("one_label", "glyphscenes_lt", "--seeds", "0")
    assert status == 0
    assert "not applicable: serves single-label data only" in out
    assert list((tmp_path / "out" / "report").glob("*.md"))
    assert run_benchmarks.main(["report", str(tmp_path / "out"), "--out", str(tmp_path / "r")]) == 0
