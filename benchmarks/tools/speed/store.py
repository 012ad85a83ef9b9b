"""Time that shared features save: 6 head methods x 5 seeds compared with one pass over the images.

The pass is that of the sweep itself: runs are so long that a separate pass could
meet a machine under another load.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.run import runner
from benchmarks.run.display import Silent
from benchmarks.run.options import RunOptions
from benchmarks.sweep import plan
from benchmarks.sweep.cell import Cell
from benchmarks.sweep.settings import read_sweep
from benchmarks.text import read_package
from benchmarks.tools.speed.machine import Machine, caching_in
from benchmarks.tools.speed.step import BACKBONE
from benchmarks.tools.speed.timing import Row

METHODS = "linear_probe,logit_adjustment,tau_norm,prototype,clip_adapter,tip_adapter"
SEEDS = "0,1,2,3,4"
CLASSES = 100


def rows(machine: Machine) -> list[Row]:
    """Measure on few images, about as many for training as for testing, as in CIFAR-100-LT."""
    each = (2, 2) if machine.quick else (12, 12)
    return _cold_and_warm(machine, "", each, imbalance=2)


def whole(machine: Machine) -> list[Row]:
    """Measure on as many images as CIFAR-100-LT has at ratio 100: 10,847 and 10,000."""
    each = (10, 2) if machine.quick else (500, 100)
    return _cold_and_warm(machine, ", all of CIFAR-100-LT", each, imbalance=100)


def _cold_and_warm(
    machine: Machine, which: str, each: tuple[int, int], imbalance: int
) -> list[Row]:
    """Measure a whole sweep on an empty store, and again on the filled one.

    Args:
        machine: device and precision.
        which: kind of images, for the names of the rows.
        each: number of training and test images of each class on disk.
        imbalance: imbalance ratio of the training images drawn from them.
    """
    with tempfile.TemporaryDirectory() as place, caching_in(Path(place) / "cache"):
        folder = Path(place)
        _write_images(folder / "data", *each)
        cells = _cells(folder / "data", machine, imbalance)
        clock = _PassClock()
        cold = _sweep(cells, folder, "cold", machine, clock)
        warm = _sweep(cells, folder, "warm", machine, Silent())
    note = (
        f"6 methods x 5 seeds, {clock.images} images of {CLASSES} classes, {BACKBONE}, "
        f"{machine.precision}; texts' features included; bound: the cold run's pass over the images"
    )
    one_pass = clock.seconds
    return [
        Row(f"cold store{which}", cold, one_pass, note),
        Row(f"warm store{which}", warm, one_pass, note),
    ]


def _cells(root: Path, machine: Machine, imbalance: int) -> list[Cell]:
    flags = {
        "methods": METHODS, "datasets": "cifar100_lt", "seeds": SEEDS, "backbone": BACKBONE,
        "data_root": str(root), "device": machine.device.type, "precision": machine.precision,
        "set": [f"cifar100_lt.imbalance={imbalance}", "tip_adapter.finetune=true"],
    }  # fmt: skip
    return plan.expand(read_sweep(None, flags)).cells


def _sweep(cells: list[Cell], folder: Path, name: str, machine: Machine, display: Silent) -> float:
    """Return the seconds from loading the data to the last record."""
    options = RunOptions(out=folder / name, data_root=folder / "data", device=machine.device)
    clock = time.perf_counter()
    records = runner.run(cells, options, display)
    seconds = time.perf_counter() - clock
    failed = [record.error for record in records if record.status != "done"]
    if failed:
        raise RuntimeError(f"{len(failed)} cells failed: {failed[0]}")
    return seconds


class _PassClock(Silent):
    """A display that measures the time of the images of all splits in the tower."""

    def __init__(self) -> None:
        self._told: dict[str, list[tuple[float, int, int]]] = {}

    def preparing(self, what: str, done: int = 0, total: int = 0) -> None:
        if total and not what.endswith("texts"):
            self._told.setdefault(what, []).append((time.perf_counter(), done, total))

    @property
    def images(self) -> int:
        """Number of images in all splits."""
        return sum(told[0][2] for told in self._told.values())

    @property
    def seconds(self) -> float:
        """Time from the first to the last batch of each split, extrapolated to the first batch."""
        found = 0.0
        for told in self._told.values():
            (start, first, total), (end, _, _) = told[0], told[-1]
            found += (end - start) * total / (total - first)
        return found


def _write_images(root: Path, train: int, test: int) -> None:
    """Write noise as a tree of class folders, which `cifar100_lt` reads."""
    draw = np.random.default_rng(0)
    names = read_package("cifar100").keys
    for part, count in (("train", train), ("test", test)):
        for name in names:
            folder = root / "cifar100" / part / name
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = draw.integers(0, 256, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{name}_{i:04d}.png")
