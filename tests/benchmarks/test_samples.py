from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import randomness, transforms
from benchmarks.augment import augmented, random_crop
from benchmarks.datasets._image_files import FileImages
from benchmarks.datasets.base import ArrayImages, Split
from benchmarks.features import FeatureStore
from benchmarks.samples import SplitSamples
from benchmarks.tiny import tiny_backbone, tiny_data

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
    raw = [tiny_data().train.images.read(int(i)) for i in INDEX]
    assert torch.equal(batch.inputs, tiny_backbone().prepare(raw))


def test_features_are_those_of_the_images(samples: SplitSamples) -> None:
    pixels = samples.batch(INDEX, needs="images").inputs
    expected = tiny_backbone().encode_images(pixels)
    torch.testing.assert_close(samples.features()[INDEX], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["flip", "crop_flip"])
def test_augmentation_belongs_to_the_sample(samples: SplitSamples, kind: str) -> None:
    batch = samples.batch(INDEX, needs="images", augment=kind, stream=(0, 3)).inputs
    assert torch.equal(batch[0], batch[3])  # sample 5, twice
    alone = samples.batch(INDEX[2:3], needs="images", augment=kind, stream=(0, 3)).inputs
    assert torch.equal(alone[0], batch[2])
    plain = samples.batch(INDEX, needs="images").inputs
    keys = randomness.sample_keys(tuple(tiny_data().train.ids[i] for i in INDEX))
    assert torch.equal(batch, augmented(plain, kind, keys, (0, 3)))


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
    crops = on_disk.batch(INDEX, needs="images", augment="crop_flip", stream=(0, 3)).inputs
    size = tiny_backbone().image_size
    expected = [random_crop(split.images.read(i), size, samples.keys[i], (0, 3)) for i in INDEX]
    assert torch.equal(crops, tiny_backbone().prepare(expected))


def test_crops_are_of_the_whole_image_where_the_transform_cuts_its_borders_off() -> None:
    size = tiny_backbone().image_size
    framed = np.full((32, 2 * size, 2 * size, 3), 255, dtype=np.uint8)
    framed[:, 2:-2, 2:-2] = 0  # white is what a centre crop of 7/8 does not show
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


def test_a_part_of_a_batch(samples: SplitSamples) -> None:
    batch = samples.batch(INDEX, needs="features")
    part = batch[1:3]
    assert len(batch) == 4
    assert len(part) == 2
    assert torch.equal(part.inputs, batch.inputs[1:3])
    assert torch.equal(part.index, batch.index[1:3])


def test_progress_is_told_while_features_are_computed_and_only_then() -> None:
    told: list[tuple[int, int]] = []
    store = FeatureStore(None)
    split = tiny_data().test

    def samples() -> SplitSamples:
        return SplitSamples(
            split, tiny_backbone(), store, lambda done, total: told.append((done, total))
        )

    first = samples()
    assert told == []
    first.features()
    assert told == [(16, 16)]
    samples().features()
    assert told == [(16, 16)]


def test_a_split_whose_parts_do_not_fit() -> None:
    images = ArrayImages(np.zeros((2, 4, 4, 3), dtype=np.uint8))
    with pytest.raises(ValueError, match="length"):
        Split(images, np.array([0, 1]), ("a",))
