"""Quick hashes of tensors, to see whether their contents have changed.

Tensors in main memory are hashed by xxHash (XXH3, 128 bits), tensors on a GPU by a kernel of torch
calls, because xxHash has none: their bytes are words of 64 bits, and each block of words is summed
with random odd weights modulo 2^64, once as it is and once shifted by 32 bits, because a change of
the highest bits alone would vanish in the first sum. Swapped, compensating and sign-flipping
changes therefore show, except with a probability of about 2^-31. Seed and weights are drawn anew in
every process, so hashes are compared within a process only.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable

import numpy as np
import torch
import xxhash
from torch import Tensor

_SEED = secrets.randbits(64)
_BLOCK = 2**14
"""Words of a block."""
_PART = 128 * _BLOCK
"""Words that a kernel on a GPU takes at a time: 16 MiB."""
_WEIGHTS = np.random.default_rng().integers(0, 2**64, (2, _BLOCK), dtype=np.uint64) | np.uint64(1)


def digests(tensors: Iterable[Tensor]) -> list[bytes]:
    """Return the hash of each tensor's contents, 16 bytes.

    Tensors on a GPU are hashed there. A tensor that is not contiguous is copied first.

    Args:
        tensors: dense ones of any type and shape.
    """
    found = [_hashed(tensor.detach()) for tensor in tensors]  # a GPU is awaited after all of them
    return [_finished(one) if isinstance(one, tuple) else one for one in found]


def _hashed(tensor: Tensor) -> bytes | tuple[int, Tensor, Tensor]:
    """Return the hash of a tensor, or what is to be collected from its GPU (see `_sums`)."""
    if tensor.device.type not in ("cpu", "cuda"):
        tensor = tensor.cpu()
    raw = tensor.resolve_conj().resolve_neg().contiguous().view(-1).view(torch.uint8)
    return _sums(raw) if raw.is_cuda else xxhash.xxh3_128_digest(raw.numpy().data, seed=_SEED)


def _finished(on_gpu: tuple[int, Tensor, Tensor]) -> bytes:
    size, sums, rest = on_gpu
    content = size.to_bytes(8, "big") + sums.cpu().numpy().tobytes() + rest.cpu().numpy().tobytes()
    return hashlib.blake2b(content, digest_size=16).digest()


def _sums(raw: Tensor) -> tuple[int, Tensor, Tensor]:
    """Return the number of bytes, the sums of all blocks, (2, blocks) int64, and the rest.

    The rest are up to seven bytes, which make no word.

    Args:
        raw: (bytes,) uint8.
    """
    if raw.data_ptr() % 8:
        raw = raw.clone()
    whole = raw.numel() // 8 * 8
    words = raw[:whole].view(torch.int64)
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
    sums = torch.cat(found, 1) if found else words.new_empty((2, 0))
    return raw.numel(), sums, raw[whole:]
