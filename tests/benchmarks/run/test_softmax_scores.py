"""`scores=softmax`: LMPT's measure by hand, from the trained parts in the models' files.

The measure is average precision of each class on softmax(scale * cos) over the classes, with the
cosines of images and of the learned prompts or directions. Nothing that a method fits to the labels
for its sigmoids takes part.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from benchmarks.backbones import Backbone
from benchmarks.conformance.tiny import tiny_data, tiny_task
from benchmarks.run import runner
from benchmarks.run.display import Silent
from benchmarks.run.logits import OWN_LOGITS
from benchmarks.run.model_files import model_file
from benchmarks.run.options import RunOptions
from benchmarks.sweep import plan
from benchmarks.sweep.settings import read_sweep
from methods import tip_adapter
from methods.base import Method, Predictor
from methods.parts.heads import calibration
from methods.registry import METHODS, info_of
from results.schema import Record
from results.store import Store
from tests.benchmarks.oracles import sklearn_precisions

pytestmark = pytest.mark.numeric

TRAINED = ("coop", "lmpt", "linear_probe")
PLUGIN = '''
    from dataclasses import dataclass

    from methods.base import Method, Predictor
    from methods.registry import register


    @register("old", paper="-", needs="features", tasks=("multi",))
    @dataclass(frozen=True)
    class Old(Method):
        """Returns logits alone."""

        def fit(self, task):
            shift = 9.0 * task.normal_per_class("shift")
            weight = 5.0 * task.text_features()
            return Predictor(lambda batch: batch.inputs @ weight.T + shift)


    @register("new", paper="-", needs="features", tasks=("multi",))
    @dataclass(frozen=True)
    class New(Old):
        """Returns both."""

        def fit(self, task):
            found = super().fit(task)
            weight = 5.0 * task.text_features()
            found.uncalibrated = lambda batch: batch.inputs @ weight.T
            return found
'''
Run = Callable[..., dict[str, tuple[Record, dict[str, Any], Path]]]


@pytest.fixture
def run(clip_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs methods on the tiny scenes; returns record, predictions and model file by method."""
    monkeypatch.setattr(calibration, "STEPS", 20)

    def run(scores: str, methods: dict[str, dict[str, Any]], select: str = "last") -> Any:
        fields = {"classes": 4, "n_max": 54, "imbalance": 5, "test_per_class": 8, "scores": scores}
        sweep = read_sweep(
            None,
            {
                "methods": [{name: values} for name, values in methods.items()],
                "datasets": [{"glyphscenes_lt": fields}],
                "backbone": f"local-dir:{clip_folder}",
                "device": "cpu",
                "seeds": [0],
                "out": str(tmp_path / scores),
                "save_logits": True,
                "save_model": True,
                "select": select,
            },
        )
        cells = plan.expand(sweep).cells
        runner.run(cells, RunOptions.of(sweep, debug=True), Silent())
        store = Store(sweep.out)
        records = [store.get(cell.key) for cell in cells]
        return {
            r.method: (r, store.predictions(r.key), model_file(sweep.out, r.key)) for r in records
        }

    return run


def unit_images(backbone: Backbone) -> Tensor:
    """(N, D) unit features of the test images by open_clip's own forward pass."""
    model: Any = backbone.model
    images = tiny_data("multi").test.images
    pixels = [backbone.transform(Image.fromarray(images.read(i))) for i in range(len(images))]
    return F.normalize(model.encode_image(torch.stack(pixels)).double(), dim=-1)


def unit_prompts(backbone: Backbone, contexts: Tensor) -> Tensor:
    """(C, D) unit features of [start][contexts][name].[end], by the blocks of the text tower."""
    model: Any = backbone.model
    names = backbone.tokenizer([f"{name}." for name in tiny_data("multi").texts.class_names])
    count = contexts.shape[1]
    table = model.token_embedding(names)
    own = contexts.expand(len(names), -1, -1)
    x = torch.cat([table[:, :1], own, table[:, 1:-count]], 1) + model.positional_embedding
    x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask))
    ends = names.argmax(-1) + count
    return F.normalize((x[torch.arange(len(x)), ends] @ model.text_projection).double(), dim=-1)


