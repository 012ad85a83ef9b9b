"""`calibrate`: zero-shot accuracies against known ones, on a small tree of images."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from sklearn.metrics import average_precision_score

import run_benchmarks
from benchmarks.backbone.identify import identify
from benchmarks.cli.parts.calibration import calibrate, zero_shot
from benchmarks.conformance.tiny import tiny_backbone, tiny_data
from benchmarks.errors import DataMissing, UserError
from benchmarks.inputs.features import FeatureStore
from benchmarks.sweep.settings import Sweep
from results.published import Published

pytestmark = pytest.mark.usefixtures("cache")

CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
TEMPLATES = (
    "a photo of a {}.", "a blurry photo of a {}.", "a black and white photo of a {}.",
    "a low contrast photo of a {}.", "a high contrast photo of a {}.", "a bad photo of a {}.",
    "a good photo of a {}.", "a photo of a small {}.", "a photo of a big {}.",
    "a photo of the {}.", "a blurry photo of the {}.", "a black and white photo of the {}.",
    "a low contrast photo of the {}.", "a high contrast photo of the {}.",
    "a bad photo of the {}.", "a good photo of the {}.", "a photo of the small {}.",
    "a photo of the big {}.",
)  # fmt: skip
"""CIFAR-10's prompts of openai/CLIP, data/prompts.md, as published."""
TEST = 3


