"""Randomness keyed by what it is for, not by when it is drawn.

A draw depends on (seed, purpose, class name or sample id, epoch) alone, so that it does not change
with the order of classes or samples, the batch size, the number of workers or an interruption.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # it is slow to import, and who lists or plans draws nothing from it
    import torch
    from torch import Tensor

UInt64 = NDArray[np.uint64]


def key(*parts: str | int) -> int:
    """A 63-bit key for a sequence of names and numbers."""
    text = "\x1f".join(f"{type(p).__name__}:{p}" for p in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(*parts: str | int) -> torch.Generator:
    """A CPU generator seeded by `key(*parts)`: the same numbers whatever the training device."""
    import torch

    return torch.Generator().manual_seed(key(*parts))


@contextmanager
def seeded(*parts: str | int, device: torch.device | None = None) -> Iterator[None]:
    """Torch's own random state set by `key(*parts)`, and put back as it was afterwards.

    Args:
        parts: what the state is a function of.
        device: whose state to set beside the CPU's.
    """
    import torch

    forked = [device] if device is not None and device.type == "cuda" else []
    with torch.random.fork_rng(devices=forked):
        torch.manual_seed(key(*parts))
        yield


def sample_keys(ids: tuple[str, ...]) -> UInt64:
    """(N,) keys of sample ids."""
    return np.array([key("sample", i) for i in ids], dtype=np.uint64)


def uniform(keys: UInt64, *stream: str | int) -> NDArray[np.float64]:
    """Numbers in [0, 1), of the shape of `keys`; each depends on its key and the stream alone."""
    with np.errstate(over="ignore"):
        mixed = _mix(keys ^ np.uint64(key(*stream)))
    return (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53


def shuffled(keys: UInt64, *stream: str | int) -> NDArray[np.int64]:
    """(N,) a permutation; the relative order of two samples does not depend on the others."""
    return np.argsort(uniform(keys, *stream), kind="stable").astype(np.int64)


def normal_per_class(names: tuple[str, ...], shape: tuple[int, ...], *parts: str | int) -> Tensor:
    """(C, *shape) standard normal numbers, each class's own and tied to its name."""
    import torch

    draws = [torch.randn(shape, generator=generator(*parts, "class", name)) for name in names]
    return torch.stack(draws)


def _mix(x: UInt64) -> UInt64:
    """The finaliser of splitmix64 (Steele, Lea, Flood 2014), twice for keys that differ little."""
    for _ in range(2):
        x = x + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = x ^ (x >> np.uint64(31))
    return x
