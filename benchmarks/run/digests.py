"""Quick hashes of tensors, to see whether their contents have changed.

A tensor's bytes are words of 64 bits. Each block of words is summed with random odd weights modulo
2^64, once as it is and once shifted by 32 bits, because a change of the highest bits alone would
vanish in the first sum. Swapped, compensating and sign-flipping changes therefore show, except with
a probability of about 2^-31. The weights are drawn anew in every process, so hashes are compared
within a process only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.loading import in_threads

_BLOCK = 2**14
"""Words of a block: its 128 KiB, the shifted copy and the weights stay in a processor's cache."""
_PART = 128 * _BLOCK
"""Words that a thread, or a kernel on a GPU, takes at a time: 16 MiB."""
_WEIGHTS = np.random.default_rng().integers(0, 2**64, (2, _BLOCK), dtype=np.uint64) | np.uint64(1)


def digests(tensors: Iterable[Tensor]) -> list[bytes]:
    """Return the hash of each tensor's contents.

    Tensors on a GPU are hashed there. A tensor that is not contiguous is copied first.

    Args:
        tensors: dense ones of any type and shape.
    """
    found = [_sums(tensor.detach()) for tensor in tensors]  # a GPU is awaited after all of them
    return [_digest(size, sums.cpu().numpy(), rest.cpu().numpy()) for size, sums, rest in found]


def _digest(size: int, sums: NDArray[np.int64], rest: NDArray[np.uint8]) -> bytes:
    content = size.to_bytes(8, "big") + sums.tobytes() + rest.tobytes()
    return hashlib.blake2b(content, digest_size=16).digest()


def _sums(tensor: Tensor) -> tuple[int, Tensor, Tensor]:
    """Return the number of bytes, the sums of all blocks, (2, blocks) int64, and the rest.

    The rest are up to seven bytes, which make no word.
    """
    if tensor.device.type not in ("cpu", "cuda"):
        tensor = tensor.cpu()
    raw = tensor.resolve_conj().resolve_neg().contiguous().view(-1).view(torch.uint8)
    if raw.data_ptr() % 8:
        raw = raw.clone()
    whole = raw.numel() // 8 * 8
    words = raw[:whole].view(torch.int64)
    sums = _on_gpu(words) if words.is_cuda else _on_cpu(words)
    return raw.numel(), sums, raw[whole:]


def _on_cpu(words: Tensor) -> Tensor:
    array = words.numpy().view(np.uint64)
    parts = [array[start : start + _PART] for start in range(0, len(array), _PART)]
    found = in_threads(_part, parts) if len(parts) > 1 else map(_part, parts)
    return torch.from_numpy(np.concatenate([np.empty((2, 0), np.uint64), *found], 1).view(np.int64))


def _part(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the sums of the blocks of an array, (2, blocks)."""
    buffer = np.empty(min(_BLOCK, len(words)), np.uint64)
    sums = np.empty((2, -(-len(words) // _BLOCK)), np.uint64)
    for number in range(sums.shape[1]):
        block = words[number * _BLOCK : (number + 1) * _BLOCK]
        size = len(block)
        high = np.right_shift(block, np.uint64(32), out=buffer[:size])
        sums[0, number] = np.dot(block, _WEIGHTS[0, :size])
        sums[1, number] = np.dot(high, _WEIGHTS[1, :size])
    return sums


def _on_gpu(words: Tensor) -> Tensor:
    weights = torch.from_numpy(_WEIGHTS.view(np.int64)).to(words.device)
    found = []
    for part in words.split(_PART):
        full = len(part) // _BLOCK * _BLOCK
        for blocks in (part[:full].view(-1, _BLOCK), part[full:].view(1, -1)):
            if blocks.numel():
                size = blocks.shape[1]
                # int64 shifts keep the sign, which changes nothing but the meaning of the sum.
                pair = (blocks * weights[0, :size], (blocks >> 32) * weights[1, :size])
                found.append(torch.stack([product.sum(1) for product in pair]))
    return torch.cat(found, 1) if found else words.new_empty((2, 0))
