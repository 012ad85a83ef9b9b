"""Test-time ensembling: five crops against torchvision, and the recorded mean."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms as T

from benchmarks import backbones
from benchmarks.backbones import Backbone
from benchmarks.conformance.tiny import tiny_backbone, tiny_task
from benchmarks.errors import NotApplicable
from benchmarks.inputs.feature_index import FeatureIndex
from benchmarks.run import runner
from benchmarks.run.display import Silent
from benchmarks.run.options import RunOptions
from benchmarks.sweep import estimate, plan
from benchmarks.sweep.cell import Cell
from benchmarks.sweep.estimate import Estimator
from benchmarks.sweep.settings import read_sweep
from benchmarks.views import enlarged, enlarged_size, five_crops
from methods.lift import Lift
from methods.parts.image.finetune import adapted, finetune, text_head
from methods.parts.losses.single_label.ce import cross_entropy
from methods.parts.training.loop import Schedule
from reports.aggregate import build_tables
from results.store import Store
from tests.benchmarks.small import FIELDS


def backbone(**preprocess: Any) -> Backbone:
    return dataclasses.replace(
        tiny_backbone(), preprocess={**tiny_backbone().preprocess, **preprocess}
    )


def images(*shapes: tuple[int, int]) -> list[np.ndarray]:
    draw = np.random.default_rng(0)
    return [draw.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in shapes]


@pytest.mark.parametrize(
    ("side", "enlarged"), [(224, 248), (32, 35), (240, 266), (336, 372), (384, 425)]
)
def test_the_size_of_enlarged_images(side, enlarged):
    frozen = backbone(size=side)
    assert enlarged_size(frozen.preprocess, frozen.image_size) == enlarged  # S + 24 S / 224


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("mode", ["shortest", "squash"])
def test_five_crops_are_those_of_torchvision(mode, interpolation):
    frozen = backbone(resize_mode=mode, interpolation=interpolation)
    raw = images((32, 32), (50, 40), (33, 90), (20, 24))
    reference = T.Compose(
        [
            T.Resize((35, 35) if mode == "squash" else 35, T.InterpolationMode(interpolation)),
            T.FiveCrop(32),
            T.Lambda(lambda crops: torch.stack([T.functional.to_tensor(c) for c in crops])),
            T.Normalize([0.45] * 3, [0.25] * 3),
        ]
    )
    expected = torch.stack([reference(Image.fromarray(image)) for image in raw], 1)
    large = [enlarged(frozen.preprocess, frozen.image_size, image) for image in raw]
    ours = torch.stack([frozen.normalise(crops) for crops in five_crops(large, frozen.image_size)])
    assert ours.shape == (5, 4, 3, 32, 32)
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=0)


def test_a_transform_that_cannot_be_enlarged_is_refused_before_training():
    frozen = backbone(resize_mode="longest")
    steps = []
    task, _ = tiny_task(backbone=frozen, progress=lambda *step: steps.append(step))
    with pytest.raises(NotApplicable, match="longest"):
        Lift(epochs=1, tte=True).fit(task)
    assert not steps


def test_predictors_request_crops_only_with_tte():
    task, _ = tiny_task()
    schedule = Schedule(1, 32, 0.1)
    predictors = [
        finetune(task, adapted(task, "none"), text_head(task), cross_entropy, schedule, tte=tte)
        for tte in (False, True)
    ]
    assert [p.views for p in predictors] == ["whole", "five crops"]
    assert task.notes == ["mean logits of five 32-pixel crops of test images resized to 35"]


def test_five_views_are_in_the_estimate(tmp_path: Path):
    estimator = Estimator([], "cpu", FeatureIndex(None))
    first, second = both(tmp_path)
    plain, ensembled = (estimator.cell(cell).seconds for cell in (first, second))
    assert plain and ensembled
    towers = estimate.towers_of(first.backbone)
    assert towers is not None
    _, test = first.family.sizes()
    # A view of a test image costs one forward pass.
    assert ensembled - plain == pytest.approx(4 * test * towers.image / estimate.FLOPS["cpu"])


def both(folder: Path) -> list[Cell]:
    """lift without and with test-time ensembling on the small world."""
    file = folder / "sweep.yaml"
    file.write_text(
        "methods: [{lift: {epochs: 1}}, {lift: {epochs: 1, tte: true}}]\n"
        "datasets: [glyphs100_lt]\nseeds: [0]\n"
        f"device: cpu\nset: {{glyphs100_lt: {json.dumps(FIELDS)}}}\n",
        encoding="utf-8",
    )
    return plan.expand(read_sweep(file, {})).cells


def test_the_recorded_logits_are_the_mean_over_the_crops(tmp_path: Path):
    cells = both(tmp_path)
    plain, ensembled = runner.run(
        cells,
        RunOptions(
            out=tmp_path / "out", data_root=tmp_path, device=torch.device("cpu"), save_logits=True
        ),
        Silent(),
    )
    assert plain.status == ensembled.status == "done"
    assert 0 <= plain.cost.data_wait_s < plain.cost.fit_s
    assert not any("crops" in note for note in plain.notes)
    assert any("five 32-pixel crops" in note for note in ensembled.notes)

    (table,) = build_tables([plain, ensembled])
    assert {row.label for row in table.rows} == {"lift (tte=false)", "lift (tte=true)"}

    data = cells[0].family.load(tmp_path, 0)
    frozen = backbones.load("glyph", device=torch.device("cpu"), precision="fp32")
    task, test = tiny_task(data=data, backbone=frozen)
    predictor = Lift(**cells[0].config).fit(task)
    crops = T.Compose([T.Resize(35, T.InterpolationMode.BICUBIC), T.FiveCrop(32)])
    batch = test.batch(np.arange(len(test)), needs="images")
    views = [crops(Image.fromarray(data.test.images.read(i))) for i in range(len(test))]
    with torch.no_grad():
        whole = predictor.logits(batch)
        each = [
            predictor.logits(
                dataclasses.replace(
                    batch, images=torch.stack([frozen.transform(view[i]) for view in views])
                )
            )
            for i in range(5)
        ]
    store = Store(tmp_path / "out")
    for record, expected in ((plain, whole), (ensembled, torch.stack(each).mean(0))):
        found = torch.from_numpy(store.predictions(record.key)["logits"])
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    assert float((whole - torch.stack(each).mean(0)).abs().max()) > 0.01
