"""A predictor's logits for all samples of a split."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from benchmarks.backbones import Backbone
from benchmarks.inputs.samples import SplitSamples
from methods.base import Predictor

SAMPLES = {"images": 256, "features": 1024}
"""Samples a forward pass. A method on features may compare each with 100,000 cached ones."""


@torch.no_grad()
def logits_of(
    predictor: Predictor,
    samples: SplitSamples,
    backbone: Backbone,
    needs: str,
    classes: int,
    size: int,
) -> Tensor:
    """(N, C) float32 logits on the CPU, the mean over the predictor's views.

    Args:
        predictor: what `fit` returned.
        samples: N of them; images are read ahead of the forward pass.
        backbone: whose precision is used for images.
        needs: "features" or "images".
        classes: C.
        size: samples a forward pass.

    Raises:
        ValueError: logits of another shape, or that are not finite.
    """
    every = np.arange(len(samples))
    chunks = [every[start : start + size] for start in range(0, len(samples), size)]
    found = torch.empty(len(samples), classes)
    seen = samples.views(chunks, needs=needs, views=predictor.views)
    for index, views in zip(chunks, seen, strict=True):
        parts = []
        for batch in views:
            with backbone.precision_for(needs):
                logits = predictor.logits(batch)
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
