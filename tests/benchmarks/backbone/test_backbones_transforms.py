"""Evaluation transforms: that of the checkpoint, and those in the code of two papers."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms as T
from torchvision.transforms import InterpolationMode

from benchmarks.backbone import transforms
from benchmarks.backbone.names import TRANSFORMS
from benchmarks.backbones import Backbone
from benchmarks.errors import UserError
from benchmarks.loading import THREADS
from benchmarks.views import enlarged, five_crops
from tests.benchmarks.small import PREPROCESS, load_on_cpu, pixels_of

pytestmark = pytest.mark.usefixtures("small_arch")


def _images(*shapes: tuple[int, int]) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.integers(0, 256, (*s, 3), dtype=np.uint8) for s in shapes]


def test_images_of_the_input_size_equal_the_transforms_output(small: Backbone) -> None:
    images = _images((32, 32), (32, 32), (32, 32))
    expected = torch.stack([small.transform(Image.fromarray(i)) for i in images])
    assert torch.equal(pixels_of(small, images), expected)


def test_images_of_other_sizes_equal_the_transforms_output(small: Backbone) -> None:
    images = _images((32, 32), (40, 64), (20, 20))
    prepared = pixels_of(small, images)
    assert prepared.shape == (3, 3, 32, 32)
    expected = torch.stack([small.transform(Image.fromarray(i)) for i in images])
    assert torch.equal(prepared, expected)


@pytest.mark.skipif(THREADS < 2, reason="one processor")
def test_images_are_prepared_in_parallel(small: Backbone) -> None:
    both = threading.Barrier(2)

    def wait(image: Image.Image) -> Image.Image:
        both.wait(timeout=20)  # breaks if the images are processed one after another
        return image

    images = _images((20, 40), (50, 41))
    transform = T.Compose([wait, *small.transform.transforms])  # type: ignore[attr-defined]
    pixels = pixels_of(dataclasses.replace(small, transform=transform), images)
    assert torch.equal(pixels, pixels_of(small, images))


def test_normalisation_by_hand(small: Backbone) -> None:
    pixels = torch.tensor([[[[0, 255, 51]]]], dtype=torch.uint8)  # one pixel
    mean, std = PREPROCESS["mean"], PREPROCESS["std"]
    expected = [(v - m) / s for v, m, s in zip((0.0, 1.0, 0.2), mean, std, strict=True)]  # type: ignore[call-overload]
    result = small.normalise(pixels)
    assert result.shape == (1, 3, 1, 1)
    assert result.flatten().tolist() == pytest.approx(expected, rel=1e-6)


def test_the_transform_has_a_hash_of_its_settings(small: Backbone, clip_folder: Path) -> None:
    assert small.preprocess_hash == load_on_cpu(f"local-dir:{clip_folder}").preprocess_hash
    for change in ({"mean": [0.5, 0.5, 0.5]}, {"interpolation": "bilinear"}, {"size": 64}):
        other = dataclasses.replace(small, preprocess=small.preprocess | change)
        assert other.preprocess_hash != small.preprocess_hash


# ---- by name -------------------------------------------------------------------------------------

SHAPES = [(32, 32), (36, 36), (40, 64), (65, 33), (20, 20), (7, 90), (1, 1), (37, 32), (56, 56)]
"""Height and width: the input's side, lift's size after resizing, odd, smaller and long ones."""
OWN = T.Normalize(PREPROCESS["mean"], PREPROCESS["std"])
IMAGENET = T.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
BICUBIC = InterpolationMode.BICUBIC
BY_HAND = {
    "checkpoint": [T.Resize(32, BICUBIC), T.CenterCrop(32), T.ToTensor(), OWN],
    "lift": [T.Resize(36), T.CenterCrop(32), T.ToTensor(), OWN],  # 32 * 256 / 224 = 36.6
    "lift_plus": [T.Resize(36, BICUBIC), T.CenterCrop(32), T.ToTensor(), OWN],
    "lmpt": [T.Resize((32, 32)), T.ToTensor(), IMAGENET],
}
"""Resize alone is bilinear, as in the papers' code."""


def _stacked(steps: Sequence[object], images: Sequence[np.ndarray]) -> torch.Tensor:
    return torch.stack([T.Compose(steps)(Image.fromarray(image)) for image in images])


@pytest.mark.parametrize("name", TRANSFORMS)
def test_pixels_of_each_transform(clip_folder: Path, name: str) -> None:
    loaded = load_on_cpu(f"local-dir:{clip_folder}", name)
    images = _images(*SHAPES)
    expected = _stacked(BY_HAND[name], images)
    found = torch.stack([loaded.transform(Image.fromarray(image)) for image in images])
    assert torch.equal(found, expected)
    for count in (1, len(images)):  # images of the input's size may take a shortcut
        torch.testing.assert_close(pixels_of(loaded, images[:count]), expected[:count])
    assert loaded.image_size == 32