@torch.no_grad()
def by_hand(method: str, file: Path, backbone: Backbone) -> np.ndarray:
    """(N, C) softmax(scale * cos), from the learned part alone."""
    state = load_file(file)
    if method == "linear_probe":
        scale, rows = 25.0, F.normalize(state["head.weight"].double(), dim=-1)
    else:
        scale, rows = backbone.logit_scale, unit_prompts(backbone, state["prompts.context"])
    z = scale * (unit_images(backbone) @ rows.T).numpy()
    power = np.exp(z - z.max(1, keepdims=True))
    return power / power.sum(1, keepdims=True)


def precision(record: Record) -> list[float | None]:
    assert record.metrics is not None
    return list(record.metrics.per_class)


def test_recorded_precisions_are_those_of_lmpts_formula(run: Run, small: Backbone) -> None:
    found = run("softmax", {name: {"epochs": 2, "lr": 0.05} for name in TRAINED})
    labels = tiny_data("multi").test.labels
    for method in TRAINED:
        record, kept, file = found[method]
        probabilities = by_hand(method, file, small)
        np.testing.assert_allclose(np.exp(kept["scores"]), probabilities, atol=1e-4)
        expected = 100 * sklearn_precisions(probabilities, labels)
        assert precision(record) == pytest.approx(expected)
        assert record.metrics is not None
        assert record.metrics.overall == pytest.approx(expected.mean())
        assert OWN_LOGITS not in record.notes


def test_logits_are_measured_with_the_calibration_by_default(run: Run) -> None:
    short = {"linear_probe": {"epochs": 1}}
    plain, soft = (run(s, short, "val")["linear_probe"] for s in ("logits", "softmax"))
    shift = plain[1]["logits"] - soft[1]["logits"]
    assert (plain[1]["scores"] == plain[1]["logits"]).all()
    np.testing.assert_allclose(shift, shift.mean(0, keepdims=True).repeat(len(shift), 0), atol=1e-4)
    assert abs(shift).min() > 0.1
    expected = sklearn_precisions(soft[1]["logits"], plain[1]["labels"])
    assert precision(plain[0]) == pytest.approx(100 * expected)
    assert plain[0].curves["loss"] == soft[0].curves["loss"]
    assert plain[0].curves["validation"] != soft[0].curves["validation"]
    # Thresholds by class are of the same logits as what they are compared with.
    assert plain[0].metrics is not None and soft[0].metrics is not None
    assert plain[0].metrics.macro_f1 == pytest.approx(soft[0].metrics.macro_f1)


def test_a_method_without_uncalibrated_logits_is_measured_on_its_own_and_says_so(
    run: Run, plugin: Callable[[str], Path]
) -> None:
    METHODS.load_file(plugin(PLUGIN))
    methods: dict[str, dict[str, Any]] = {"old": {}, "new": {}, "zero_shot": {}}
    raw, soft = (run(scores, methods) for scores in ("logits", "softmax"))
    for method, says in (("old", True), ("new", False), ("zero_shot", False)):
        assert (OWN_LOGITS in soft[method][0].notes) == says
        assert OWN_LOGITS not in raw[method][0].notes
        same = np.array_equal(raw[method][1]["logits"], soft[method][1]["logits"])
        assert same == (method != "new")
        z = torch.from_numpy(soft[method][1]["logits"]).double()
        expected = sklearn_precisions(z.softmax(-1).numpy(), soft[method][1]["labels"])
        assert precision(soft[method][0]) == pytest.approx(100 * expected)
    assert precision(soft["old"][0]) != precision(soft["new"][0])


TUNED = {
    "coop": {"epochs": 2, "lr": 0.1},
    "lmpt": {"epochs": 2, "lr": 0.1},
    "linear_probe": {"epochs": 2, "lr": 0.05},
    "tip_adapter": {"epochs": 2, "finetune": True, "search": False},
    "lift": {"epochs": 2, "lr": 0.1, "augment": "none"},
    "clip_lora": {"epochs": 2, "lr": 0.01, "dropout": 0.0, "augment": "none"},
    "full_finetune": {"epochs": 2, "lr": 0.01, "augment": "none"},
}


