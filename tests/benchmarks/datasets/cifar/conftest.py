from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.datasets.files.cifar_files import CIFAR10
from tests.benchmarks.datasets.cifar.small import CLASSES, TEST, TRAIN


@pytest.fixture(scope="module")
def pickles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with CIFAR-10 in its official form, but 20 and 3 images per class."""
    root = tmp_path_factory.mktemp("pickles")
    folder = root / CIFAR10.folder
    folder.mkdir()
    random = np.random.default_rng(0)

    def batch(name: str, labels: list[int], start: int) -> None:
        entry = {
            "data": random.integers(0, 256, (len(labels), 3072), dtype=np.uint8),
            "labels": labels,
            "filenames": [
                f"x_s_{(i * 37) % 1000:06d}.png" for i in range(start, start + len(labels))
            ],
        }
        (folder / name).write_bytes(pickle.dumps(entry, protocol=2))

    order = random.permutation(np.repeat(np.arange(10), TRAIN)).tolist()
    for i, name in enumerate(CIFAR10.train):
        batch(name, order[i * 40 : (i + 1) * 40], i * 40)
    batch(CIFAR10.test, random.permutation(np.repeat(np.arange(10), TEST)).tolist(), 300)
    (folder / CIFAR10.meta).write_bytes(pickle.dumps({"label_names": list(CLASSES)}, protocol=2))
    return root


@pytest.fixture(scope="module")
def tree(pickles: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same images under the same names as class folders."""
    root = tmp_path_factory.mktemp("tree")
    for split, names in (("train", CIFAR10.train), ("test", (CIFAR10.test,))):
        for name in names:
            entry = pickle.loads((pickles / CIFAR10.folder / name).read_bytes())
            for data, label, file in zip(
                *(entry[k] for k in ("data", "labels", "filenames")), strict=True
            ):
                path = root / "cifar10" / split / CLASSES[label] / file
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(data.reshape(3, 32, 32).transpose(1, 2, 0)).save(path)
    return root


@pytest.fixture
def damaged(tree: Path, tmp_path: Path) -> Path:
    """Copy of the tree that a test may damage."""
    shutil.copytree(tree, tmp_path / "data")
    return tmp_path / "data"