def test_the_sizes_of_the_papers() -> None:
    """At 224: resized to 256; for five crops enlarged by 24 pixels, or 21 with patches of 14."""
    for patch, margin in ((16, 24), (14, 21), ((16, 16), 24)):
        visual = torch.nn.Module()
        visual.patch_size = patch  # type: ignore[assignment]
        settings = transforms.named("lift", {"size": (224, 224)}, visual)
        assert (settings["resize"], settings["margin"]) == (256, margin)
        settings = transforms.named("lift_plus", {"size": (224, 224)}, visual)
        assert (settings["resize"], settings["margin"]) == (256, 24)
    assert "margin" not in transforms.named("lift", {"size": 224}, torch.nn.Module())


def test_transforms_have_different_hashes(clip_folder: Path, small: Backbone) -> None:
    name = f"local-dir:{clip_folder}"
    hashes = {t: load_on_cpu(name, t).preprocess_hash for t in TRANSFORMS}
    assert len(set(hashes.values())) == len(TRANSFORMS)
    assert hashes["checkpoint"] == small.preprocess_hash
    assert load_on_cpu(name, "lift").id == small.id


def test_an_unknown_transform(clip_folder: Path) -> None:
    with pytest.raises(
        UserError, match=r"Unknown transform 'imagenet'.*checkpoint, lift, lift_plus, lmpt"
    ):
        load_on_cpu(f"local-dir:{clip_folder}", "imagenet")


@pytest.mark.parametrize("name", TRANSFORMS)
def test_five_crops_of_each_transform(clip_folder: Path, name: str) -> None:
    loaded = load_on_cpu(f"local-dir:{clip_folder}", name)
    images = _images((32, 32), (40, 64), (65, 33))
    # 24 pixels at 224 are 3 at 32; LIFT's code adds one and a half patches, here of 16 pixels,
    # and LIFT+'s code 24 pixels for every input.
    resize = {
        "checkpoint": T.Resize(35, BICUBIC),
        "lift": T.Resize(56),
        "lift_plus": T.Resize(56, BICUBIC),
        "lmpt": T.Resize((35, 35)),
    }[name]
    crops = [T.FiveCrop(32)(resize(Image.fromarray(image))) for image in images]
    normalise = BY_HAND[name][-1]
    large = [enlarged(loaded.preprocess, loaded.image_size, image) for image in images]
    seen = [loaded.normalise(pixels) for pixels in five_crops(large, loaded.image_size)]
    assert len(seen) == 5
    for view, pixels in enumerate(seen):
        expected = torch.stack([normalise(T.ToTensor()(c[view])) for c in crops])
        torch.testing.assert_close(pixels, expected)


@pytest.mark.parametrize("mode", ["squash", "longest"])
def test_a_resize_mode_set_by_the_checkpoint(clip_folder: Path, tmp_path: Path, mode: str) -> None:
    folder = shutil.copytree(clip_folder, tmp_path / mode)
    config = json.loads((folder / "open_clip_config.json").read_text("utf-8"))
    config["preprocess_cfg"] |= {"resize_mode": mode, "interpolation": "bilinear"}
    (folder / "open_clip_config.json").write_text(json.dumps(config), encoding="utf-8")
    loaded = load_on_cpu(f"local-dir:{folder}")
    images = _images((40, 64), (32, 32))
    expected = _stacked([T.Resize((32, 32)), T.ToTensor(), OWN], images)
    if mode == "longest":  # 40 × 64 to 20 × 32, and 6 black rows above and below
        whole = T.Compose([T.Resize((20, 32)), T.ToTensor()])(Image.fromarray(images[0]))
        expected[0] = OWN(torch.nn.functional.pad(whole, (0, 0, 6, 6)))
    torch.testing.assert_close(pixels_of(loaded, images), expected)
    for name in ("lift", "lift_plus", "lmpt"):
        named = load_on_cpu(f"local-dir:{folder}", name)
        torch.testing.assert_close(pixels_of(named, images), _stacked(BY_HAND[name], images))


def test_identifying_a_backbone_does_not_import_torch() -> None:
    code = "import benchmarks.backbone.identify, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("resize", [None, 16])
def test_a_strip_is_cut_before_it_is_resized(
    resize: int | None, turned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {
        "size": 8, "mean": (0.5,) * 3, "std": (0.5,) * 3,
        "interpolation": "bicubic", "resize_mode": "shortest",
    } | ({"resize": resize} if resize else {})  # fmt: skip
    pixels = np.random.default_rng(0).integers(0, 256, (2, 301, 3), dtype=np.uint8)
    strip = Image.fromarray(pixels.transpose(1, 0, 2).copy() if turned else pixels)
    whole = transforms.pipeline(settings)(strip)
    monkeypatch.setattr(transforms, "MOST_PIXELS", 8 * 8 * 80)
    assert torch.equal(transforms.pipeline(settings)(strip), whole)
    assert transforms.framing(transforms.pipeline(settings))(strip).size == (8, 8)
    cut = transforms._middle(resize or 8, strip)
    assert sorted(cut.size) == [2, 41 if resize else 161]


def test_ordinary_images_are_resized_as_a_whole() -> None:
    image = Image.new("RGB", (4000, 30))
    assert transforms._middle(224, image) is image
    cut = transforms._middle(224, Image.new("RGB", (5001, 2)))
    assert (cut.width * 112) * 224 == pytest.approx(transforms.MOST_PIXELS, rel=0.01)
    assert cut.height == 2
