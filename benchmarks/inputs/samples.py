"""A split as methods see it: labels, features from the store, batches of images."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks import randomness
from benchmarks.augment import InEpoch, crops, flipped, in_epoch, mirrored, mirrors, resized_crops
from benchmarks.backbones import Backbone
from benchmarks.datasets.base import ArrayImages, Split
from benchmarks.datasets.carving import ImageSubset
from benchmarks.datasets.files.image_files import crop
from benchmarks.datasets.files.resized import ResizedImages
from benchmarks.inputs.features import FeatureStore
from benchmarks.loading import ahead, in_threads
from benchmarks.protocol import CROPS
from benchmarks.views import five_crops
from methods.base import Batch, feature_batches


class _Raw(NamedTuple):
    """A batch of images on the CPU, before the device normalises and augments it."""

    where: Tensor
    """(B,) positions in the split."""
    pixels: Tensor
    """(B, h, w, 3) uint8: as stored, or already cropped or resized for evaluation."""
    boxes: Tensor | None
    """(B, 4) boxes to crop on the device."""
    bicubic: bool
    """Filter of these crops."""
    mirror: Tensor | None
    """(B,) mask of the images to mirror."""


class SplitSamples:
    """The samples of one split (see `methods.base.Samples`).

    Args:
        split: images, labels, ids.
        backbone: computes the features and defines the evaluation transform.
        store: the store of frozen features.
        progress: called with (images done, total) while features are computed.
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
        self.waited_s = 0.0
        """Seconds that callers of `loader` have waited for images so far."""
        self.labels: Tensor = torch.tensor(split.labels, device=backbone.device)

    def __len__(self) -> int:
        return len(self._split)

    @cached_property
    def keys(self) -> NDArray[np.uint64]:
        return randomness.sample_keys(self._split.ids)

    @cached_property
    def _features(self) -> Tensor:
        features = self._store.images(self._backbone, self._split.images, self._progress)
        return features.to(self._backbone.device)

    @cached_property
    def _crops(self) -> Tensor:
        crops = self._store.five_crops(self._backbone, self._split.images, self._progress)
        return crops.to(self._backbone.device)

    @property
    def captions(self) -> tuple[str, ...] | None:
        """N captions; None if the data set has none."""
        return self._split.captions

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors that methods share: the labels, and the features once in memory."""
        kept = {"features": "_features", "features of five crops": "_crops"}
        loaded = {what: vars(self)[name] for what, name in kept.items() if name in vars(self)}
        return {"labels": self.labels} | loaded

    def features(self) -> Tensor:
        """(N, D) frozen features, on the backbone's device."""
        return self._features

    def crops(self) -> Tensor:
        """(N, 5, D) frozen features of five crops of each image, on the backbone's device.

        Raises:
            NotApplicable: no five crops with the backbone's evaluation transform.
        """
        return self._crops

    def batch(
        self,
        index: NDArray[np.int64],
        *,
        needs: str,
        augment: InEpoch = "none",
        stream: tuple[Any, ...] = (),
    ) -> Batch:
        """The samples at `index` (see `methods.base.Samples.batch`)."""
        if needs == "features":
            return next(feature_batches(self._features, [index]))
        return self._finished(self._raw(index, _current(augment), stream))

    def loader(
        self,
        parts: Sequence[NDArray[np.int64]],
        *,
        needs: str,
        augment: InEpoch = "none",
        stream: tuple[Any, ...] = (),
    ) -> Iterator[Batch]:
        """`batch` for each of `parts` in order; images are read while the caller computes."""
        if needs == "features":
            yield from feature_batches(self._features, parts)
            return
        make = partial(self._raw, augment=_current(augment), stream=stream)
        with closing(ahead(make, parts)) as made:
            clock = time.perf_counter()
            for raw in made:
                batch = self._finished(raw)
                self.waited_s += time.perf_counter() - clock
                yield batch
                clock = time.perf_counter()

    def make_copies(self, progress: Callable[[int, int], None]) -> None:
        """Make the smaller copies that crops are taken from, if the data set is set to use them.

        Args:
            progress: called with (images done, total).
        """
        images = self._split.images
        whole = images.whole if isinstance(images, ImageSubset) else images
        if isinstance(whole, ResizedImages):
            whole.make(progress)

    def _raw(self, index: NDArray[np.int64], augment: InEpoch, stream: tuple[Any, ...]) -> _Raw:
        """Read a batch of images and draw its augmentation."""
        images, backbone = self._split.images, self._backbone
        keys = self.keys[index]
        drawn, boxes = crops(augment, keys, stream), None
        bicubic = drawn is not None and drawn.bicubic
        if drawn is None:
            raw = backbone.read(images, index.tolist())
        elif isinstance(images, ArrayImages):
            raw = torch.from_numpy(images.array[index])
            boxes = drawn.boxes(*raw.shape[1:3])
        else:

            def cropped(i: int) -> NDArray[np.uint8]:
                box, side = partial(drawn.box, i), backbone.image_size
                return crop(images, int(index[i]), box, side, bicubic=bicubic)

            raw = torch.from_numpy(np.stack(list(in_threads(cropped, range(len(index))))))
        mirror = mirrored(keys, stream) if mirrors(augment) else None

        def ready(part: Tensor) -> Tensor:
            # Pinned, so that the copy to the device is asynchronous.
            return part.pin_memory() if backbone.device.type == "cuda" else part

        return _Raw(
            ready(torch.from_numpy(index)),
            ready(raw),
            None if boxes is None else ready(torch.from_numpy(boxes)),
            bicubic,
            None if mirror is None else ready(torch.from_numpy(mirror)),
        )

    def _finished(self, raw: _Raw) -> Batch:
        """Copy a batch to the device, normalise and augment it."""
        backbone = self._backbone
        move = partial(torch.Tensor.to, device=backbone.device, non_blocking=True)
        pixels = backbone.normalise(move(raw.pixels))
        if raw.boxes is not None:
            boxes, side = move(raw.boxes), backbone.image_size
            limits = self._limits if raw.bicubic else None
            none = boxes.new_zeros(len(boxes), dtype=torch.bool)
            mirror = none if raw.mirror is None else move(raw.mirror)
            pixels = resized_crops(pixels, boxes, mirror, side, limits=limits)
        elif raw.mirror is not None:
            pixels = flipped(pixels, move(raw.mirror))
        return Batch(move(raw.where), None, pixels)

    @cached_property
    def _limits(self) -> Tensor:
        """(2, 3, 1, 1) normalised black and white."""
        black = torch.zeros(1, 1, 1, 3, dtype=torch.uint8, device=self._backbone.device)
        return self._backbone.normalise(torch.cat([black, 255 - black]))

    def views(
        self, parts: Sequence[NDArray[np.int64]], *, needs: str, views: str = "whole"
    ) -> Iterator[Iterator[Batch]]:
        """Unaugmented samples in the views that a predictor requests (see `Predictor.views`).

        Yields:
            For each of `parts`, read while the caller computes: one batch, or one for each of the
            five crops.
        """
        if views == "whole":
            yield from (iter([batch]) for batch in self.loader(parts, needs=needs))
            return

        if needs == "features":
            for index in parts:
                where = torch.from_numpy(index).to(self._backbone.device)
                rows = self._crops[where]  # (B, 5, D)
                yield (Batch(where, rows[:, view], None) for view in range(CROPS))
            return

        def make(index: NDArray[np.int64]) -> list[NDArray[np.uint8]]:
            return self._backbone.read_enlarged(self._split.images, index.tolist())

        with closing(ahead(make, parts)) as made:
            for index, large in zip(parts, made, strict=True):
                yield self._crops_of(index, large)

    def _crops_of(
        self, index: NDArray[np.int64], large: list[NDArray[np.uint8]]
    ) -> Iterator[Batch]:
        backbone = self._backbone
        for view in five_crops(large, backbone.image_size):
            pixels = backbone.normalise(view.to(backbone.device))
            yield Batch(torch.from_numpy(index), None, pixels)


def _current(augment: InEpoch) -> InEpoch:
    """An augmentation that a caller gave, by name as it is in the first epoch.

    Raises:
        UserError: there is none of this name.
    """
    return in_epoch(augment, 0, 1) if isinstance(augment, str) else augment
