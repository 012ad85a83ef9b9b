"""Heads on many classes hold no matrix of all training images by all classes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

CELL = """
import dataclasses, resource, sys
from pathlib import Path
import numpy as np
import torch
from torch.nn import functional as F
from benchmarks import plan
from benchmarks.bench import Bench, Settings
from benchmarks.datasets.base import ArrayImages, DataSet, Split, Texts
from benchmarks.features import FeatureStore
from benchmarks.row_files import write_rows
from benchmarks.settings import read_sweep
from benchmarks.tiny import tiny_backbone
from results.store import Store
from tests.benchmarks.runs.worlds import Watcher

method, folder = sys.argv[1], Path(sys.argv[2])
N, C, TEST, D = 60_000, 4_000, 5_000, 128


class Words(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.logit_scale = torch.nn.Parameter(torch.zeros(()))
        self.table = F.normalize(torch.randn(C, D), dim=-1)

    def encode_text(self, tokens):
        return self.table[tokens[:, 0]]


def split(tag, size):
    images = ArrayImages(lambda: 1 / 0, size, lambda: tag)
    return Split(images, np.sort(np.arange(size) % C), tuple(f"{tag}/{i}" for i in range(size)))


def tokens(texts):
    return torch.tensor([[int(text)] for text in texts])


words = Words().requires_grad_(False)
backbone = dataclasses.replace(tiny_backbone(), model=words, tokenizer=tokens)
object.__setattr__(backbone, "knows", lambda text, invented: True)
texts = Texts(tuple(map(str, range(C))), ("{}",))
data = DataSet("many", "single", "1", "none", texts, split("train", N), split("test", TEST))
store = FeatureStore(folder)
for part in (data.train, data.test):
    rows = F.normalize(words.table[part.labels] + 0.05 * torch.randn(len(part), D), dim=-1)
    write_rows(folder / f"{store.image_key(backbone, part.images)}.safetensors", len(part), [rows])
del rows
flags = {"methods": method, "datasets": "glyphs100_lt", "seeds": "0,1", "backbone": "glyph"}
flags["set"] = [] if method in ("ncm", "zero_shot") else [f"{method}.epochs=1"]
cells = plan.expand(read_sweep(None, flags))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
bench = Bench(data, backbone, store, Settings(folder, folder, torch.device("cpu")), Watcher())
for record, predictions in bench.measure(cells):
    assert record.status == "done", record.error
    Store(folder).write(record, predictions)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="counts memory in Linux's unit")
@pytest.mark.parametrize("method", ["ncm", "zero_shot", "linear_probe", "tau_norm"])
def test_no_head_holds_all_images_by_all_classes(method: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", CELL, method, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # Features are 30 MB, test logits 80 MB; images by classes would be 960 MB.
    assert int(done.stdout) < 500
