"""Logits of all samples of a split, and the likeliest classes by them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks import memory
from benchmarks.backbones import Backbone
from benchmarks.datasets.base import Scores
from benchmarks.inputs.samples import SplitSamples
from methods.base import Predictor

SAMPLES = {"images": 256, "features": 1024}
"""Samples in a forward pass; a method on features may compare each with 100,000 cached ones."""
TOP = 5
"""Number of likeliest classes that records keep for each test image."""
ROWS = 1024
"""Number of images whose probabilities are in memory at once."""


OWN_LOGITS = "scores=softmax is taken of this method's logits: it gives no uncalibrated ones"
"""Footnote of a record whose softmax may be that of calibrated logits."""


def as_measured(predictor: Predictor, scores: Scores) -> tuple[Predictor, tuple[str, ...]]:
    """Return a predictor of the logits that a data set's average precision starts from, and notes.

    A calibration shifts all scores of a class alike, so it changes no average precision on logits.
    A softmax over the classes of shifted logits has another order within each class.

    Args:
        predictor: the result of `fit`.
        scores: of the data set.
    """
    if scores == "logits":
        return predictor, ()
    if predictor.uncalibrated is None:
        return predictor, (OWN_LOGITS,)
    return dataclasses.replace(predictor, logits=predictor.uncalibrated), ()


def logits_of_all(
    predictor: Predictor, samples: SplitSamples, backbone: Backbone, needs: str, classes: int
) -> Tensor:
    """Return what `logits_of` does, with smaller forward passes where memory is short."""
    size = SAMPLES[needs]
    while True:
        try:
            return logits_of(predictor, samples, backbone, needs, classes, size)
        except (RuntimeError, MemoryError) as error:
            size = memory.halved(size, error)
        memory.release(backbone.device)


@torch.no_grad()
def logits_of(
    predictor: Predictor,
    samples: SplitSamples,
    backbone: Backbone,
    needs: str,
    classes: int,
    size: int,
) -> Tensor:
    """Return (N, C) float32 logits on the CPU, the mean over the predictor's views.

    Args:
        predictor: the result of `fit`.
        samples: N samples; images are read ahead of the forward pass.
        backbone: its precision is used for images.
        needs: "features" or "images".
        classes: C.
        size: number of samples in a forward pass.

    Raises:
        TypeError: logits that are not a dense tensor of real numbers.
        ValueError: logits of another shape, or logits that are not finite.
    """
    every = np.arange(len(samples))
    chunks = [every[start : start + size] for start in range(0, len(samples), size)]
    found = torch.empty(len(samples), classes, dtype=torch.float32)
    seen = samples.views(chunks, needs=needs, views=predictor.views)
    for index, views in zip(chunks, seen, strict=True):
        parts = []
        for batch in views:
            with backbone.precision_for(needs):
                logits = _plain(predictor.logits(batch))
            if tuple(logits.shape) != (len(index), classes):
                raise ValueError(
                    f"logits of shape {tuple(logits.shape)}, expected ({len(index)}, {classes})"
                )
            if not all(torch.isfinite(end) for end in torch.aminmax(logits)):
                raise ValueError("logits hold NaN or infinite values")
            parts.append(logits.float())
        found[index[0] : index[-1] + 1] = (
            parts[0] if len(parts) == 1 else torch.stack(parts).mean(0)
        )
    return found


def _plain(logits: Any) -> Tensor:
    """Return logits as a plain dense tensor of real numbers.

    Raises:
        TypeError: they are something else.
    """
    if not isinstance(logits, Tensor):
        raise TypeError(f"logits must be a torch.Tensor, not {type(logits).__name__}")
    with torch._C.DisableTorchFunctionSubclass():
        if type(logits) is not Tensor:
            logits = logits.as_subclass(Tensor)
        if logits.layout is not torch.strided or logits.is_quantized or logits.is_nested:
            raise TypeError("logits must be a dense tensor")
        if logits.is_complex() or logits.is_meta:
            raise TypeError("logits must be real numbers")
    found: Tensor = logits
    return found


def likeliest(
    logits: Tensor, labels: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the likeliest classes of each image; ties go to the class with the lower index.

    Images are processed in parts: all probabilities of iNaturalist's 24,426 images and 8,142
    classes would take 1.6 GB in double precision.

    Args:
        logits: (N, C) float32.
        labels: (N,) true classes.

    Returns:
        (N, K) class indices, (N, K) their probabilities, (N,) probabilities of the true classes; K
        is 5, or C if there are fewer classes.
    """
    best = min(TOP, logits.shape[1])
    top = np.empty((len(labels), best), dtype=np.int64)
    probability, true = np.empty(top.shape), np.empty(len(labels))
    for start in range(0, len(labels), ROWS):
        part = slice(start, start + ROWS)
        left = logits[part].softmax(-1, dtype=torch.float64).numpy()
        every = np.arange(len(left))
        true[part] = left[every, labels[part]]
        for rank in range(best):
            first = left.argmax(1)
            top[part, rank], probability[part, rank] = first, left[every, first]
            left[every, first] = -1.0
    return top, probability, true
