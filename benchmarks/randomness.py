"""Random numbers keyed by their purpose, not by the order in which they are drawn.

A draw depends only on (seed, purpose, class name or sample id, epoch). It does not change with the
order of classes or samples, the batch size, the number of workers or an interruption.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # slow to import, and listing or planning draws nothing from it
    import torch
    from torch import Tensor

UInt64 = NDArray[np.uint64]


def key(*parts: str | int) -> int:
    """A 63-bit key for a sequence of names and numbers."""
    text = "\x1f".join(f"{type(p).__name__}:{p}" for p in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(*parts: str | int) -> torch.Generator:
    """A CPU generator seeded by `key(*parts)`: its numbers do not depend on the training device."""
    import torch

    return torch.Generator().manual_seed(key(*parts))


@contextmanager
def seeded(*parts: str | int, device: torch.device | None = None) -> Iterator[None]:
    """Seed torch's global random state with `key(*parts)`, and restore it afterwards.

    Args:
        parts: parts of the key.
        device: device whose state to seed in addition to the CPU's.
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
    """Numbers in [0, 1) in the shape of `keys`; each depends only on its key and the stream."""
    with np.errstate(over="ignore"):
        mixed = _mix(keys ^ np.uint64(key(*stream)))
    return (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53


def shuffled(keys: UInt64, *stream: str | int) -> NDArray[np.int64]:
    """(N,) permutation; the relative order of two samples does not depend on the others."""
    return np.argsort(uniform(keys, *stream), kind="stable").astype(np.int64)


def normal_per_class(names: tuple[str, ...], shape: tuple[int, ...], *parts: str | int) -> Tensor:
    """(C, *shape) standard normal numbers; those of a class depend on its name alone."""
    import torch

    draws = [torch.randn(shape, generator=generator(*parts, "class", name)) for name in names]
    return torch.stack(draws)


def _mix(x: UInt64) -> UInt64:
    """The finaliser of splitmix64 (Steele, Lea, Flood 2014), applied twice: keys may be similar."""
    for _ in range(2):
        x = x + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = x ^ (x >> np.uint64(31))
    return x
