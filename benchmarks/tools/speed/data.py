"""Speed of loading training images, compared with the training step that uses them."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks import backbones
from benchmarks.backbones import Backbone
from benchmarks.conformance.tiny import tiny_task
from benchmarks.datasets.base import ArrayImages, DataSet, Images, Split, Texts
from benchmarks.datasets.files.image_files import FileImages
from benchmarks.datasets.files.resized import ResizedImages
from benchmarks.inputs.features import FeatureStore
from benchmarks.inputs.samples import SplitSamples
from benchmarks.tools.speed.machine import Machine, caching_in
from benchmarks.tools.speed.step import BACKBONE, lift, step
from benchmarks.tools.speed.timing import Row, fastest
from methods.lift import Lift

BATCH = 64
CLASSES = 4


def rows(machine: Machine) -> list[Row]:
    """Return the seconds per image of the loader alone, and the share of a training that waits."""
    backbone = backbones.load(BACKBONE, device=machine.device, precision=machine.precision)
    run = step(backbone, machine, lift(backbone, 100))
    a_step = fastest({"step": run}, machine.device, turns=machine.turns // 2)["step"]
    count = machine.batch * (4 if machine.quick else 16)
    found = []
    with tempfile.TemporaryDirectory() as folder, caching_in(Path(folder) / "cache"):
        files = _photographs(Path(folder), count)
        cases: dict[str, Images] = {
            "32-pixel arrays": _noise(count),
            "500 x 375 JPEG": files,
            "JPEG resized once": ResizedImages(files, 256),
        }
        for name, images in cases.items():
            split = Split(images, np.arange(count) % CLASSES, tuple(map(str, range(count))))
            seconds = _loading(backbone, split, max(2, machine.turns // 4))
            waited, whole = _waited(backbone, split, machine)
            size = backbone.image_size
            each = f"an image, random crops at {size} px, loader alone; bound: lift's step"
            share = f"one epoch of lift, batch {machine.batch}; bound: the whole epoch"
            found.append(Row(f"loading, {name}", seconds, a_step / machine.batch, each))
            found.append(Row(f"data wait, {name}", waited, whole, share))
    return found


def _loading(backbone: Backbone, split: Split, turns: int) -> float:
    """Return the seconds per image of loading alone."""
    samples = SplitSamples(split, backbone, FeatureStore(None))
    parts = list(np.resize(np.arange(len(split)), (4, BATCH)))

    def load() -> None:
        for batch in samples.loader(parts, needs="images", augment="crop_flip", stream=(0,)):
            assert len(batch) == BATCH

    best = fastest({"load": load}, backbone.device, turns=turns)
    return best["load"] / (len(parts) * BATCH)


def _waited(backbone: Backbone, split: Split, machine: Machine) -> tuple[float, float]:
    """Return the seconds that one epoch of lift waited for images, and its whole time."""
    test = Split(_noise(CLASSES), np.arange(CLASSES), tuple("abcd"))
    texts = Texts(("cat", "dog", "bird", "fish"), ("a photo of a {}.",))
    data = DataSet("speed", "single", "1", "none", texts, split, test)
    task, _ = tiny_task(data=data, backbone=backbone)
    samples = task.train
    assert isinstance(samples, SplitSamples)
    clock = time.perf_counter()
    Lift(epochs=1, batch_size=machine.batch).fit(task)
    return samples.waited_s, time.perf_counter() - clock


def _noise(count: int) -> ArrayImages:
    """Return random images of 32 x 32 pixels."""
    shape = (count, 32, 32, 3)
    return ArrayImages(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))


def _photographs(folder: Path, count: int, different: int = 64) -> FileImages:
    """Write JPEG files of 500 x 375 pixels with detail at every scale, like photographs.

    Args:
        folder: folder of the files.
        count: number of images; files repeat if there are fewer.
        different: number of files.
    """
    draw = np.random.default_rng(0)
    names = [f"{i}.jpg" for i in range(different)]
    for name in names:
        pixels: NDArray[np.float64] = np.zeros((375, 500, 3))
        for cells in (3, 9, 27, 81, 243):
            coarse = draw.integers(0, 256, (cells, cells, 3), dtype=np.uint8)
            pixels += np.asarray(Image.fromarray(coarse).resize((500, 375))) / cells**0.5
        scaled = (pixels * 255 / pixels.max()).astype(np.uint8)
        Image.fromarray(scaled).save(folder / name, quality=90)
    return FileImages(folder, tuple(names[i % different] for i in range(count)))
