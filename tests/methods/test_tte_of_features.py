"""Test-time ensembling of methods on features: five crops' frozen features, and the mean logits."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms as T

from benchmarks import backbones
from benchmarks.conformance.tiny import tiny_backbone, tiny_data, tiny_task
from benchmarks.datasets.base import ArrayImages
from benchmarks.errors import NotApplicable
from benchmarks.inputs.feature_index import FeatureIndex, feature_file
from benchmarks.inputs.features import FeatureStore
from benchmarks.run import runner
from benchmarks.run.display import Silent
from benchmarks.run.options import RunOptions
from benchmarks.sweep import estimate, plan
from benchmarks.sweep.cell import Cell
from benchmarks.sweep.estimate import Estimator
from benchmarks.sweep.settings import read_sweep
from methods.registry import METHODS
from methods.zero_shot import ZeroShot
from results.store import Store
from tests.benchmarks.small import FEATURE, FIELDS, PREPROCESS, make_clip_folder

ON_FEATURES = sorted(
    name
    for name, entry in METHODS.entries().items()
    if entry.options["needs"] == "features"
    and "tte" in {field.name for field in dataclasses.fields(METHODS.get(name))}
)
assert len(ON_FEATURES) >= 14


class Counting(ArrayImages):
    """Images that count how often they are read."""

    reads = 0

    def read(self, index: int) -> np.ndarray:
        self.reads += 1
        return super().read(index)


@pytest.fixture
def images() -> Counting:
    draw = np.random.default_rng(0)
    return Counting(draw.integers(0, 256, (6, 40, 52, 3), dtype=np.uint8))


def crops_by_hand(images: ArrayImages) -> torch.Tensor:
    """(N, 5, D) features of torchvision's five crops at 35 pixels: 32 + 24 * 32 / 224."""
    frozen = tiny_backbone()
    steps = T.Compose([T.Resize(35, T.InterpolationMode.BICUBIC), T.FiveCrop(32)])
    rows = []
    for image in images.array:
        views = [frozen.transform(crop) for crop in steps(Image.fromarray(image))]
        rows.append(frozen.encode_images(torch.stack(views)))
    return torch.stack(rows)


def test_features_of_five_crops(images: Counting, tmp_path: Path) -> None:
    reported = []
    store = FeatureStore(tmp_path, batch_size=4)
    found = store.five_crops(tiny_backbone(), images, lambda *at: reported.append(at))
    torch.testing.assert_close(found, crops_by_hand(images), rtol=0, atol=FEATURE)
    assert reported == [(4, 6), (6, 6)]
    assert images.reads == 6  # once for all five
    again = FeatureStore(tmp_path).five_crops(tiny_backbone(), images)
    assert torch.equal(again, found)
    assert images.reads == 6  # from the disk


def test_views_have_keys_of_their_own(images: Counting) -> None:
    frozen, store = tiny_backbone(), FeatureStore(None)
    wider = dataclasses.replace(frozen, preprocess=frozen.preprocess | {"margin": 9})
    keys = [
        store.image_key(frozen, images),
        store.crops_key(frozen, images),
        store.image_key(wider, images),
        store.crops_key(wider, images),
        store.crops_key(frozen, ArrayImages(images.array[:5])),
    ]
    assert len(set(keys)) == len(keys)


def test_a_transform_that_leaves_no_room_has_no_crops(images: Counting) -> None:
    frozen = tiny_backbone()
    longest = dataclasses.replace(frozen, preprocess=frozen.preprocess | {"resize_mode": "longest"})
    with pytest.raises(NotApplicable, match="longest"):
        FeatureStore(None).five_crops(longest, images)
    task, _ = tiny_task(backbone=longest)
    with pytest.raises(NotApplicable, match="longest"):
        ZeroShot(tte=True).fit(task)
    assert images.reads == 0


@pytest.mark.numeric
@pytest.mark.parametrize("name", ON_FEATURES)
def test_every_method_on_features_may_see_five_crops(name: str) -> None:
    cls = METHODS.get(name)
    fields = {field.name for field in dataclasses.fields(cls)}
    short = {"epochs": 2} if "epochs" in fields else {}
    for tte in (False, True):
        task, _ = tiny_task()
        predictor = cls(**short, tte=tte).fit(task)
        assert predictor.views == ("five crops" if tte else "whole")
        said = "mean logits of five 32-pixel crops of test images resized to 35"
        assert (said in task.notes) == tte


