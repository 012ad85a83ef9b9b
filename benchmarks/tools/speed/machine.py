"""Device, precision and number of repetitions of the measurements."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.cache import ENVIRONMENT_VARIABLE


@dataclass(frozen=True)
class Machine:
    """Device, precision and effort of the measurements."""

    device: torch.device
    precision: str
    """fp32 or bf16."""
    quick: bool = False
    """Few turns: to see the output, not to quote it."""
    jobs: int = 2
    """Worker processes of the sweeps that are run with `--jobs`."""
    ray: str = "local"
    """Address of the cluster of the sweep that is run with `--ray`."""
    theirs: Path | None = None
    """Checkout of LIFT's published code."""

    @property
    def dtype(self) -> torch.dtype:
        """The number type of matrix products."""
        return torch.bfloat16 if self.precision == "bf16" else torch.float32

    @property
    def turns(self) -> int:
        """Number of times that each contender runs."""
        return 2 if self.quick else 12

    @property
    def batch(self) -> int:
        """Number of images in a training step."""
        return 128 if self.device.type == "cuda" else 16


@contextmanager
def caching_in(folder: Path) -> Iterator[None]:
    """Use another cache folder within the context."""
    before = os.environ.get(ENVIRONMENT_VARIABLE)
    os.environ[ENVIRONMENT_VARIABLE] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ[ENVIRONMENT_VARIABLE]
        else:
            os.environ[ENVIRONMENT_VARIABLE] = before
