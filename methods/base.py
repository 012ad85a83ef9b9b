"""The contract of a method: `fit(task) -> Predictor`, and the task it is given.

A method is a frozen dataclass whose fields are its hyper-parameters. Constructing one does no work;
`fit` does all of it and stores nothing on the method. `Task` holds everything that `fit` may use:
training images or features with labels, texts, counts, the backbone, randomness. It holds no test
labels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks import randomness
from benchmarks.augment import InEpoch
from benchmarks.backbones import Backbone
from benchmarks.datasets.base import Scores, TaskKind, Texts
from benchmarks.hierarchy import Hierarchy
from methods.registry import MethodInfo
from methods.space import Distribution

TextSource = Literal["names", "descriptions", "both"]
"""Texts of a data set that fill a prompt."""
Views = Literal["whole", "five crops"]
"""Views of a test image that a predictor gets."""


@dataclass(frozen=True)
class Batch:
    """Some samples. `images` is None for methods that need only features, and vice versa."""

    index: Tensor
    """(B,) positions in the split."""
    features: Tensor | None
    """(B, D) L2-normalised frozen features."""
    images: Tensor | None
    """(B, 3, H, W) preprocessed for the backbone."""

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, part: slice) -> Batch:
        """A slice of the batch."""
        return Batch(
            self.index[part],
            None if self.features is None else self.features[part],
            None if self.images is None else self.images[part],
        )

    @property
    def inputs(self) -> Tensor:
        """The images, or the features if there are no images."""
        inputs = self.features if self.images is None else self.images
        assert inputs is not None
        return inputs


def feature_batches(features: Tensor, parts: Sequence[NDArray[np.int64]]) -> Iterator[Batch]:
    """Batches of frozen features.

    All positions go to the device in one copy: a copy for each batch would make the host wait.

    Args:
        features: (N, D), on the task's device.
        parts: positions of each batch.
    """
    every = torch.from_numpy(np.concatenate(parts)).to(features.device)
    for where in every.split([len(part) for part in parts]):
        yield Batch(where, features.index_select(0, where), None)


@dataclass
class Predictor:
    """Result of `fit`: a function from a batch to logits, and the cost of training."""

    logits: Callable[[Batch], Tensor]
    """Batch of B samples -> (B, C) logits; called without gradients."""
    trainable_params: int = 0
    epochs: int = 0
    images_seen: int = 0
    notes: tuple[str, ...] = ()
    """Footnotes for this run's record."""
    fitted_together: int = 1
    """Number of trainings that ran together, this one included."""
    views: Views = "whole"
    """five crops: test logits are the mean over the four corners and the centre of the enlarged
    image (test-time ensembling, see `methods.parts.ensembling`)."""
    uncalibrated: Callable[[Batch], Tensor] | None = None
    """Batch of B samples -> (B, C) logits before any scale and biases that are fitted to the labels
    so that sigmoids suit them. A softmax over the classes (`scores=softmax` of multi-label data) is
    taken of these, and without them of `logits`, with a footnote."""
    needs: Literal["features", "images"] | None = None
    """Content of its batches, if it is not what the method is registered with."""


FitResult = Predictor | Exception
"""Result of one of several fits."""


def measured(logits: Tensor, scores: Scores) -> Tensor:
    """The numbers that average precision is computed from.

    Args:
        logits: (N, C), for a softmax those without a calibration.
        scores: of the data set.

    Returns:
        (N, C): the logits, or their log-softmax over the classes, float32 on the CPU.
    """
    if scores == "logits":
        return logits
    # The logarithm keeps the order and avoids the ties of rounded small probabilities.
    return logits.cpu().double().log_softmax(-1).float()


class _Measured(nn.Module):
    """A module that returns what average precision on a softmax is computed from.

    Args:
        module: batch -> (B, C) logits; its method `uncalibrated`, if it has one, returns those
            without a calibration.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, batch: Batch) -> Tensor:
        """B samples -> (B, C)."""
        return measured(getattr(self.module, "uncalibrated", self.module)(batch), "softmax")


class Samples(Protocol):
    """Labelled samples of one split, as features or as batches of images."""

    labels: Tensor
    """(N,) class indices, or (N, C) zeros and ones for multi-label; on the task's device."""

    @property
    def keys(self) -> NDArray[np.uint64]:
        """(N,) keys of the sample ids, for `randomness`."""
        ...

    @property
    def captions(self) -> tuple[str, ...] | None:
        """N captions, or None if the data set has none."""
        ...

    def __len__(self) -> int: ...

    def features(self) -> Tensor:
        """(N, D) L2-normalised frozen features of the unaugmented images, on the task's device.

        Shared by all methods, like labels and backbone: work on a copy. A method that changes one
        of them in place fails.
        """
        ...

    def batch(
        self,
        index: NDArray[np.int64],
        *,
        needs: str,
        augment: InEpoch = "none",
        stream: tuple[Any, ...] = (),
    ) -> Batch:
        """Samples at `index`, features or images; augmentation is keyed by sample and `stream`.

        An augmentation that changes over the epochs is given by `benchmarks.augment.in_epoch`.
        """
        ...

    def loader(
        self,
        parts: Sequence[NDArray[np.int64]],
        *,
        needs: str,
        augment: InEpoch = "none",
        stream: tuple[Any, ...] = (),
    ) -> Iterator[Batch]:
        """`batch` of each of `parts`, in order, prepared ahead while the caller computes."""
        ...