def cells(folder: Path, *rows: str, backbone: str = "glyph") -> list[Cell]:
    file = folder / "sweep.yaml"
    file.write_text(
        f"methods: [{', '.join(rows)}]\ndatasets: [glyphs100_lt]\nseeds: [0]\ndevice: cpu\n"
        f"backbone: {backbone}\nset: {{glyphs100_lt: {json.dumps(FIELDS)}}}\n",
        encoding="utf-8",
    )
    return plan.expand(read_sweep(file, {})).cells


@pytest.mark.numeric
def test_the_recorded_logits_are_the_mean_over_the_crops(tmp_path: Path, cache: Path) -> None:
    both = cells(tmp_path, "zero_shot", "{zero_shot: {tte: true}}")
    out = tmp_path / "out"
    options = RunOptions(out=out, data_root=tmp_path, device=torch.device("cpu"), save_logits=True)
    plain, ensembled = runner.run(both, options, Silent())
    assert plain.status == ensembled.status == "done"
    data = both[0].family.load(tmp_path, 0)
    frozen = backbones.load("glyph", device=torch.device("cpu"), precision="fp32")
    prompts = [[t.format(n) for t in data.texts.templates] for n in data.texts.class_names]
    texts = torch.stack([frozen.encode_text(group).mean(0) for group in prompts])
    weight = torch.nn.functional.normalize(texts, dim=-1).T * frozen.logit_scale
    steps = T.Compose([T.Resize(35, T.InterpolationMode.BICUBIC), T.FiveCrop(32)])
    found, whole = [], []
    for i in range(len(data.test)):
        image = Image.fromarray(data.test.images.read(i))
        views = torch.stack([frozen.transform(crop) for crop in (*steps(image), image)])
        logits = frozen.encode_images(views) @ weight
        found.append(logits[:5].mean(0))
        whole.append(logits[5])
    store = Store(out)
    for record, expected in ((plain, whole), (ensembled, found)):
        ours = torch.from_numpy(store.predictions(record.key)["logits"])
        torch.testing.assert_close(ours, torch.stack(expected), atol=2e-3, rtol=0)
    assert float((torch.stack(found) - torch.stack(whole)).abs().max()) > 0.1


@pytest.mark.children  # a worker that prepares the crops goes on
def test_a_record_says_why_there_are_no_crops(tmp_path: Path, cache: Path) -> None:
    folder = make_clip_folder(tmp_path / "clip")
    config = json.loads((folder / "open_clip_config.json").read_text("utf-8"))
    config["preprocess_cfg"] = PREPROCESS | {"resize_mode": "longest"}
    (folder / "open_clip_config.json").write_text(json.dumps(config), encoding="utf-8")
    wanted = cells(tmp_path, "{zero_shot: {tte: true}}", backbone=f"local-dir:{folder}")
    options = RunOptions(out=tmp_path / "out", data_root=tmp_path, device=torch.device("cpu"))
    (record,) = runner.run(wanted, options, Silent())
    assert record.status == "not_applicable"
    assert record.error is not None
    assert "no five crops" in record.error


def test_the_pass_over_the_crops_is_planned(tmp_path: Path) -> None:
    plain, ensembled = cells(tmp_path, "zero_shot", "{zero_shot: {tte: true}}")
    (tmp_path / "features").mkdir()
    index = FeatureIndex(tmp_path / "features")
    estimator = Estimator([], "cpu", index)
    assert plain.features_name == ensembled.features_name
    assert list(estimator.passes([plain])) == [plain.features_name]
    passes = estimator.passes([plain, ensembled])
    assert list(passes) == [plain.features_name, ensembled.crops_name]
    towers = estimate.towers_of(plain.backbone)
    sizes = plain.family.sizes()
    assert towers is not None
    assert sizes is not None
    seconds = [guess.seconds for _, guess in passes.values()]
    each = towers.image / estimate.FLOPS["cpu"]
    assert seconds == pytest.approx([sum(sizes) * each, 5 * sizes[1] * each])
    index.add(ensembled.crops_name, ["image-1"])
    feature_file(tmp_path / "features", "image-1").touch()
    assert list(estimator.passes([ensembled])) == [plain.features_name]


def test_crops_are_among_the_shared_tensors() -> None:
    _, test = tiny_task()
    assert "features of five crops" not in test.tensors()
    crops = test.crops()
    assert crops.shape == (len(tiny_data().test), 5, 16)
    assert test.tensors()["features of five crops"] is crops
