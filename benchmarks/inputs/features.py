"""Store of frozen features, computed once and kept on disk under a hash of their inputs.

The key of image features contains the weights, the evaluation transform, the precision, the images
and, unless it is the whole image, the view; that of text features the weights, the precision and
the strings. Methods, seeds, losses and
processes share them, also those of other machines if the folder is on storage that they share
(`passes.py`). On disk they are read as memory maps, so the processes of one machine hold them once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.backbones import Backbone
from benchmarks.cache import ENVIRONMENT_VARIABLE
from benchmarks.datasets.base import Images, hash_strings
from benchmarks.inputs.feature_index import FeatureIndex, feature_file, user_folder
from benchmarks.inputs.passes import Compute, Report, computed_once, stored_rows
from benchmarks.loading import ahead
from benchmarks.protocol import CROPS, FEATURES_VERSION
from benchmarks.views import enlarged_size, five_crops

CPU_BATCH, DEVICE_BATCH = 32, 256
"""Images per forward pass. On a CPU, batches of 16 took the same time per image, batches of 64 a
quarter more (ViT-B/16)."""
BLOCK = 1024
"""Images per block: the most that an interruption can lose."""
TEXTS = 4096
"""Strings per block."""

_log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
"""Called with (done, total)."""


class FeatureStore:
    """Image and text features of frozen backbones, in memory and in `folder`.

    Args:
        folder: where to store them; None keeps them in memory only.
        batch_size: images per forward pass; the default depends on the device.
    """

    def __init__(self, folder: Path | None, batch_size: int | None = None) -> None:
        self._folder = folder
        self._batch_size = batch_size
        self._memory: dict[str, Tensor] = {}
        self._warned = False
        self.may_store: Callable[[], bool] = lambda: True
        """Asked before features are stored: a plug-in may have changed the backbone."""
        self.seconds = 0.0
        """Time spent computing features so far, so that it is not counted as the first method's."""

    def images(
        self, backbone: Backbone, images: Images, progress: Progress | None = None
    ) -> Tensor:
        """(N, D) L2-normalised float32 features of N images, on the CPU."""

        def read(part: range) -> Tensor:
            raw = backbone.read(images, part)
            return raw.pin_memory() if backbone.device.type == "cuda" else raw

        def encode(raw: Tensor) -> Tensor:
            pixels = raw.to(backbone.device, non_blocking=True)
            return backbone.encode_images(backbone.normalise(pixels))

        key = self.image_key(backbone, images)
        return self._of_images(backbone, len(images), key, read, encode, progress)

    def five_crops(
        self, backbone: Backbone, images: Images, progress: Progress | None = None
    ) -> Tensor:
        """(N, 5, D) L2-normalised float32 features of the five crops of N images, on the CPU.

        The crops are those of `benchmarks.views`, in its order; an image is read once for all five.

        Raises:
            NotApplicable: no five crops with the backbone's evaluation transform.
        """
        side = backbone.image_size
        read = partial(backbone.read_enlarged, images)

        def encode(large: list[NDArray[np.uint8]]) -> Tensor:
            rows = [
                backbone.encode_images(backbone.normalise(crops.to(backbone.device)))
                for crops in five_crops(large, side)
            ]
            return torch.cat(rows, dim=1)  # (B, 5 D)

        key = self.crops_key(backbone, images)
        rows = self._of_images(backbone, len(images), key, read, encode, progress)
        return rows.view(len(images), CROPS, -1)

    def _of_images(
        self,
        backbone: Backbone,
        count: int,
        key: str,
        read: Callable[[range], Any],
        encode: Callable[[Any], Tensor],
        progress: Progress | None,
    ) -> Tensor:
        """Rows of `count` images: `read` batches of them ahead, and `encode` each."""

        def report(done: int) -> None:
            if progress is not None:
                progress(done, count)

        def compute(blocks: Sequence[range]) -> Iterator[Tensor]:
            size = self._batch_size or (
                CPU_BATCH if backbone.device.type == "cpu" else DEVICE_BATCH
            )
            parts = [_cut(block, size) for block in blocks]
            with closing(ahead(read, [part for block in parts for part in block])) as made:
                for block in parts:
                    rows = []
                    for part in block:
                        rows.append(encode(next(made)))
                        report(part.stop)
                    yield torch.cat(rows).cpu()

        return self._cached(key, _cut(range(count), BLOCK), compute, report)

    def texts(
        self,
        backbone: Backbone,
        texts: Sequence[str],
        mean_of: int = 1,
        progress: Progress | None = None,
    ) -> Tensor:
        """(n, D) L2-normalised float32 features of n strings, on the CPU.

        Args:
            backbone: the backbone that encodes them.
            texts: the strings; repeated ones are encoded once.
            mean_of: return the means of groups of this many successive strings, (n / mean_of, D).
                650,000 prompts of 8,142 classes take 1.3 GB, their means 16 MB.
            progress: called with (strings done, total) if there is more than one block.

        Raises:
            NotApplicable: the backbone has no text tower.
        """
        backbone.require_text()
        groups = [tuple(texts[i : i + mean_of]) for i in range(0, len(texts), mean_of)]
        place = {group: i for i, group in enumerate(dict.fromkeys(groups))}
        distinct = list(place)
        blocks = _cut(range(len(distinct)), max(1, TEXTS // mean_of))

        def report(done: int) -> None:
            if progress is not None and len(distinct) * mean_of > TEXTS:
                progress(done * mean_of, len(distinct) * mean_of)

        def compute(blocks: Sequence[range]) -> Iterator[Tensor]:
            for block in blocks:
                flat = [text for i in block for text in distinct[i]]
                features = backbone.encode_text(flat)
                yield features.view(len(block), mean_of, -1).mean(1).cpu()
                report(block.stop)

        content = hash_strings([text for group in distinct for text in group])
        key = self._key("text", backbone, *([] if mean_of == 1 else [str(mean_of)]), content)
        found = self._cached(key, blocks, compute, report)
        # A copy: the next caller gets the same rows.
        return found[[place[g] for g in groups]]

    def image_key(self, backbone: Backbone, images: Images) -> str:
        """The key under which `images` stores its result."""
        return self._key("image", backbone, backbone.preprocess_hash, images.digest())

    def crops_key(self, backbone: Backbone, images: Images) -> str:
        """The key under which `five_crops` stores its result.

        Raises:
            NotApplicable: no five crops with the backbone's evaluation transform.
        """
        size = enlarged_size(backbone.preprocess, backbone.image_size)
        view = f"five crops of {size}"
        return self._key("image", backbone, backbone.preprocess_hash, view, images.digest())

    def forget(self) -> None:
        """Free the features in memory; those on disk remain."""
        self._memory.clear()

    def add_to_index(self, name: str, keys: Sequence[str]) -> None:
        """Record the keys of a data set's features, so that they are found without the data."""
        FeatureIndex(self._folder).add(name, keys)

    def _key(self, kind: str, backbone: Backbone, *content: str) -> str:
        parts = [str(FEATURES_VERSION), kind, backbone.id.weights_id, backbone.precision, *content]
        return f"{kind}-{hash_strings(parts)}"

    def _file(self, key: str) -> Path:
        assert self._folder is not None
        return feature_file(self._folder, key)

    def _cached(
        self, key: str, blocks: Sequence[range], compute: Compute, report: Report
    ) -> Tensor:
        if key not in self._memory:
            found = None if self._folder is None else stored_rows(self._file(key))
            if found is None:
                clock = time.perf_counter()
                if self._folder is None or not self.may_store():
                    found = torch.cat(list(compute(blocks)))
                else:
                    found, stored = computed_once(self._file(key), blocks, compute, report)
                    if not stored:
                        self._warn()
                self.seconds += time.perf_counter() - clock
            self._memory[key] = found
        return self._memory[key]

    def _warn(self) -> None:
        """Warn once that these features are not stored."""
        if not self._warned:
            _log.warning(
                "Features cannot be stored in %s: every run computes them. Free some space, or "
                "move the cache with %s=DIR.",
                self._folder,
                ENVIRONMENT_VARIABLE,
            )
        self._warned = True


def user_store() -> FeatureStore:
    """The store in the user's cache folder, shared by all runs."""
    return FeatureStore(user_folder())


def _cut(whole: range, size: int) -> list[range]:
    """A range cut into pieces of `size`; the last one may be shorter."""
    return [whole[start : start + size] for start in range(0, len(whole), size)]
