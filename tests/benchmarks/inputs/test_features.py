from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.backbones import Backbone
from benchmarks.conformance.tiny import tiny_backbone
from benchmarks.datasets.base import ArrayImages
from benchmarks.inputs import features
from benchmarks.inputs.feature_index import feature_file
from benchmarks.inputs.features import FeatureStore
from tests.benchmarks.damage import damages, full_disk
from tests.benchmarks.small import FEATURE

ROOT = Path(__file__).resolve().parents[3]


class CountingImages:
    """Random images that count how often they are read."""

    def __init__(self, count: int = 10, seed: int = 0) -> None:
        generator = np.random.default_rng(seed)
        self._images = ArrayImages(generator.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8))
        self.reads = 0

    def __len__(self) -> int:
        return len(self._images)

    def read(self, index: int) -> np.ndarray:
        self.reads += 1
        return self._images.read(index)

    def digest(self) -> str:
        return self._images.digest()


@pytest.fixture
def images() -> CountingImages:
    return CountingImages()


@pytest.fixture
def backbone() -> Backbone:
    return tiny_backbone()


def test_features_are_those_of_the_backbone(
    tmp_path: Path, backbone: Backbone, images: CountingImages
) -> None:
    reported = []
    store = FeatureStore(tmp_path, batch_size=4)
    found = store.images(backbone, images, lambda done, total: reported.append((done, total)))
    pixels = torch.stack([torch.from_numpy(images.read(i)) for i in range(len(images))])
    expected = backbone.encode_images(backbone.normalise(pixels))
    torch.testing.assert_close(found, expected, rtol=0, atol=FEATURE)
    assert found.dtype == torch.float32
    assert reported == [(4, 10), (8, 10), (10, 10)]


def test_images_are_read_once(tmp_path: Path, backbone: Backbone, images: CountingImages) -> None:
    store = FeatureStore(tmp_path)
    file = feature_file(tmp_path, store.image_key(backbone, images))
    assert not file.exists()
    first = store.images(backbone, images)
    assert images.reads == len(images)
    assert file.exists()
    assert torch.equal(store.images(backbone, images), first)
    later = FeatureStore(tmp_path)  # a later run
    assert torch.equal(later.images(backbone, images), first)
    assert images.reads == len(images)


