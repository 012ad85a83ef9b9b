from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import loading, randomness
from benchmarks.augment import Crops, SquareCrops, Squares, mirrored
from benchmarks.backbone import transforms
from benchmarks.conformance.tiny import tiny_backbone, tiny_data
from benchmarks.datasets.base import ArrayImages, Split
from benchmarks.datasets.carving import subset
from benchmarks.datasets.files.image_files import FileImages
from benchmarks.errors import DataError, UserError
from benchmarks.inputs.features import FeatureStore
from benchmarks.inputs.samples import SplitSamples
from tests.benchmarks.small import FEATURE

INDEX = np.array([5, 0, 33, 5])


@pytest.fixture(scope="module")
def samples() -> SplitSamples:
    return SplitSamples(tiny_data().train, tiny_backbone(), FeatureStore(None))


def test_labels_and_keys_are_in_the_order_of_the_split(samples: SplitSamples) -> None:
    split = tiny_data().train
    assert len(samples) == len(split) == 64
    np.testing.assert_array_equal(samples.labels.numpy(), split.labels)
    np.testing.assert_array_equal(samples.keys, randomness.sample_keys(split.ids))


def test_a_batch_of_features(samples: SplitSamples) -> None:
    batch = samples.batch(INDEX, needs="features")
    assert batch.images is None
    assert torch.equal(batch.index, torch.from_numpy(INDEX))
    assert batch.features is not None
    assert torch.equal(batch.features, samples.features()[INDEX])
    assert batch.inputs is batch.features


def test_a_batch_of_images(samples: SplitSamples) -> None:
    batch = samples.batch(INDEX, needs="images")
    assert batch.features is None
    images, backbone = tiny_data().train.images, tiny_backbone()
    transformed = [backbone.transform(Image.fromarray(images.read(int(i)))) for i in INDEX]
    assert torch.equal(batch.inputs, torch.stack(transformed))


def test_features_are_those_of_the_images(samples: SplitSamples) -> None:
    pixels = samples.batch(INDEX, needs="images").inputs
    expected = tiny_backbone().encode_images(pixels)
    torch.testing.assert_close(samples.features()[INDEX], expected, rtol=0, atol=FEATURE)


@pytest.mark.parametrize("kind", ["flip", "crop_flip", "square_crop"])
def test_augmentation_depends_on_the_sample_alone(samples: SplitSamples, kind: str) -> None:
    batch = samples.batch(INDEX, needs="images", augment=kind, stream=(0, 3)).inputs
    assert torch.equal(batch[0], batch[3])  # sample 5, twice
    alone = samples.batch(INDEX[2:3], needs="images", augment=kind, stream=(0, 3)).inputs
    assert torch.equal(alone[0], batch[2])
    again = samples.batch(INDEX, needs="images", augment=kind, stream=(0, 4)).inputs
    assert not torch.equal(batch, again)


def test_flipped_images_are_evaluation_pixels_mirrored(samples: SplitSamples) -> None:
    every = np.arange(len(samples))
    plain = samples.batch(every, needs="images").inputs
    flips = samples.batch(every, needs="images", augment="flip", stream=(0, 3)).inputs
    mirror = randomness.uniform(samples.keys, "augment", "flip", 0, 3) < 0.5
    assert 0 < mirror.sum() < len(mirror)
    for image, flip, which in zip(plain, flips, mirror, strict=True):
        assert torch.equal(flip, image.flip(-1) if which else image)


def _cropped_by_pil(
    samples: SplitSamples, index: np.ndarray, stream: tuple[int, int]
) -> np.ndarray:
    """(B, S, S, 3) crops as in torchvision: the box of whole pixels, resized, mirrored."""
    found, side = [], tiny_backbone().image_size
    crops = Crops.drawn(samples.keys[index], stream)
    mirror = mirrored(samples.keys[index], stream)
    for i, at in enumerate(index):
        image = tiny_data().train.images.read(int(at))
        top, left, height, width = crops.box(i, *image.shape[:2])
        part = Image.fromarray(image).crop((left, top, left + width, top + height))
        pixels = np.asarray(part.resize((side, side), Image.Resampling.BILINEAR))
        found.append(pixels[:, ::-1] if mirror[i] else pixels)
    return np.stack(found)