@pytest.fixture(scope="module")
def data(clip_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """A class-folder CIFAR-10 of 12 training and 3 test images a class, and the right answer.

    The right answer is computed with open_clip and PIL alone. Test images are given to classes by
    what the model sees in them, as far as it goes, so that the answer is not that of chance.
    """
    import open_clip

    name = f"local-dir:{clip_folder}"
    model, _, transform = open_clip.create_model_and_transforms(name)
    model.eval()
    tokenizer = open_clip.get_tokenizer(name)
    random = np.random.default_rng(0)
    pixels = [
        (random.integers(0, 256, 3) + random.normal(0, random.integers(1, 99), (32, 32, 3)))
        .clip(0, 255)
        .astype(np.uint8)
        for _ in range(400)
    ]
    images = [Image.fromarray(array) for array in pixels]
    with torch.no_grad():
        weights = []
        for label in CLASSES:
            texts = model.encode_text(tokenizer([t.format(label) for t in TEMPLATES]))
            mean = (texts / texts.norm(dim=-1, keepdim=True)).mean(0)
            weights.append(mean / mean.norm())
        seen = model.encode_image(torch.stack([transform(image) for image in images]))
        predicted = (seen @ torch.stack(weights).T).argmax(-1).tolist()

    root = tmp_path_factory.mktemp("data")
    left = list(range(len(images)))
    right = 0
    for c, label in enumerate(CLASSES):
        own = [i for i in left if predicted[i] == c][:TEST]
        own += [i for i in left if i not in own][: TEST - len(own)]
        right += sum(predicted[i] == c for i in own)
        left = [i for i in left if i not in own]
        _save(root / "cifar10/test" / label, [images[i] for i in own], "t")
    for label in CLASSES:
        _save(root / "cifar10/train" / label, [images[left.pop()] for _ in range(12)], "r")
    accuracy = 100 * right / (TEST * len(CLASSES))
    assert accuracy >= 20, "no better than chance: the test would show nothing"
    return root, accuracy


def _save(folder: Path, images: list[Image.Image], stem: str) -> None:
    folder.mkdir(parents=True)
    for i, image in enumerate(images):
        image.save(folder / f"{stem}_{i}.png")


@pytest.fixture
def run(
    data: tuple[Path, float], clip_folder: Path
) -> Callable[[list[Published]], tuple[int, str]]:
    def call(known: list[Published]) -> tuple[int, str]:
        console = Console(width=100, file=io.StringIO(), color_system=None)
        sweep = Sweep(
            backbone=f"local-dir:{clip_folder}", data_root=data[0], device="cpu",
            precision="fp32", offline=True,
        )  # fmt: skip
        status = calibrate(sweep, console, known)
        return status, console.file.getvalue()  # type: ignore[attr-defined]

    return call


def known_for(backbone: str, overall: float, **changes: object) -> Published:
    values: dict[str, object] = {
        "source": "computed here", "kind": "calibration", "name": "CLIP", "dataset": "cifar10_lt",
        "method": "zero_shot", "backbone": backbone, "values": {"overall": overall}, "tte": False,
        "external_data": False, "split": "", "groups": "", "transform": "checkpoint",
        "tolerance": 0.3, "test_images": 30,
    }  # fmt: skip
    return Published(**(values | changes))  # type: ignore[arg-type]


def known(clip_folder: Path, overall: float, **changes: object) -> Published:
    return known_for(identify(f"local-dir:{clip_folder}").name, overall, **changes)


def row(text: str, dataset: str = "cifar10_lt") -> list[str]:
    return next(line.split() for line in text.splitlines() if line.split()[:1] == [dataset])


def test_the_right_value_passes(run, data, clip_folder) -> None:
    accuracy = data[1]
    status, text = run([known(clip_folder, accuracy)])
    assert row(text)[1:] == [f"{accuracy:.2f}", f"{accuracy:.2f}", "+0.00", "pass"]
    assert status == 0
    assert "weights:" not in text


def test_the_nearest_of_two_public_values_counts(run, data, clip_folder) -> None:
    accuracy = data[1]
    both = [known(clip_folder, accuracy + 0.5), known(clip_folder, accuracy - 0.25)]
    status, text = run(both)
    assert "+0.25 pass" in " ".join(row(text))
    assert status == 0
    assert run(both[:1])[0] == 1


def test_a_wrong_value_fails_and_says_what_to_check(run, data, clip_folder) -> None:
    status, text = run([known(clip_folder, data[1] + 5)])
    assert row(text)[-2:] == ["−5.00", "FAIL"]
    assert status == 1
    for word in ("weights:", "activation:", "preprocessing:", "bicubic", "class names and prompts"):
        assert word in text


def test_an_unchecked_data_set_is_no_failure(run, data, clip_folder) -> None:
    other = known(clip_folder, 50.0, dataset="cifar100_lt")
    status, text = run([known(clip_folder, data[1]), other])
    assert " ".join(row(text, "cifar100_lt")).endswith("not checked: no data")
    assert status == 0
    status, text = run([other])
    assert status == 2
    assert "run_benchmarks.py download cifar100_lt" in " ".join(text.split())


def test_an_incomplete_test_set_is_not_checked(run, data, clip_folder) -> None:
    status, text = run([known(clip_folder, data[1], test_images=10_000)])
    assert "not checked: 30 of 10,000 test images" in " ".join(row(text))
    assert status == 2


def test_damaged_data_fail(run, data, clip_folder, tmp_path) -> None:
    folder = tmp_path / "cifar10"
    for split in ("train", "test"):
        for label in CLASSES:
            _save(folder / split / label, [Image.new("RGB", (32, 32))], "x")
    (folder / "test/cat/x_0.png").write_bytes(b"no image")
    console = Console(width=300, file=io.StringIO(), color_system=None)
    sweep = Sweep(backbone=f"local-dir:{clip_folder}", data_root=tmp_path, device="cpu")
    assert calibrate(sweep, console, [known(clip_folder, 50.0)]) == 1
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "not checked: damaged data" in text
    assert "test/cat/x_0.png" in text


def test_a_weight_file_is_checked_against_openais_values(small_arch, data, tmp_path) -> None:
    import open_clip

    model = open_clip.create_model(small_arch)
    file = tmp_path / "mine.pt"
    torch.save(model.state_dict(), file)
    console = Console(width=100, file=io.StringIO(), color_system=None)
    sweep = Sweep(backbone=f"{small_arch}/{file}", data_root=data[0], device="cpu")
    entry = known_for(f"{small_arch}-quickgelu/openai", 99.0, test_images=None)
    assert calibrate(sweep, console, [entry]) == 1
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert f"checked as {small_arch}-quickgelu/openai" in text.replace("\n", "")


def test_average_precision_is_taken_on_the_logits() -> None:
    world, backbone = tiny_data("multi"), tiny_backbone()
    images = torch.stack(
        [
            backbone.transform(Image.fromarray(world.test.images.read(i)))
            for i in range(len(world.test))
        ]
    )
    with torch.no_grad():
        seen = torch.nn.functional.normalize(backbone.model.encode_image(images), dim=-1)  # type: ignore[operator]
        texts = []
        for name in world.texts.class_names:
            prompts = backbone.tokenizer([t.format(name) for t in world.texts.templates])
            each = torch.nn.functional.normalize(backbone.model.encode_text(prompts), dim=-1)  # type: ignore[operator]
            texts.append(torch.nn.functional.normalize(each.mean(0), dim=0))
    scores = (seen @ torch.stack(texts).T).numpy()
    expected = 100 * np.mean(
        [average_precision_score(world.test.labels[:, c], scores[:, c]) for c in range(4)]
    )
    assert zero_shot(world, backbone, FeatureStore(None)) == pytest.approx(expected, abs=1e-3)


# ---- the verb --------------------------------------------------------------------------------


def test_a_backbone_without_known_values_lists_those_with_some(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_benchmarks.main(["calibrate", "--backbone", "ViT-B-16/random"]) == 2
    text = " ".join(capsys.readouterr().out.split())
    assert "No zero-shot values of ViT-B-16/random are known" in text
    assert "ViT-L-14-quickgelu/openai" in text


def test_no_data_at_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_benchmarks.main(["calibrate", "--data-root", str(tmp_path), "--offline"]) == 2
    text = capsys.readouterr().out
    for dataset in ("cifar10_lt", "cifar100_lt", "imagenet_lt", "voc_lt"):
        assert " ".join(row(text, dataset)).endswith("not checked: no data")
    assert row(text)[1:4] == ["90.83", "/", "90.77"]


def test_a_missing_data_root_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_benchmarks.main(["calibrate", "--data-root", str(tmp_path / "no")]) == 2
    assert "no such folder" in capsys.readouterr().err


def test_missing_weights_are_reported_once_there_is_data(data: tuple[Path, float]) -> None:
    entry = known_for("ViT-B-16-quickgelu/openai", 90.0)
    sweep = Sweep(data_root=data[0], device="cpu", offline=True)
    with pytest.raises(DataMissing, match="weights of 'ViT-B-16-quickgelu/openai'") as caught:
        calibrate(sweep, Console(file=io.StringIO()), [entry])
    assert isinstance(caught.value, UserError)
    assert "\n" not in str(caught.value)
