"""Frozen features, computed once: a store on disk keyed by what they are features of.

The key of image features holds the weights, the evaluation transform, the precision and the pixels;
that of text features the weights, the precision and the strings. Methods, seeds and losses share
them. A file is written under another name and renamed, so that a half-written one is never read.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from benchmarks.backbones import Backbone
from benchmarks.cache import cache_dir
from benchmarks.datasets._image_files import read_many
from benchmarks.datasets.base import Images, hash_strings

FEATURES_VERSION = "1"
"""Raise when the same inputs would give other features."""


class FeatureStore:
    """Image and text features of frozen backbones, in memory and in `folder`.

    Args:
        folder: where to keep them; None keeps them in memory only.
        batch_size: images a forward pass.
    """

    def __init__(self, folder: Path | None, batch_size: int = 256) -> None:
        self._folder = folder
        self._batch_size = batch_size
        self._memory: dict[str, Tensor] = {}
        self.seconds = 0.0
        """Time spent computing features so far: no cost of the method that happens to ask first."""

    def images(
        self, backbone: Backbone, images: Images, progress: Callable[[int, int], None] | None = None
    ) -> Tensor:
        """(N, D) L2-normalised float32 features of N images, on the CPU."""

        def compute() -> Tensor:
            parts = []
            for start in range(0, len(images), self._batch_size):
                stop = min(start + self._batch_size, len(images))
                pixels = backbone.prepare(read_many(images, range(start, stop)))
                parts.append(backbone.encode_images(pixels).cpu())
                if progress is not None:
                    progress(stop, len(images))
            return torch.cat(parts)

        return self._cached(self.image_key(backbone, images), compute)

    def texts(self, backbone: Backbone, texts: Sequence[str]) -> Tensor:
        """(n, D) L2-normalised float32 features of n strings, on the CPU."""
        key = self._key("text", backbone, hash_strings(list(texts)))
        return self._cached(key, lambda: backbone.encode_text(texts).cpu())

    def image_key(self, backbone: Backbone, images: Images) -> str:
        """The name under which `images` keeps its result."""
        return self._key("image", backbone, backbone.preprocess_hash, images.digest())

    def forget(self) -> None:
        """Let go of what is in memory; what is on disk stays."""
        self._memory.clear()

    def has(self, key: str) -> bool:
        """Whether features of that name are at hand."""
        return key in self._memory or (self._folder is not None and self._file(key).is_file())

    def bookmark(self, name: str, keys: Sequence[str]) -> None:
        """Note that a data set's features are those of `keys`, for who has not loaded the data."""
        if self._folder is None or self.bookmarked(name):
            return
        with suppress(OSError):
            self._bookmark(name).write_text(json.dumps(list(keys)), encoding="utf-8")

    def bookmarked(self, name: str) -> bool:
        """Whether the features that were bookmarked as `name` are all at hand."""
        if self._folder is None:
            return False
        try:
            keys = json.loads(self._bookmark(name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        return all(self.has(key) for key in keys)

    def _bookmark(self, name: str) -> Path:
        assert self._folder is not None
        return self._folder / f"bookmark-{name}.json"

    def _key(self, kind: str, backbone: Backbone, *content: str) -> str:
        parts = [FEATURES_VERSION, kind, backbone.id.weights_id, backbone.precision, *content]
        return f"{kind}-{hash_strings(parts)}"

    def _file(self, key: str) -> Path:
        assert self._folder is not None
        return self._folder / f"{key}.safetensors"

    def _cached(self, key: str, compute: Callable[[], Tensor]) -> Tensor:
        if key not in self._memory:
            found = self._read(key)
            if found is None:
                clock = time.perf_counter()
                found = compute().contiguous()
                self.seconds += time.perf_counter() - clock
                self._write(key, found)
            self._memory[key] = found
        return self._memory[key]

    def _read(self, key: str) -> Tensor | None:
        """The stored features, or None where there are none or the file is damaged."""
        if self._folder is None or not self._file(key).is_file():
            return None
        try:
            tensors = load_file(self._file(key))
            features = tensors["features"]
            if bytes(tensors["sha256"].tolist()).hex() == _sha256(features):
                return features
        except (SafetensorError, OSError, KeyError, RuntimeError, ValueError):
            pass  # RuntimeError: torch's word for a file that has just been removed
        return None

    def _write(self, key: str, features: Tensor) -> None:
        if self._folder is None:
            return
        partial = self._folder / f".{key}.{os.getpid()}.partial"
        checksum = torch.tensor(list(bytes.fromhex(_sha256(features))), dtype=torch.uint8)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            save_file({"features": features, "sha256": checksum}, partial)
            os.replace(partial, self._file(key))
        except (OSError, SafetensorError):  # a cache that cannot be written is none, no error
            with suppress(OSError):
                partial.unlink(missing_ok=True)


def user_store() -> FeatureStore:
    """The store in the user's cache folder, shared by all runs."""
    return FeatureStore(cache_dir() / "features")


def _sha256(features: Tensor) -> str:
    return hashlib.sha256(np.ascontiguousarray(features.numpy()).data).hexdigest()
