"""Randomness of the embedded world: SplitMix64's raw stream, the same on every machine.

This module and `draw` avoid NumPy's distribution methods, whose streams may change between
releases. They use only 64-bit integers, and + − × ÷ in float64, which IEEE 754 defines bit by bit.
The stream is addressed by position, so any part of it can be computed for many keys at once.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


def key_of(*parts: object) -> int:
    """A 64-bit key: the first 8 bytes of the SHA-256 of the parts, one per line."""
    text = "\n".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


def raw(keys: NDArray[np.uint64], first: int, count: int) -> NDArray[np.uint64]:
    """Words `first` … `first + count - 1` of each key's stream, (N, count)."""
    steps = np.arange(first + 1, first + count + 1, dtype=np.uint64) * _GAMMA
    z = keys[:, None] + steps
    z ^= z >> np.uint64(30)
    z *= _MIX[0]
    z ^= z >> np.uint64(27)
    z *= _MIX[1]
    z ^= z >> np.uint64(31)
    return z


def uniform(words: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Words as multiples of 2^-53 in [0, 1)."""
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53


class Source:
    """The stream of one key, read sequentially: for shuffles and choices, not for pixels."""

    def __init__(self, *parts: object) -> None:
        self._key = np.array([key_of(*parts)], dtype=np.uint64)
        self._position = 0
        self._ahead: list[int] = []  # words read in advance, the next one last

    def uniform(self, count: int) -> NDArray[np.float64]:
        """The next `count` numbers in [0, 1)."""
        return uniform(self._words(count))

    def below(self, bound: int) -> int:
        """The next integer in [0, bound); the bias is negligible for bounds far below 2^32."""
        if not self._ahead:
            self._ahead = self._read(32)[::-1].tolist()
        return (self._ahead.pop() >> 32) * bound >> 32

    def permutation(self, count: int) -> NDArray[np.int64]:
        """A random permutation of 0 … count - 1: the sort order of `count` words (stable)."""
        return np.argsort(self._words(count), kind="stable").astype(np.int64)

    def _words(self, count: int) -> NDArray[np.uint64]:
        self._position -= len(self._ahead)
        self._ahead = []
        return self._read(count)

    def _read(self, count: int) -> NDArray[np.uint64]:
        words: NDArray[np.uint64] = raw(self._key, self._position, count)[0]
        self._position += count
        return words
