"""Time and memory of a whole cell with as many images and classes as iNaturalist 2018.

The features are synthetic and stored beforehand: measured are loading them, training one epoch,
evaluation and metrics. Each cell runs in a separate process, so that its memory can be measured:
`python -m benchmarks.tools.speed.scale METHOD IMAGES CLASSES WIDTH THREADS` measures one.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks import device as devices
from benchmarks.backbones import Backbone
from benchmarks.conformance.tiny import tiny_backbone
from benchmarks.datasets.base import ArrayImages, DataSet, Split, Texts
from benchmarks.inputs.feature_files import write_rows
from benchmarks.inputs.features import FeatureStore
from benchmarks.run import border
from benchmarks.run.bench import Bench
from benchmarks.run.display import Silent
from benchmarks.run.options import RunOptions
from benchmarks.run.recorder import Recorder
from benchmarks.sweep import plan
from benchmarks.sweep.cell import Cell
from benchmarks.sweep.settings import read_sweep
from benchmarks.tools.speed.machine import Machine
from benchmarks.tools.speed.timing import Row, fastest
from results.store import Store

IMAGES, CLASSES, WIDTH = 437_513, 8_142, 768
"""Training images and classes of iNaturalist 2018, and ViT-B/16's width before the projection."""
TEST_EACH = 3
"""Test images per class."""
BATCH = 512
CHUNK = 8192
"""Number of rows drawn at once."""


@dataclasses.dataclass(frozen=True)
class Measured:
    """Time and memory of one cell."""

    seconds: float
    """Time from the stored features to the written record."""
    product_seconds: float
    """Time of the matrix products alone: logits, the weights' gradient, and test logits."""
    peak_mb: float
    """Peak memory of the process."""


def rows(machine: Machine) -> list[Row]:
    """Measure a trained head, also with half the images or classes, and nearest class means."""
    images = IMAGES // 32 if machine.quick else IMAGES
    cases = {
        "linear_probe": (images, CLASSES),
        "linear_probe, half the images": (images // 2, CLASSES),
        "linear_probe, half the classes": (images, CLASSES // 2),
        "ncm": (images, CLASSES),
    }
    found = []
    for name, (count, classes) in cases.items():
        method = name.split(",", maxsplit=1)[0]
        words = [method, str(count), str(classes), str(WIDTH), str(torch.get_num_threads())]
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.tools.speed.scale", *words],
            cwd=Path(__file__).resolve().parents[3], capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(done.stderr[-500:])
        cell = Measured(**json.loads(done.stdout))
        note = (
            f"{count:,} x {WIDTH} features, {classes:,} classes, {TEST_EACH * classes:,} tested, "
            f"one epoch, batch {BATCH}, fp32; peak memory of the process "
            f"{cell.peak_mb / 1024:.1f} GiB; bound: the products"
        )
        found.append(Row(f"scale: {name}", cell.seconds, cell.product_seconds, note))
    return found


def measure(method: str, images: int, classes: int, width: int) -> Measured:
    """Run one cell on random features, on the CPU."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data, bench, cells = world(method, images, classes, width, folder)
        devices.make_deterministic()
        recorder = Recorder(data, bench.facts, folder, save_logits=False)
        clock = time.perf_counter()
        found: list[border.Measured] = []
        bench.measure(cells, found.append)
        for cell, measured in zip(cells, found, strict=True):
            record, predictions = recorder.outcome(cell, measured)
            if record.status != "done":
                raise RuntimeError(record.error)
            Store(folder).write(record, predictions)
        seconds = time.perf_counter() - clock
    peak = devices.peak_memory_mb(torch.device("cpu"))
    trained = images if method == "linear_probe" else 0
    return Measured(seconds, _products(trained, TEST_EACH * classes, classes, width), peak)


def world(
    method: str, images: int, classes: int, width: int, folder: Path, seeds: str = "0"
) -> tuple[DataSet, Bench, list[Cell]]:
    """Return a data set, a bench on it whose features are stored, and the cells of a method."""
    flags: dict[str, Any] = {
        "methods": method, "datasets": "glyphs100_lt", "seeds": seeds, "backbone": "glyph",
        "device": "cpu",
    }  # fmt: skip
    if method not in ("ncm", "zero_shot"):
        flags["set"] = [f"{method}.epochs=1", f"{method}.batch_size={BATCH}"]
    cells = plan.expand(read_sweep(None, flags)).cells
    words = _Words(classes, width).requires_grad_(False)
    backbone: Backbone = dataclasses.replace(
        tiny_backbone(), model=words, tokenizer=_tokens, id=cells[0].backbone
    )
    object.__setattr__(backbone, "knows", lambda text, invented: True)
    texts = Texts(tuple(map(str, range(classes))), ("{}",))
    train, test = _split("train", images, classes), _split("test", TEST_EACH * classes, classes)
    store = FeatureStore(folder)
    for part in (train, test):
        key = store.image_key(backbone, part.images)
        write_rows(folder / f"{key}.safetensors", len(part), _rows(words.table, part.labels))
    data = DataSet("many", "single", "1", "none", texts, train, test)
    options = RunOptions(out=folder, data_root=folder, device=torch.device("cpu"))
    return data, Bench(data, backbone, store, options, Silent()), cells


class _Words(nn.Module):
    """A text tower with a feature for every class."""

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.logit_scale = nn.Parameter(torch.zeros(()))
        draw = torch.Generator().manual_seed(0)
        self.table = F.normalize(torch.randn(classes, width, generator=draw), dim=-1)

    def encode_text(self, tokens: Tensor) -> Tensor:
        """(n, 1) classes -> (n, D)."""
        return self.table[tokens[:, 0]]


def _tokens(texts: Sequence[str]) -> Tensor:
    return torch.tensor([[int(text)] for text in texts])


def _split(tag: str, size: int, classes: int) -> Split:
    """Return samples whose images must not be read."""

    def unread() -> Any:
        raise RuntimeError("an image was read though its features are stored")

    images = ArrayImages(unread, size, lambda: tag)
    labels = np.sort(np.arange(size) % classes)
    return Split(images, labels, tuple(f"{tag}/{i}" for i in range(size)))


def _rows(table: Tensor, labels: Any) -> Any:
    """Yield features near those of their classes, in parts."""
    draw = torch.Generator().manual_seed(1)
    for part in torch.from_numpy(labels).split(CHUNK):
        noise = torch.randn(len(part), table.shape[1], generator=draw)
        yield F.normalize(table[part] + 0.05 * noise, dim=-1)


def _products(trained: int, tested: int, classes: int, width: int) -> float:
    """Return the seconds of the products of one epoch and of the test logits, from a sample."""
    x, weight = torch.randn(BATCH, width), torch.randn(classes, width)
    gradient = torch.randn(BATCH, classes)
    best = fastest(
        {
            "logits": partial(torch.mm, x, weight.T),
            "gradient": partial(torch.mm, gradient.T, x),
        },
        x.device,
    )
    logits, steps = best["logits"], trained / BATCH
    return steps * (logits + best["gradient"]) + tested / BATCH * logits


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[5]))
    print(json.dumps(dataclasses.asdict(measure(sys.argv[1], *map(int, sys.argv[2:5])))))