def test_images_in_files(samples: SplitSamples, tmp_path: Path) -> None:
    split = tiny_data().train
    files = tuple(f"{i}.png" for i in range(len(split)))
    for i, file in enumerate(files):
        Image.fromarray(split.images.read(i)).save(tmp_path / file)
    stored = dataclasses.replace(split, images=FileImages(tmp_path, files))
    on_disk = SplitSamples(stored, tiny_backbone(), FeatureStore(None))
    for kind in ("none", "flip"):
        batches = [
            s.batch(INDEX, needs="images", augment=kind, stream=(0, 3)) for s in (samples, on_disk)
        ]
        assert torch.equal(batches[0].inputs, batches[1].inputs)
    torch.testing.assert_close(samples.features(), on_disk.features())
    crops, batched = (
        s.batch(INDEX, needs="images", augment="crop_flip", stream=(0, 3)).inputs
        for s in (on_disk, samples)
    )
    expected = _cropped_by_pil(on_disk, INDEX, (0, 3))
    assert torch.equal(crops, tiny_backbone().normalise(torch.from_numpy(expected)))
    step = float(1 / 255 / min(tiny_backbone().preprocess["std"]))
    torch.testing.assert_close(batched, crops, rtol=0, atol=1.02 * step)  # PIL rounds


@pytest.mark.parametrize("least", [0.08, 1.0])
def test_squares_in_memory_and_in_files(
    samples: SplitSamples, tmp_path: Path, least: float
) -> None:
    split, side, backbone = tiny_data().train, tiny_backbone().image_size, tiny_backbone()
    files = tuple(f"{i}.png" for i in range(len(split)))
    for i, file in enumerate(files):
        Image.fromarray(split.images.read(i)).save(tmp_path / file)
    stored = dataclasses.replace(split, images=FileImages(tmp_path, files))
    whole, some = SplitSamples(stored, backbone, FeatureStore(None)), subset(stored, INDEX)
    carved = SplitSamples(some, backbone, FeatureStore(None))
    drawn, expected = SquareCrops.drawn(samples.keys[INDEX], (0, 3), least), []
    for i, at in enumerate(INDEX):
        image = Image.fromarray(split.images.read(int(at)))
        top, left, length, _ = drawn.box(i, image.height, image.width)
        part = image.crop((left, top, left + length, top + length))
        expected.append(np.asarray(part.resize((side, side), Image.Resampling.BICUBIC)))
    pixels = backbone.normalise(torch.from_numpy(np.stack(expected)))  # and no one is mirrored
    found = whole.batch(INDEX, needs="images", augment=Squares(least), stream=(0, 3)).inputs
    assert torch.equal(found, pixels)
    every = np.arange(len(INDEX))
    found = carved.batch(every, needs="images", augment=Squares(least), stream=(0, 3)).inputs
    assert torch.equal(found, pixels)
    found = samples.batch(INDEX, needs="images", augment=Squares(least), stream=(0, 3)).inputs
    step = float(1 / 255 / min(backbone.preprocess["std"]))
    torch.testing.assert_close(found, pixels, rtol=0, atol=1.15 * step)  # PIL rounds


def test_crops_use_the_whole_image_even_if_the_transform_crops_the_centre() -> None:
    size = tiny_backbone().image_size
    framed = np.full((32, 2 * size, 2 * size, 3), 255, dtype=np.uint8)
    framed[:, 2:-2, 2:-2] = 0  # a centre crop of 7/8 excludes the white border
    checkpoint = tiny_backbone()
    settings = transforms.named("lift", checkpoint.preprocess, checkpoint.model.visual)
    lift = dataclasses.replace(
        checkpoint, preprocess=settings, transform=transforms.pipeline(settings)
    )
    ids = tuple(f"{i}" for i in range(len(framed)))
    split = Split(ArrayImages(framed), np.zeros(len(framed), dtype=np.int64), ids)
    samples = SplitSamples(split, lift, FeatureStore(None))
    every, mean = np.arange(len(framed)), torch.tensor(settings["mean"]).view(-1, 1, 1)
    plain = samples.batch(every, needs="images").inputs
    assert torch.allclose(plain, plain[:1, :, :1, :1].expand_as(plain))
    crops = samples.batch(every, needs="images", augment="crop_flip", stream=(0, 3)).inputs
    white = (crops * torch.tensor(settings["std"]).view(-1, 1, 1) + mean).amax((1, 2, 3)) > 0.5
    assert white.sum() > len(framed) / 4


