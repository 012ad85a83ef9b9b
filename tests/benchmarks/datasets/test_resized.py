"""Training images resized once, used for random crops only."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.augment import Crops, mirrored
from benchmarks.conformance.tiny import tiny_backbone
from benchmarks.datasets.base import Split
from benchmarks.datasets.carving import subset
from benchmarks.datasets.families.imagenet_lt import ImageNetLT
from benchmarks.datasets.files.image_files import FileImages
from benchmarks.datasets.files.resized import ResizedImages
from benchmarks.errors import DataError, UserError
from benchmarks.inputs.features import FeatureStore
from benchmarks.inputs.samples import SplitSamples
from tests.benchmarks.damage import damages, full_disk

SIDE = 48
SHAPES = [(90, 120), (120, 90), (60, 60), (48, 200), (30, 40), (49, 48)]
"""Heights and widths; the last but one is smaller than a copy."""
COPIES = [(48, 64), (64, 48), (48, 48), (48, 200), (30, 40), (49, 48)]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FileImages:
    monkeypatch.setenv("LONGTAIL_VLM_CACHE", str(tmp_path / "cache"))
    draw = np.random.default_rng(0)
    names = []
    for i, (height, width) in enumerate(SHAPES):
        coarse = draw.integers(0, 256, (6, 6, 3), dtype=np.uint8)
        names.append(f"{i}.png")
        Image.fromarray(coarse).resize((width, height)).save(tmp_path / names[-1])
    return FileImages(tmp_path, tuple(names))


def _copy(files: FileImages, i: int) -> Image.Image:
    height, width = COPIES[i]
    return Image.fromarray(files.read(i)).resize((width, height), Image.Resampling.BICUBIC)


def test_crops_are_taken_from_copies(files: FileImages) -> None:
    images = ResizedImages(files, SIDE)
    requested = []

    def lower_right(height: int, width: int) -> tuple[int, int, int, int]:
        requested.append((height, width))
        return height - 20, width - 25, 20, 25

    for i, (height, width) in enumerate(COPIES):
        found = images.crop(i, lower_right, 16)
        cut = _copy(files, i).crop((width - 25, height - 20, width, height))
        assert (found == np.asarray(cut.resize((16, 16), Image.Resampling.BILINEAR))).all()
    assert requested == COPIES


def test_everything_else_is_read_from_the_files(files: FileImages) -> None:
    images = ResizedImages(files, SIDE)
    assert len(images) == len(files)
    assert images.digest() == files.digest()
    for i in range(len(files)):
        assert (images.read(i) == files.read(i)).all()


def test_images_are_resized_once(files: FileImages) -> None:
    told: list[tuple[int, int]] = []
    ResizedImages(files, SIDE).make(lambda *done: told.append(done))
    assert told == [(6, 6)]
    for name in files.files:  # same size and time, not an image: must not be read
        path = files.root / name
        times = path.stat()
        path.write_bytes(b"\0" * times.st_size)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    again = ResizedImages(FileImages(files.root, files.files), SIDE)
    again.make(lambda *done: told.append(done))
    assert again.crop(2, lambda h, w: (0, 0, h, w), 16).shape == (16, 16, 3)
    assert told == [(6, 6)]
    with pytest.raises(DataError, match=r"0\.png"):  # copies of another size are made again
        ResizedImages(files, SIDE - 1).make()


def test_changed_files_are_resized_again(files: FileImages) -> None:
    ResizedImages(files, SIDE).make()
    Image.new("RGB", (60, 60), "red").save(files.root / files.files[2])
    changed = ResizedImages(FileImages(files.root, files.files), SIDE)
    assert changed.crop(2, lambda h, w: (0, 0, h, w), 1).tolist() == [[[255, 0, 0]]]


def test_only_batches_of_crops_change(files: FileImages) -> None:
    ids = tuple(files.files)
    labels = np.zeros(len(ids), dtype=np.int64)
    plain, cached = (
        SplitSamples(Split(images, labels, ids), tiny_backbone(), FeatureStore(None))
        for images in (files, ResizedImages(files, SIDE))
    )
    every = np.arange(len(ids))
    for kind in ("none", "flip"):
        first, second = (s.batch(every, needs="images", augment=kind) for s in (plain, cached))
        assert torch.equal(first.inputs, second.inputs)
    assert torch.equal(plain.features(), cached.features())
    found = cached.batch(every, needs="images", augment="crop_flip", stream=(0, 1)).inputs
    crops, mirror = Crops.drawn(cached.keys, (0, 1)), mirrored(cached.keys, (0, 1))
    expected = []
    for i in range(len(ids)):
        top, left, height, width = crops.box(i, *COPIES[i])
        cut = _copy(files, i).crop((left, top, left + width, top + height))
        pixels = np.asarray(cut.resize((32, 32), Image.Resampling.BILINEAR))
        expected.append(pixels[:, ::-1] if mirror[i] else pixels)
    assert torch.equal(found, tiny_backbone().normalise(torch.from_numpy(np.stack(expected))))
    # A carved subset is cropped from the same copies.
    some = np.array([4, 1])
    carved = SplitSamples(
        subset(Split(ResizedImages(files, SIDE), labels, ids), some),
        tiny_backbone(),
        FeatureStore(None),
    )
    parts = carved.batch(np.arange(2), needs="images", augment="crop_flip", stream=(0, 1)).inputs
    assert torch.equal(parts, found[some])


def test_invalid_requests_are_refused(files: FileImages, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"cache_images=48: the backbone.s input has 56 pixels"):
        ResizedImages(files, SIDE).crop(0, lambda h, w: (0, 0, h, w), 56)
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=50_000))
    with pytest.raises(UserError, match=r"6 training images .*LONGTAIL_VLM_CACHE"):
        ResizedImages(files, SIDE).make()
    monkeypatch.undo()
    monkeypatch.setenv("LONGTAIL_VLM_CACHE", str(files.root / files.files[0]))
    with pytest.raises(UserError, match="cannot write to"):
        ResizedImages(files, SIDE).make()


def test_a_damaged_image_leaves_no_partial_copies(files: FileImages) -> None:
    (files.root / files.files[3]).write_bytes(b"no image")
    with pytest.raises(DataError, match=r"3\.png"):
        ResizedImages(files, SIDE).make()
    assert list((files.root / "cache" / "resized").iterdir()) == []


def everything(files: FileImages) -> list[bytes]:
    """All copies, as they are read by a process that reads them for the first time."""
    images = ResizedImages(files, SIDE)
    return [images.crop(i, lambda h, w: (0, 0, h, w), 16).tobytes() for i in range(len(files))]


@pytest.mark.parametrize("name", ["pixels", "index"])
def test_damaged_copies_are_made_again_with_a_warning(
    name: str, files: FileImages, caplog: pytest.LogCaptureFixture
) -> None:
    expected = everything(files)
    (folder,) = (files.root / "cache" / "resized").iterdir()
    for damage in damages(folder / name, flips=20, seed=0):
        caplog.clear()
        with caplog.at_level(logging.WARNING, logger="benchmarks"):
            assert everything(files) == expected, damage
        (said,) = caplog.messages
        assert said.startswith(f"{folder / name} is damaged: ") and said.endswith("resized again.")
        assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_copies_of_an_earlier_version_are_made_again(files: FileImages) -> None:
    expected = everything(files)
    (folder,) = (files.root / "cache" / "resized").iterdir()
    (folder / "index").unlink()
    left = folder.with_name(".ab12_cde")  # of a version that did not name the writer
    left.mkdir()
    os.utime(left, (0, 0))
    assert everything(files) == expected
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_full_disk_is_one_line_and_leaves_nothing(files: FileImages) -> None:
    with full_disk(), pytest.raises(UserError, match=r"cannot write to .* LONGTAIL_VLM_CACHE=DIR"):
        ResizedImages(files, SIDE).make()
    assert list((files.root / "cache" / "resized").iterdir()) == []


def test_cache_images_is_recorded_and_footnoted(tmp_path: Path) -> None:
    assert "cache_images" not in ImageNetLT().pinned()
    assert ImageNetLT(cache_images=256).pinned()["cache_images"] == 256
    (note,) = ImageNetLT(cache_images=256).notes()
    assert "256 pixels" in note
    assert ImageNetLT().notes() == ()
    with pytest.raises(UserError, match=r"imagenet_lt\.cache_images=8"):
        ImageNetLT(cache_images=8).resolve(tmp_path)
