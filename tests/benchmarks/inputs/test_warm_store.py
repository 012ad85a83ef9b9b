"""Once features are stored, methods on features run without reading an image."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.conformance.tiny import tiny_data
from benchmarks.datasets.base import ArrayImages, DataSet, Family, Split, hash_pixels
from benchmarks.datasets.carving import without_duplicates
from benchmarks.datasets.checking import train_test_duplicates
from benchmarks.datasets.families.cifar import Cifar10LT
from benchmarks.datasets.families.glyphs import Glyphs
from benchmarks.datasets.registry import register
from benchmarks.run import runner
from benchmarks.run.options import RunOptions
from benchmarks.sweep import plan
from benchmarks.sweep.cell import Cell
from benchmarks.sweep.settings import read_sweep
from results.schema import Record
from tests.benchmarks.run.runs.worlds import Watcher
from tests.benchmarks.small import forgetting_plugins

METHODS = "zero_shot,ncm,linear_probe,logit_adjustment,tau_norm,tip_adapter"


class CountingImages:
    """Images of the tiny world that count how often they are read."""

    reads: ClassVar[int] = 0

    def __init__(self, split: Split) -> None:
        self._images = split.images

    def __len__(self) -> int:
        return len(self._images)

    def read(self, index: int) -> np.ndarray:
        CountingImages.reads += 1
        return self._images.read(index)

    def digest(self) -> str:
        return self._images.digest()


@dataclass(frozen=True)
class Counted(Family):
    """The tiny world; with `promised`, its images are made on the first read, which is counted."""

    promised: bool = False

    default_backbone: ClassVar[str] = "glyph"

    def load(self, root: Path, split_seed: int) -> DataSet:
        data = tiny_data()
        images = self._promised if self.promised else CountingImages
        train, test = (
            dataclasses.replace(split, images=images(split)) for split in (data.train, data.test)
        )
        return dataclasses.replace(data, train=train, test=test, validation=None)

    @staticmethod
    def _promised(split: Split) -> ArrayImages:
        def make() -> np.ndarray:
            CountingImages.reads += len(split)
            return np.stack([split.images.read(i) for i in range(len(split))])

        return ArrayImages(make, len(split), split.images.digest)

    def card(self) -> dict[str, str]:
        return {}


def run(cells: list[Cell], out: Path) -> list[Record]:
    return runner.run(
        cells, RunOptions(out=out, data_root=out, device=torch.device("cpu")), Watcher()
    )


@pytest.mark.parametrize("promised", [False, True])
def test_on_a_warm_store_no_image_is_read(
    tmp_path: Path, cache: Path, clip_folder: Path, promised: bool
) -> None:
    with forgetting_plugins():
        register("counted", task="single")(Counted)
        fields = [f"counted.promised={promised}", "linear_probe.epochs=1", "tau_norm.epochs=1"]
        flags = {
            "methods": METHODS,
            "datasets": "counted",
            "backbone": f"local-dir:{clip_folder}",
            "seeds": "0,1",
            "set": [*fields, "logit_adjustment.epochs=1"],
        }
        cells = plan.expand(read_sweep(None, flags)).cells
        CountingImages.reads = 0
        cold = run(cells, tmp_path / "cold")
        assert CountingImages.reads == len(tiny_data().train) + len(tiny_data().test)
        CountingImages.reads = 0
        warm = run(cells, tmp_path / "warm")
        assert CountingImages.reads == 0
    assert {record.status for record in cold} == {"done"}
    assert len(warm) == 10  # zero_shot and ncm run once
    assert [record.metrics for record in warm] == [record.metrics for record in cold]


# ---- digests of images that are not read ---------------------------------------------------------


def test_promised_images_equal_the_images_that_are_made() -> None:
    array = np.arange(5 * 2 * 2 * 3, dtype=np.uint8).reshape(5, 2, 2, 3)
    made = []

    def make() -> np.ndarray:
        made.append(True)
        return array

    images = ArrayImages(make, 5)
    part = images.subset(np.array([3, 0]))
    assert (len(images), len(part)) == (5, 2)
    assert not made
    assert np.array_equal(part.read(0), array[3])
    assert np.array_equal(part.array, array[[3, 0]])
    assert images.digest() == ArrayImages(array).digest() == hash_pixels(array)
    assert len(made) == 1
    digests = {images.subset(np.array(i)).digest() for i in ([3, 0], [0, 3], [3], [3, 1])}
    assert len(digests | {images.digest()}) == 5
    assert part.digest() in digests


def test_glyphs_are_drawn_on_demand() -> None:
    world = Glyphs(classes=4, n_max=9, test_per_class=2)
    data, again = world.load(Path(), 0), world.load(Path(), 0)
    digest = data.train.images.digest()
    assert digest == again.train.images.digest()
    assert digest != data.test.images.digest()
    for other in (Glyphs(classes=4, n_max=9, style_shift=0.5), Glyphs(classes=4, n_max=10)):
        assert other.load(Path(), 0).train.images.digest() != digest
    assert world.load(Path(), 1).train.images.digest() != digest
    assert callable(data.train.images._array)  # type: ignore[attr-defined]
    assert data.train.images.read(3).shape == (32, 32, 3)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """CIFAR-10 as class folders with 4 training and 2 test images per class."""
    rng = np.random.default_rng(0)
    for split, number in (("train", 4), ("test", 2)):
        for name in Cifar10LT.layout.classes:
            folder = tmp_path / "data" / "cifar10" / split / name
            folder.mkdir(parents=True)
            for i in range(number):
                pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{i}.png")
    return tmp_path / "data"


def test_the_digest_of_cifar_is_that_of_its_pixels(tree: Path, cache: Path) -> None:
    data = Cifar10LT(imbalance=2.0).load(tree, 0)
    digests = [data.train.images.digest(), data.test.images.digest()]
    assert digests[1] == hash_pixels(data.test.images.array)  # type: ignore[attr-defined]
    assert (
        data.train.images.digest() != Cifar10LT(imbalance=2.0).load(tree, 1).train.images.digest()
    )
    # Other pixels in the cache are damage: the images are decoded again.
    first = data.train.images.read(0).copy()
    (entry,) = (cache / "cifar").iterdir()
    for split in ("train", "test"):
        stored = np.load(entry / f"{split}_images.npy")
        np.save(entry / f"{split}_images.npy", np.zeros_like(stored))
    again = Cifar10LT(imbalance=2.0).load(tree, 0)
    assert [again.train.images.digest(), again.test.images.digest()] == digests
    assert np.array_equal(again.train.images.read(0), first)
    # A change of one pixel in one file changes its time stamp and the digest.
    file = tree / "cifar10" / "test" / "cat" / "1.png"
    pixels = np.array(Image.open(file))
    pixels[3, 3, 0] ^= 1
    file.unlink()
    Image.fromarray(pixels).save(file)
    changed = Cifar10LT(imbalance=2.0).load(tree, 0)
    assert changed.test.images.digest() != digests[1]
    assert changed.train.images.digest() == digests[0]


def counted_split(pixels: np.ndarray, tag: str) -> Split:
    ids = tuple(f"{tag}/{i}" for i in range(len(pixels)))
    split = Split(ArrayImages(pixels), np.zeros(len(pixels), dtype=np.int64), ids)
    return dataclasses.replace(split, images=CountingImages(split))


def test_images_met_twice_are_looked_for_once(
    cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 4, 4, 3), dtype=np.uint8)
    train, test = counted_split(pixels[:5], "a"), counted_split(pixels[[6, 3, 7, 3]], "b")
    data = dataclasses.replace(tiny_data(), train=train, test=test)
    for spare in ([8, 4, 2, 5], [0, 1]):
        rest = counted_split(pixels[spare], "c")
        looks: list[Callable[[], object]] = [
            lambda: train_test_duplicates(data),
            lambda rest=rest: without_duplicates(rest, train, test).ids,
        ]
        first = [look() for look in looks]
        CountingImages.reads = 0
        assert [look() for look in looks] == first
        assert CountingImages.reads == 0
        assert first[0] == (("a/3", "b/1"), ("a/3", "b/3"))
        assert first[1] == (("c/0", "c/3") if spare[0] == 8 else ())
    nothing = dataclasses.replace(data, test=counted_split(pixels[6:8], "b"))
    assert train_test_duplicates(nothing) == train_test_duplicates(nothing) == ()
    # If nothing can be stored, they are searched for each time.
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LONGTAIL_VLM_CACHE", str(tmp_path / "file" / "cache"))
    assert train_test_duplicates(data) == (("a/3", "b/1"), ("a/3", "b/3"))


def test_the_copies_that_are_left_out_can_be_read(cache: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 4, 4, 3), dtype=np.uint8)
    splits = [
        counted_split(pixels[i], tag) for i, tag in (([2, 1, 3], "c"), ([1], "a"), ([0], "b"))
    ]
    for _ in range(2):
        kept = without_duplicates(*splits)
        assert kept.ids == ("c/0", "c/2")
        assert np.array_equal(kept.images.read(1), pixels[3])
