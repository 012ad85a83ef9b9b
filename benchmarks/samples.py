"""A split as methods see it: labels, features from the store, batches of images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks import randomness
from benchmarks.augment import augmented, random_crop
from benchmarks.backbones import Backbone
from benchmarks.datasets._image_files import in_threads, read_many
from benchmarks.datasets.base import ArrayImages, Split
from benchmarks.features import FeatureStore
from benchmarks.views import five_crops
from methods.base import Batch


class SplitSamples:
    """The samples of one split (see `methods.base.Samples`).

    Args:
        split: images, labels, ids.
        backbone: whose features and evaluation transform are used.
        store: where frozen features are kept.
        progress: told (images done, images in all) while features are computed.
    """

    def __init__(
        self,
        split: Split,
        backbone: Backbone,
        store: FeatureStore,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self._split = split
        self._backbone = backbone
        self._store = store
        self._progress = progress
        self.labels: Tensor = torch.tensor(split.labels, device=backbone.device)
        self._versions = {"labels": self.labels._version}

    def __len__(self) -> int:
        return len(self._split)

    @cached_property
    def keys(self) -> NDArray[np.uint64]:
        return randomness.sample_keys(self._split.ids)

    @cached_property
    def _features(self) -> Tensor:
        features = self._store.images(self._backbone, self._split.images, self._progress)
        features = features.to(self._backbone.device)
        self._versions["_features"] = features._version
        return features

    @property
    def captions(self) -> tuple[str, ...] | None:
        """N captions, where the data set has any."""
        return self._split.captions

    @property
    def untouched(self) -> bool:
        """Whether nobody changed labels or features in place: torch counts such changes."""
        return all(getattr(self, name)._version == v for name, v in self._versions.items())

    def features(self) -> Tensor:
        """(N, D) frozen features, on the backbone's device."""
        return self._features

    def batch(
        self,
        index: NDArray[np.int64],
        *,
        needs: str,
        augment: str = "none",
        stream: tuple[Any, ...] = (),
    ) -> Batch:
        """Samples at `index`, as `methods.base.Samples.batch` says."""
        where = torch.from_numpy(index)
        if needs == "features":
            return Batch(where, self._features[where.to(self._features.device)], None)
        images, device = self._split.images, self._backbone.device
        # A transform that resizes beyond the input cuts the borders off its evaluation pixels.
        whole = isinstance(images, ArrayImages) and "resize" not in self._backbone.preprocess
        if augment == "crop_flip" and not whole:

            def cropped(i: int) -> NDArray[np.uint8]:
                return random_crop(images.read(i), self._backbone.image_size, self.keys[i], stream)

            crops = np.stack(list(in_threads(cropped, index.tolist())))
            return Batch(where, None, self._backbone.normalise(torch.from_numpy(crops).to(device)))
        pixels = self._backbone.prepare(read_many(images, index.tolist())).to(device)
        return Batch(where, None, augmented(pixels, augment, self.keys[index], stream))

    def loader(
        self,
        parts: Sequence[NDArray[np.int64]],
        *,
        needs: str,
        augment: str = "none",
        stream: tuple[Any, ...] = (),
    ) -> Iterator[Batch]:
        """`batch` of each of `parts`, in their order."""
        for part in parts:
            yield self.batch(part, needs=needs, augment=augment, stream=stream)

    def five_crops(self, index: NDArray[np.int64]) -> Iterator[Batch]:
        """The images at `index` as five batches, one a crop (see `benchmarks.views`)."""
        raw = read_many(self._split.images, index.tolist())
        for pixels in five_crops(self._backbone, raw):
            yield Batch(torch.from_numpy(index), None, pixels.to(self._backbone.device))