# ---- loader --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def on_disk(samples: SplitSamples, tmp_path_factory: pytest.TempPathFactory) -> SplitSamples:
    """The same images, enlarged, as JPEG files."""
    folder = tmp_path_factory.mktemp("jpeg")
    split = tiny_data().train
    files = tuple(f"{i}.jpg" for i in range(len(split)))
    for i, file in enumerate(files):
        Image.fromarray(split.images.read(i)).resize((200 - i, 150)).save(folder / file)
    stored = dataclasses.replace(split, images=FileImages(folder, files))
    return SplitSamples(stored, tiny_backbone(), FeatureStore(None))


@pytest.mark.parametrize("kind", ["none", "flip", "crop_flip", "square_crop"])
@pytest.mark.parametrize("where", ["samples", "on_disk"])
def test_the_loader_returns_the_same_images_in_any_batches(
    where: str, kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    source: SplitSamples = request.getfixturevalue(where)
    order = np.random.default_rng(0).permutation(len(source))
    one = source.batch(order, needs="images", augment=kind, stream=(0, 3)).inputs

    def loaded(size: int, first: int = 0) -> torch.Tensor:
        parts = [order[i : i + size] for i in range(first, len(order), size)]
        batches = list(source.loader(parts, needs="images", augment=kind, stream=(0, 3)))
        assert [b.index.tolist() for b in batches] == [p.tolist() for p in parts]
        return torch.cat([batch.inputs for batch in batches])

    for size in (5, 16, 64):
        torch.testing.assert_close(loaded(size), one)
    assert torch.equal(loaded(16), loaded(16))
    assert torch.equal(loaded(16, first=32), loaded(16)[32:])  # resumed
    monkeypatch.setattr(loading, "_pool", lambda: ThreadPoolExecutor(1))
    assert torch.equal(loaded(16), loaded(16))


def test_the_loader_returns_features(samples: SplitSamples) -> None:
    (batch,) = samples.loader([INDEX], needs="features")
    assert torch.equal(batch.inputs, samples.features()[INDEX])
    waited = samples.waited_s
    list(samples.loader([INDEX] * 3, needs="images"))
    assert samples.waited_s > waited


@pytest.mark.parametrize("views", ["whole", "five crops"])
def test_a_damaged_image_is_reported_when_its_batch_is_requested(
    views: str, tmp_path: Path
) -> None:
    split = tiny_data().train
    files = tuple(f"{i}.png" for i in range(len(split)))
    for i, file in enumerate(files):
        Image.fromarray(split.images.read(i)).save(tmp_path / file)
    (tmp_path / "20.png").write_bytes(b"no image")
    stored = dataclasses.replace(split, images=FileImages(tmp_path, files))
    source = SplitSamples(stored, tiny_backbone(), FeatureStore(None))
    parts = np.split(np.arange(32), 4)
    seen = 0
    with pytest.raises(DataError, match=r"20\.png: unreadable"):
        for batches in source.views(parts, needs="images", views=views):
            assert len([b for b in batches if len(b) == 8]) == (1 if views == "whole" else 5)
            seen += 1
    assert seen == 2
    with pytest.raises(DataError, match=r"20\.png: unreadable"):
        list(source.loader(parts, needs="images", augment="crop_flip"))


def test_an_unknown_augmentation(samples: SplitSamples) -> None:
    with pytest.raises(UserError, match="mixup"):
        samples.batch(INDEX, needs="images", augment="mixup")
    with pytest.raises(UserError, match="mixup"):
        list(samples.loader([INDEX], needs="images", augment="mixup"))


# ---- parts of it ---------------------------------------------------------------------------------


def test_a_part_of_a_batch(samples: SplitSamples) -> None:
    batch = samples.batch(INDEX, needs="features")
    part = batch[1:3]
    assert len(batch) == 4
    assert len(part) == 2
    assert torch.equal(part.inputs, batch.inputs[1:3])
    assert torch.equal(part.index, batch.index[1:3])


def test_progress_is_reported_only_while_features_are_computed() -> None:
    reported: list[tuple[int, int]] = []
    store = FeatureStore(None)
    split = tiny_data().test

    def samples() -> SplitSamples:
        return SplitSamples(
            split, tiny_backbone(), store, lambda done, total: reported.append((done, total))
        )

    first = samples()
    assert reported == []
    first.features()
    assert reported == [(16, 16)]
    samples().features()
    assert reported == [(16, 16)]


def test_a_split_with_inconsistent_lengths() -> None:
    images = ArrayImages(np.zeros((2, 4, 4, 3), dtype=np.uint8))
    with pytest.raises(ValueError, match="length"):
        Split(images, np.array([0, 1]), ("a",))