def test_a_folder_that_cannot_be_written_is_reported_once(
    tmp_path: Path, backbone: Backbone, images: CountingImages, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    store = FeatureStore(tmp_path / "file" / "features")
    store.images(backbone, images)
    store.texts(backbone, ["a red ring"])
    assert [r.getMessage() for r in caplog.records] == [
        f"Features cannot be stored in {tmp_path / 'file' / 'features'}: every run computes them. "
        "Free some space, or move the cache with LONGTAIL_VLM_CACHE=DIR."
    ]


def test_on_a_full_disk_features_stay_in_memory(
    tmp_path: Path, backbone: Backbone, images: CountingImages, caplog: pytest.LogCaptureFixture
) -> None:
    expected = FeatureStore(None).images(backbone, images)
    store = FeatureStore(tmp_path)
    with full_disk(room=200):
        assert torch.equal(store.images(backbone, images), expected)
    assert [r.getMessage().partition(":")[0] for r in caplog.records] == [
        f"Features cannot be stored in {tmp_path}"
    ]
    assert list(tmp_path.iterdir()) == []


def test_damaged_features_are_computed_again(
    tmp_path: Path, backbone: Backbone, images: CountingImages
) -> None:
    expected = FeatureStore(tmp_path).images(backbone, images)
    (file,) = tmp_path.iterdir()
    for damage in damages(file, flips=10, seed=0):
        assert torch.equal(FeatureStore(tmp_path).images(backbone, images), expected), damage


def test_what_killed_processes_left_is_removed(tmp_path: Path, backbone: Backbone) -> None:
    left = tmp_path / ".text-1.safetensors.123.partial"  # of a version that did not name the writer
    left.touch()
    os.utime(left, (0, 0))
    FeatureStore(tmp_path).texts(backbone, ["a red ring"])
    assert not left.exists()


def test_texts_are_encoded_once(tmp_path: Path, backbone: Backbone) -> None:
    texts = ["a red ring", "a blue cross"]
    first = FeatureStore(tmp_path).texts(backbone, texts)
    torch.testing.assert_close(first, backbone.encode_text(texts))
    assert len(list(tmp_path.iterdir())) == 1
    mute = dataclasses.replace(backbone, tokenizer=None)  # cannot encode anything
    assert torch.equal(FeatureStore(tmp_path).texts(mute, texts), first)
    with pytest.raises(TypeError):
        FeatureStore(tmp_path).texts(mute, texts[::-1])


def test_a_store_without_folder_keeps_features_in_memory(
    backbone: Backbone, images: CountingImages
) -> None:
    store = FeatureStore(None)
    first = store.images(backbone, images)
    assert torch.equal(store.images(backbone, images), first)
    assert images.reads == len(images)


def test_every_input_of_features_changes_their_key(
    backbone: Backbone, images: CountingImages
) -> None:
    store = FeatureStore(None)
    other_weights = dataclasses.replace(backbone.id, weights_id="other")
    other_mean = backbone.preprocess | {"mean": (0.5, 0.5, 0.5)}
    one_pixel = CountingImages()
    one_pixel._images.array[3, 5, 5, 1] ^= 1
    keys = [
        store.image_key(backbone, images),
        store.image_key(dataclasses.replace(backbone, id=other_weights), images),
        store.image_key(dataclasses.replace(backbone, preprocess=other_mean), images),
        store.image_key(dataclasses.replace(backbone, precision="bf16"), images),
        store.image_key(backbone, one_pixel),
        store.image_key(backbone, CountingImages(9)),
    ]
    assert len(set(keys)) == len(keys)
    assert store.image_key(backbone, CountingImages()) == keys[0]


@pytest.mark.parametrize("damage", ["cut", "empty", "a byte", "not a file of ours"])
def test_a_damaged_file_is_replaced(
    tmp_path: Path, backbone: Backbone, images: CountingImages, damage: str
) -> None:
    first = FeatureStore(tmp_path).images(backbone, images).clone()  # not the file's memory map
    (file,) = tmp_path.iterdir()
    data = bytearray(file.read_bytes())
    if damage == "a byte":
        data[-100] ^= 1
    file.write_bytes({"cut": data[:-7], "empty": b"", "a byte": data}.get(damage, b"x" * 100))
    assert torch.equal(FeatureStore(tmp_path).images(backbone, images), first)
    assert images.reads == 2 * len(images)
    FeatureStore(tmp_path).images(backbone, images)
    assert images.reads == 2 * len(images)  # the new file is intact


def test_an_interrupted_pass_continues_after_its_last_complete_block(
    tmp_path: Path, backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "BLOCK", 8)
    images = CountingImages(30)
    expected = FeatureStore(None).images(backbone, images)

    def stop(done: int, _: int) -> None:
        if done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        FeatureStore(tmp_path, batch_size=4).images(backbone, images, stop)
    (parts,) = tmp_path.iterdir()
    assert sorted(f.name for f in parts.iterdir()) == ["0.safetensors", "8.safetensors"]
    (parts / "8.safetensors").write_bytes(b"half of it")
    images.reads, reported = 0, []
    store = FeatureStore(tmp_path, batch_size=4)
    found = store.images(backbone, images, lambda done, _: reported.append(done))
    torch.testing.assert_close(found, expected, rtol=0, atol=FEATURE)
    assert images.reads == 22
    assert reported == [12, 16, 20, 24, 28, 30]
    assert [f.suffix for f in tmp_path.iterdir()] == [".safetensors"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists what is mapped")
def test_features_are_memory_mapped(tmp_path: Path, backbone: Backbone) -> None:
    images = CountingImages()
    for _ in range(2):  # computed, and read
        found = FeatureStore(tmp_path).images(backbone, images)
        (file,) = tmp_path.iterdir()
        assert len(found) == 10
        assert str(file) in Path("/proc/self/maps").read_text(encoding="utf-8")
        del found


def test_a_second_process_waits_for_the_same_features(tmp_path: Path, backbone: Backbone) -> None:
    first, second = CountingImages(), CountingImages()
    there, go = threading.Event(), threading.Event()

    def held(done: int, _: int) -> None:
        there.set()
        assert go.wait(60)

    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(FeatureStore(tmp_path).images, backbone, first, held)
        assert there.wait(60)
        two = pool.submit(FeatureStore(tmp_path).images, backbone, second)
        with pytest.raises(TimeoutError):
            two.result(0.3)
        go.set()
        assert torch.equal(one.result(60), two.result(60))
    assert (first.reads, second.reads) == (10, 0)
    assert [f.suffix for f in tmp_path.iterdir()] == [".safetensors"]


def test_means_of_texts_are_computed_in_blocks(
    tmp_path: Path, backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    names, templates = ["red ring", "blue cross", "red ring", "square"], ["a {}", "{}", "the {}."]
    flat = [template.format(name) for name in names for template in templates]
    each = backbone.encode_text(flat).view(4, 3, -1)
    given: list[str] = []

    class Recording:
        def __call__(self, texts: list[str]) -> torch.Tensor:
            given.extend(texts)
            return backbone.tokenizer(texts)

    monkeypatch.setattr(features, "TEXTS", 6)
    reported: list[tuple[int, int]] = []
    recording = dataclasses.replace(backbone, tokenizer=Recording())
    progress = lambda done, total: reported.append((done, total))  # noqa: E731
    means = FeatureStore(tmp_path).texts(recording, flat, 3, progress)
    torch.testing.assert_close(means, each.mean(1))
    assert sorted(given) == sorted(set(flat))  # a repeated class is encoded once
    assert reported == [(6, 9), (9, 9)]
    mute = dataclasses.replace(backbone, tokenizer=None)  # cannot encode anything
    assert torch.equal(FeatureStore(tmp_path).texts(mute, flat, 3), means)
    with pytest.raises(TypeError):
        FeatureStore(tmp_path).texts(mute, flat, 1)
    with pytest.raises(TypeError):
        FeatureStore(tmp_path).texts(mute, flat, 2)
    torch.testing.assert_close(FeatureStore(tmp_path).texts(backbone, flat), each.flatten(0, 1))


def test_a_folder_that_cannot_be_written_is_not_an_error(
    tmp_path: Path, backbone: Backbone, images: CountingImages
) -> None:
    (tmp_path / "file").write_text("in the way")
    store = FeatureStore(tmp_path / "file" / "features")
    assert store.images(backbone, images).shape == (10, 16)
    assert (tmp_path / "file").read_text() == "in the way"


WRITERS = """
import os
import sys
from pathlib import Path
import numpy as np
import torch
from benchmarks.backbone.names import BackboneId
from benchmarks.inputs import features
from benchmarks.backbones import Backbone
from benchmarks.datasets.base import ArrayImages
from benchmarks.inputs.feature_index import feature_file
from benchmarks.inputs.features import FeatureStore


class Pixels(torch.nn.Module):  # a model without open_clip, which is slow to import
    def encode_image(self, images):
        return images.flatten(1)


preprocess = {"size": 8, "mean": (0.4, 0.5, 0.6), "std": (1.0, 1.0, 1.0)}
ident = BackboneId("pixels", "file", "", "", "pixels")
backbone = Backbone(ident, Pixels(), None, None, preprocess, torch.device("cpu"), "fp32")
folder = Path(sys.argv[1])
images = ArrayImages(np.arange(3 * 8 * 8 * 3, dtype=np.uint8).reshape(3, 8, 8, 3))
other = os.fork()  # before any thread is started
expected = FeatureStore(None).images(backbone, images)
for _ in range(60):
    for file in folder.glob("*.safetensors"):
        file.unlink(missing_ok=True)  # so that the next pass writes too
    assert (FeatureStore(folder).images(backbone, images) == expected).all()
assert not {"open_clip", "torchvision"} & set(sys.modules)  # they take seconds to import
assert other == 0 or os.waitpid(other, 0)[1] == 0
"""


def test_processes_write_the_same_features_at_the_same_time(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITERS, str(tmp_path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=100, check=False)
    assert ended.returncode == 0, ended.stderr
    assert {f.suffix for f in tmp_path.iterdir()} <= {".safetensors"}  # no partial file remains