def soft_task(**more: Any) -> Any:
    """A task of the tiny scenes with validation images, measured as LMPT does."""
    task, _ = tiny_task(kind="multi", validation=True, **more)
    return dataclasses.replace(task, scores="softmax")


@torch.no_grad()
def on_validation(task: Any, logits: Callable[[Any], Tensor], needs: str) -> Tensor:
    batch = task.validation.batch(np.arange(len(task.validation)), needs=needs)
    return logits(batch).double()


def mean_precision(scores: Tensor, labels: Tensor) -> float:
    return float(np.nanmean(sklearn_precisions(scores.numpy(), labels.numpy())))


@pytest.mark.parametrize("name", TUNED)
def test_epochs_are_chosen_by_the_measure_of_the_test(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration, "STEPS", 20)
    cls: Any = METHODS.get(name)
    task = soft_task()
    predictor = cls(**TUNED[name]).fit(task)
    needs, labels = info_of(name).needs, task.validation.labels
    z = on_validation(task, predictor.uncalibrated, needs)
    expected = mean_precision(z.softmax(-1), labels)
    assert max(task.curves["validation"].values()) == pytest.approx(expected, abs=1e-5)
    shifted = on_validation(task, predictor.logits, needs).softmax(-1)
    for other in (z, shifted):
        assert abs(mean_precision(other, labels) - expected) > 1e-4  # so that the choice differs


def test_the_search_of_tip_adapter_is_by_the_measure_of_the_test(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pairs = [(a, b) for b in (0.5, 4.0) for a in (0.3, 3.0)]
    monkeypatch.setattr(tip_adapter, "ALPHAS", torch.tensor([0.3, 3.0]))
    monkeypatch.setattr(tip_adapter, "BETAS", torch.tensor([0.5, 4.0]))
    task = soft_task()
    labels = task.validation.labels
    found = {}
    for alpha, beta in pairs:
        fixed = tip_adapter.TipAdapter(alpha=alpha, beta=beta, search=False).fit(task)
        z = on_validation(task, fixed.uncalibrated, "features")
        found[alpha, beta] = [mean_precision(x, labels) for x in (z.softmax(-1), z)]
    by_softmax, by_logits = (max(found, key=lambda pair: found[pair][i]) for i in (0, 1))
    assert by_softmax != by_logits
    chosen: Any = tip_adapter.TipAdapter().fit(task).logits
    assert (float(chosen.alpha), float(chosen.beta)) == pytest.approx(by_softmax)


MULTI = [name for name, e in METHODS.entries().items() if "multi" in e.options.get("tasks", ())]


def fitted(name: str) -> tuple[Predictor, Any, str]:
    cls: Any = METHODS.get(name)
    fields = {"epochs": 1, "finetune": True}
    method: Method = cls(**{n: v for n, v in fields.items() if n in cls.__dataclass_fields__})
    task, test = tiny_task(kind="multi")
    return method.fit(task), test, info_of(name).needs


@pytest.mark.parametrize("name", MULTI)
def test_a_calibration_is_one_scale_and_a_bias_by_class(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the default measure, average precision on logits, is that of the cosines."""
    monkeypatch.setattr(calibration, "STEPS", 5)
    predictor, test, needs = fitted(name)
    assert predictor.uncalibrated is not None
    batch = test.batch(np.arange(len(test)), needs=needs)
    with torch.no_grad():
        given, own = predictor.logits(batch).double(), predictor.uncalibrated(batch).double()
    if name not in ("zero_shot", "ncm"):  # nothing is fitted for a sigmoid there
        assert float((given - own).mean(0).std()) > 0.1
    if needs == "images" or name == "linear_probe":
        assert float(own.abs().max()) <= 25.0  # a head's scale, times a cosine
    given, own = given - given.mean(0), own - own.mean(0)
    scale = float((given * own).sum() / own.square().sum())
    assert scale > 0
    torch.testing.assert_close(given, scale * own, atol=1e-4, rtol=1e-4)
