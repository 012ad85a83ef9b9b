"""What sharing features saves: 6 head methods x 5 seeds beside one pass over the images."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import backbones, plan, runner
from benchmarks.bench import Settings
from benchmarks.plan import Cell
from benchmarks.settings import read_sweep
from benchmarks.speed.machine import Machine, caching_in
from benchmarks.speed.silent import Silent
from benchmarks.speed.step import BACKBONE
from benchmarks.speed.timing import Row
from benchmarks.text import read_package

METHODS = "linear_probe,logit_adjustment,tau_norm,prototype,clip_adapter,tip_adapter"
SEEDS = "0,1,2,3,4"
CLASSES = 100
AT_ONCE = 32


def rows(machine: Machine) -> list[Row]:
    """A whole sweep by the runner on a store that is empty, and again on the one that it left."""
    each = (2, 2) if machine.quick else (12, 12)  # as many of either, as in CIFAR-100-LT
    with tempfile.TemporaryDirectory() as name, caching_in(Path(name) / "cache"):
        folder = Path(name)
        _write_images(folder / "data", *each)
        cells = _cells(folder / "data", machine)
        cold = _sweep(cells, folder, "cold", machine)
        one_pass = _pass(cells[0], folder / "data", machine)
        warm = _sweep(cells, folder, "warm", machine)
    note = (
        f"{len(cells)} cells, {sum(each)} images of each of {CLASSES} classes, {BACKBONE}, "
        f"{machine.precision}; the texts' features included; bound: one pass over the images"
    )
    return [
        Row("cold store, 6 methods x 5 seeds", cold, one_pass, note),
        Row("warm store, the same", warm, one_pass, note),
    ]


def _cells(root: Path, machine: Machine) -> list[Cell]:
    flags = {
        "methods": METHODS, "datasets": "cifar100_lt", "seeds": SEEDS, "backbone": BACKBONE,
        "data_root": str(root), "device": machine.device.type, "precision": machine.precision,
        "set": ["cifar100_lt.imbalance=2", "tip_adapter.finetune=true"],
    }  # fmt: skip
    return plan.expand(read_sweep(None, flags))


def _sweep(cells: list[Cell], folder: Path, name: str, machine: Machine) -> float:
    """Seconds from loading the data to the last record."""
    settings = Settings(folder / name, folder / "data", machine.device)
    clock = time.perf_counter()
    records = runner.run(cells, settings, Silent())
    seconds = time.perf_counter() - clock
    failed = [record.error for record in records if record.status != "done"]
    if failed:
        raise RuntimeError(f"{len(failed)} cells failed: {failed[0]}")
    return seconds


def _pass(cell: Cell, root: Path, machine: Machine) -> float:
    """Seconds of one pass over training and test images, with nothing kept."""
    data = cell.family.load(root, cell.split_seed)
    backbone = backbones.load(BACKBONE, device=machine.device, precision=machine.precision)
    clock = time.perf_counter()
    for split in (data.train, data.test):
        for low in range(0, len(split), AT_ONCE):
            index = range(low, min(low + AT_ONCE, len(split)))
            pixels = backbone.normalise(backbone.read(split.images, index).to(machine.device))
            backbone.encode_images(pixels).cpu()
    return time.perf_counter() - clock


def _write_images(root: Path, train: int, test: int) -> None:
    """Noise as a tree of class folders, which `cifar100_lt` reads."""
    draw = np.random.default_rng(0)
    names = read_package("cifar100").keys
    for part, count in (("train", train), ("test", test)):
        for name in names:
            folder = root / "cifar100" / part / name
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = draw.integers(0, 256, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{name}_{i:04d}.png")
