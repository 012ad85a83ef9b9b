"""Prompts of different lengths packed as rows of one matrix, without padding between them.

A causal tower reads nothing after a prompt's end, so prompts are sorted by length and each takes as
many rows as it has tokens. Prompts of one length form a bucket, whose attention is one array; a
chunk of buckets is computed at a time.

C prompts, G sets of prompts that differ only in their leading tokens, T rows of a prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

BUCKET_ROWS = {"cpu": 24, "cuda": 4096}
"""Cost of one more bucket, in rows: a few short kernels in every block."""


@dataclass(frozen=True)
class Bucket:
    """Prompts with the same number of rows, ordered (G, n, T)."""

    first: int
    """First of their G * n * T rows."""
    prompts: Tensor
    """(n,) indices among the C prompts."""
    length: int
    """T."""
    ends: Tensor
    """(n,) row of each prompt's end among its T; less than T - 1 if the prompt is padded."""
    padded: bool
    """True if some prompts of the bucket are padded."""

    def read(self, sets: int) -> Tensor:
        """(G * n,) rows of the ends."""
        starts = torch.arange(sets * len(self.ends), device=self.ends.device) * self.length
        return self.first + starts + self.ends.repeat(sets)


@dataclass(frozen=True)
class Chunk:
    """Buckets that are computed together."""

    buckets: tuple[Bucket, ...]
    rows: int
    """Number of rows of all sets and, in the first chunk, of the leading tokens."""
    leading: int
    """Leading tokens of each set, whose rows (G, leading) precede the buckets."""

    def read(self, sets: int, device: torch.device) -> Tensor:
        """Rows of the ends, (G * n,), bucket by bucket."""
        none = torch.empty(0, dtype=torch.long, device=device)
        return torch.cat([none, *(bucket.read(sets) for bucket in self.buckets)])


def chunks(
    lengths: Sequence[int], *, sets: int, leading: int, rows: int, device: torch.device
) -> list[Chunk]:
    """All prompts in chunks of about equal numbers of rows.

    Args:
        lengths: number of tokens of each of the C prompts, without the leading ones.
        sets: G.
        leading: number of leading tokens, which are the same in all prompts of a set.
        rows: largest number of rows of a chunk; one prompt always fits.
        device: device of the tower.
    """
    cost = BUCKET_ROWS.get(device.type, BUCKET_ROWS["cuda"])
    sizes = _padded(lengths, cost / sets)  # C
    total = sets * (leading + sum(sizes))
    target = total / -(-total // rows)  # rows of a chunk if all had the same number
    parts: list[list[int]] = [[]]
    done = filled = sets * leading
    for c in sorted(range(len(sizes)), key=sizes.__getitem__):
        more = sets * sizes[c]
        if parts[-1] and (filled + more > rows or done >= target * len(parts)):
            parts.append([])
            filled = 0
        parts[-1].append(c)
        filled += more
        done += more
    return [
        _chunk(part, sizes, lengths, sets, 0 if i else leading, device)
        for i, part in enumerate(parts)
    ]


def _chunk(
    part: Sequence[int],
    sizes: Sequence[int],
    lengths: Sequence[int],
    sets: int,
    leading: int,
    device: torch.device,
) -> Chunk:
    buckets = []
    first = sets * leading
    for length in sorted({sizes[c] for c in part}):
        here = [c for c in part if sizes[c] == length]
        prompts = torch.tensor(here, device=device)
        ends = torch.tensor([lengths[c] - 1 for c in here], device=device)
        padded = any(lengths[c] < length for c in here)
        buckets.append(Bucket(first, prompts, length, ends, padded))
        first += sets * len(here) * length
    return Chunk(tuple(buckets), first, leading)


def _padded(lengths: Sequence[int], bucket: float) -> list[int]:
    """The lengths, some raised to the next larger existing one so that there are fewer buckets.

    Minimises the cost, where a row costs 1 and every distinct length costs `bucket`, by dynamic
    programming: best[j] is the least cost of the j smallest distinct lengths.
    """
    there = sorted(set(lengths))
    counts = [0]
    for length in there:
        counts.append(counts[-1] + lengths.count(length))
    best, cut = [0.0], [0]
    for j in range(1, len(there) + 1):
        costs = [best[i] + (counts[j] - counts[i]) * there[j - 1] + bucket for i in range(j)]
        cut.append(min(range(j), key=costs.__getitem__))
        best.append(costs[cut[-1]])
    raised: dict[int, int] = {}
    j = len(there)
    while j:
        raised |= dict.fromkeys(there[cut[j] : j], there[j - 1])
        j = cut[j]
    return [raised[length] for length in lengths]