class Progress(Protocol):
    """Callback through which a method reports its progress."""

    def __call__(self, epoch: int, epochs: int, step: int, steps: int) -> None: ...


class Checkpoint(Protocol):
    """Store of the training loop's state, so that an interrupted cell can resume."""

    def load(self) -> dict[str, Any] | None:
        """The saved state, or None to start from the beginning."""
        ...

    def save(self, state: Mapping[str, Any]) -> None:
        """Save the state to resume from."""
        ...

    def trained(self, stage: int, state: Mapping[str, Any]) -> None:
        """Take the final module state, not a copy, of this fit's training number `stage`."""
        ...

    @property
    def earlier_s(self) -> float:
        """Seconds of training that led to the loaded state; 0 if none was loaded."""
        ...


class TextCache(Protocol):
    """Frozen text features, read from the store if they are known."""

    def __call__(self, texts: Sequence[str], mean_of: int = 1) -> Tensor:
        """N strings -> (N, D) L2-normalised, or their means over each `mean_of` successive ones."""
        ...


@dataclass
class Task:
    """Everything a method may use. C classes, N training samples, D features."""

    kind: TaskKind
    texts: Texts
    counts: Tensor
    """(C,) float, training images per class; may contain zeros."""
    membership: tuple[str, ...]
    """(C,) "many", "medium" or "few"."""
    train: Samples
    validation: Samples | None
    """Only with `--select val`; never test samples."""
    backbone: Backbone
    seed: int
    device: torch.device
    progress: Progress
    checkpoint: Checkpoint
    text_cache: TextCache
    hierarchy: Callable[[], Hierarchy] | None = None
    """Builds a tree over the classes, if the data set has one; raises NotApplicable if it needs
    something that is not on this machine."""
    scores: Scores = "logits"
    """Multi-label only: what average precision on the test images is computed from."""
    notes: list[str] = field(default_factory=list)
    """Footnotes for the record, added while the method uses the task (see `note`)."""
    details: list[str] = field(default_factory=list)
    """Remarks for the author of the method (see `detail`)."""
    curves: dict[str, dict[float, float]] = field(default_factory=dict)
    """Numbers by epoch for the record (see `log`)."""
    started: Callable[[int, Mapping[str, Tensor]], None] = lambda stage, state: None
    """Called by the shared loop with the number of each training and the state of its module before
    the first step, which is not a copy."""

    @property
    def num_classes(self) -> int:
        return len(self.texts.class_names)

    @cached_property
    def log_prior(self) -> Tensor:
        """(C,) log of the training class frequencies; zero images count as half an image."""
        counts = self.counts.clamp(min=0.5)
        return (counts / counts.sum()).log()

    # ---- validation ----------------------------------------------------------------------------

    def measured(self, logits: Tensor) -> Tensor:
        """(N, C) uncalibrated logits -> what average precision is computed from, see `measured`."""
        return measured(logits, self.scores)

    def as_measured(self, module: nn.Module) -> nn.Module:
        """A module whose outputs are what average precision is computed from.

        Args:
            module: batch -> (B, C) logits. A softmax is taken of its method `uncalibrated`, if it
                has one.
        """
        return module if self.scores == "logits" else _Measured(module)

    # ---- texts ---------------------------------------------------------------------------------

    def prompts(self, source: TextSource = "names", *, ensemble: bool = True) -> list[list[str]]:
        """Prompts of every class: C lists, one string per template (the first unless `ensemble`).

        A data set without descriptions falls back to its names and adds a note.
        """
        fillings = self._fillings(source)
        templates = self.texts.templates if ensemble else self.texts.templates[:1]
        return [[template.format(filling) for template in templates] for filling in fillings]

    def text_features(self, source: TextSource = "names", *, ensemble: bool = True) -> Tensor:
        """(C, D) L2-normalised text features, averaged over the templates (Radford et al. 2021).

        Raises:
            NotApplicable: the backbone has no text tower.
        """
        self.backbone.require_text()
        prompts = self.prompts(source, ensemble=ensemble)
        self.note_unknown_words(self._fillings(source))
        flat = [prompt for group in prompts for prompt in group]
        mean = self.text_cache(flat, len(prompts[0])).to(self.device)  # (C, D)
        return torch.nn.functional.normalize(mean, dim=-1)

    def _fillings(self, source: TextSource) -> list[str]:
        """Strings that fill the templates, one per class."""
        names, texts = self.texts.class_names, self.texts.descriptions
        if texts is None and source != "names":
            self.note("the data set has no class descriptions: names were used instead")
        if texts is None or source == "names":
            return list(names)
        if source == "descriptions":
            return list(texts)
        # A class without a description has its name in place of one.
        pairs = zip(names, texts, strict=True)
        return [name if text == name else f"{name}, {text}" for name, text in pairs]

    # ---- randomness ----------------------------------------------------------------------------

    def generator(self, purpose: str) -> torch.Generator:
        """A CPU generator for this seed and purpose."""
        return randomness.generator(self.seed, purpose)

    def normal_per_class(self, purpose: str, *shape: int) -> Tensor:
        """(C, *shape) standard normal numbers keyed by class name, on the task's device."""
        draws = randomness.normal_per_class(self.texts.class_names, shape, self.seed, purpose)
        return draws.to(self.device)

    def epoch_order(self, epoch: int) -> NDArray[np.int64]:
        """(N,) order of the training samples in an epoch."""
        return randomness.shuffled(self.train.keys, self.seed, "order", epoch)

    # ---- notes ---------------------------------------------------------------------------------

    def note_unknown_words(self, texts: Sequence[str]) -> None:
        """Add a note if the text tower was not trained on the words of most of these texts."""
        known = sum(self.backbone.knows(text, invented=self.texts.invented) for text in texts)
        if 2 * known < len(texts):
            self.note("text tower untrained on these words: chance expected from texts alone")

    def note(self, text: str) -> None:
        """Add a footnote to the record (once): what a reader of a table has to know.

        It is printed under tables, so it should be the same for all seeds.
        """
        if text not in self.notes:
            self.notes.append(text)

    def detail(self, text: str) -> None:
        """Add a remark to the record (once): what helps the author of a method to understand a run.

        It is shown beside the cell, and not under tables.
        """
        if text not in self.details:
            self.details.append(text)

    def log(self, name: str, epoch: float, value: float) -> None:
        """Add a number to a curve of the record, which keeps six digits of it.

        The shared loop logs `loss`, the mean over the steps of an epoch, and with `--select val`
        `validation`, the score (in [0, 1]) on the validation images after it.

        Args:
            name: name of the curve.
            epoch: number of epochs trained, from 1; a later call for the same epoch replaces the
                value.
            value: a finite number.
        """
        self.curves.setdefault(name, {})[epoch] = float(f"{value:.6g}")

    def batches(
        self, samples: Samples, needs: str, batch_size: int
    ) -> Iterator[tuple[Batch, Tensor]]:
        """Batches of a split in its own order, unaugmented, with their labels."""
        every = np.arange(len(samples))
        parts = [every[start : start + batch_size] for start in range(0, len(every), batch_size)]
        for batch in samples.loader(parts, needs=needs):
            yield batch, samples.labels[batch.index.to(samples.labels.device)]


class Method(ABC):
    """Base class of every method: a frozen dataclass, registered with `@register`."""

    info: ClassVar[MethodInfo]
    space: ClassVar[Mapping[str, Distribution]] = {}
    """Values that `tune` may try, by field."""
    quick: ClassVar[Mapping[str, Any]] = {}
    """Values that `check` gives to fields, besides few epochs and small batches, so that a fit on
    its tiny world takes a second. Only for methods of many trainings."""

    @abstractmethod
    def fit(self, task: Task) -> Predictor:
        """Learn from `task`.

        Raises:
            NotApplicable: the method does not support this task or backbone; the record says why.
        """

    def fit_many(self, tasks: Sequence[Task]) -> Sequence[FitResult]:
        """Fit tasks that differ only in their seed; return a predictor or an exception for each.

        Override this to share work between them; the runner then passes all seeds at once. The
        logits must be those of single fits, up to rounding (the check `together`). A method on
        frozen features that trains through the shared loop should derive from
        `parts.training.learning.Learner` instead: its seeds and hyper-parameters are fitted
        together, and their logits are those of single fits bit for bit.
        """
        return [self.fit(task) for task in tasks]
