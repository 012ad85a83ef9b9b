"""Prompts of different lengths as rows of one matrix, without padding between them.

A causal tower reads nothing behind a prompt's end, so prompts are sorted by length and each one
takes as many rows as it has tokens. Prompts of one length stand together, in a bucket, where
attention sees them as one array; chunks of buckets are what is computed at a time.

C prompts, G sets of them that differ by their leading tokens alone, T rows of a prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

BUCKET_ROWS = {"cpu": 24, "cuda": 4096}
"""What one bucket more costs, in rows: a few short kernels in every block."""


@dataclass(frozen=True)
class Bucket:
    """Prompts that take the same number of rows each, ordered (G, n, T)."""

    first: int
    """The first of their G * n * T rows."""
    prompts: Tensor
    """(n,) which of the C."""
    length: int
    """T."""
    ends: Tensor
    """(n,) row of each prompt's end among its T: smaller than T - 1 where it is padded."""
    padded: bool
    """Whether some are."""

    def read(self, sets: int) -> Tensor:
        """(G * n,) the rows of the ends."""
        starts = torch.arange(sets * len(self.ends), device=self.ends.device) * self.length
        return self.first + starts + self.ends.repeat(sets)


@dataclass(frozen=True)
class Chunk:
    """Buckets that are computed together."""

    buckets: tuple[Bucket, ...]
    rows: int
    """Of all sets and, in the first chunk, of the leading tokens."""
    leading: int
    """Leading tokens of each set whose rows (G, leading) stand before the buckets."""

    def read(self, sets: int, device: torch.device) -> Tensor:
        """The rows of the ends, (G * n,) bucket after bucket."""
        none = torch.empty(0, dtype=torch.long, device=device)
        return torch.cat([none, *(bucket.read(sets) for bucket in self.buckets)])


def chunks(
    lengths: Sequence[int], *, sets: int, leading: int, rows: int, device: torch.device
) -> list[Chunk]:
    """All prompts in chunks of about equally many rows.

    Args:
        lengths: C, the tokens of each prompt behind the leading ones.
        sets: G.
        leading: tokens before them that are the same in all prompts of a set.
        rows: how many a chunk may have; one prompt always fits.
        device: where the tower is.
    """
    cost = BUCKET_ROWS.get(device.type, BUCKET_ROWS["cuda"])
    sizes = _padded(lengths, cost / sets)  # C
    total = sets * (leading + sum(sizes))
    target = total / -(-total // rows)  # rows of a chunk, had they all the same
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
    """The lengths, some raised to the next larger one there is so that there are fewer.

    The cheapest choice, where a row costs 1 and every different length costs `bucket`: over the
    sorted lengths, best[j] is the cost of the first j of them.
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
