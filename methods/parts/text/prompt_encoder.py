"""Text features of class names after learned contexts, with little work for the frozen tower.

The result is exact. The savings, largest first: no rows for padding; shared contexts are computed
once for all classes; the last block is computed only for the ends; the start token is computed once
(it reads only itself); tokens that are not learned get no gradient. Tensors for the backward pass
that do not fit into memory are recomputed. The tower's linear layers run in the precision of the
run, everything else in full precision.

S sets of contexts, C classes, M context vectors, W width, D joint space.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.backbones import Backbone
from benchmarks.towers.text import read_out
from methods.parts.text.frozen_text import FrozenText
from methods.parts.text.packing import Chunk, chunks
from methods.parts.text.text_tower import text_tower

BUDGET = 2**33
"""Largest number of bytes kept for the backward pass; at most a third of the device's memory."""
ROWS = {"cpu": 2048, "cuda": 2**16}
"""Rows computed at a time; on a CPU few enough for intermediate results to stay in caches."""


@dataclass(frozen=True)
class _Part:
    """A chunk with the contents of its rows."""

    chunk: Chunk
    tokens: Tensor
    """(R,) token ids; arbitrary for rows of contexts."""
    places: Tensor
    """(R,) positions in the prompt."""
    learned: Tensor
    """(r * M,) rows of the contexts."""
    contexts: Tensor
    """(r,) indices of these contexts."""
    keep: bool
    """Keep the tensors that the backward pass reads."""


class PromptEncoder:
    """Encoder of prompts [start][context][class name].[end].

    Args:
        backbone: a backbone with a text tower like CLIP's.
        names: (C, L) tokens of start, name, full stop and end.
        ends: C positions of the ends among these tokens.
        contexts: M.
        class_specific: every class has its own context vectors.
    """

    def __init__(
        self,
        backbone: Backbone,
        names: Tensor,
        ends: Sequence[int],
        contexts: int,
        *,
        class_specific: bool,
    ) -> None:
        self._tower = tower = text_tower(backbone)
        self._table: Tensor = tower.token_embedding.weight.detach()
        self._positions: Tensor = tower.positional_embedding.detach()
        compute = torch.bfloat16 if backbone.precision == "bf16" else self._table.dtype
        self._text = FrozenText(tower, compute)
        self._names, self._ends, self._contexts = names, ends, contexts
        self._class_specific = class_specific
        self._plans: dict[int, tuple[list[_Part], Tensor]] = {}
        self._start = self._of_start()

    def __call__(self, contexts: Tensor) -> Tensor:
        """(S, C or 1, M, W) context vectors -> (S, C, D) L2-normalised text features."""
        with torch.autocast(contexts.device.type, enabled=False):
            return self._features(contexts)

    def _features(self, contexts: Tensor) -> Tensor:
        sets = len(contexts)
        if sets not in self._plans:
            self._plans[sets] = self._plan(sets)
        parts, order = self._plans[sets]
        placed = contexts.flatten(0, 1) + self._positions[1 : 1 + self._contexts]
        groups = 1 if self._class_specific else sets
        before = self._start.expand(-1, -1, groups, -1, -1, -1)
        found = []
        for part in parts:
            x = F.embedding(part.tokens, self._table) + self._positions[part.places]
            learned = placed[part.contexts].flatten(0, 1)
            ends, seen = self._text(x, learned, part.learned, part.chunk, before, keep=part.keep)
            found.append(ends)
            if not self._class_specific:
                before = seen
        out = read_out(self._tower, torch.cat(found)[order])  # (S * C, D)
        by_set: Tensor = F.normalize(out, dim=-1).unflatten(0, (sets, -1))
        return by_set

    @torch.no_grad()
    def _of_start(self) -> Tensor:
        """(blocks, 2, 1, H, 1, d) keys and values of the start token."""
        x = self._table[self._names[0, :1]] + self._positions[:1]
        none = torch.empty(0, dtype=torch.long, device=x.device)
        heads, width = self._text.heads, self._text.width
        before = x.new_empty(len(self._text.blocks), 2, 1, heads, 0, width // heads)
        chunk = Chunk((), rows=1, leading=1)
        return self._text(x, x[:0], none, chunk, before, keep=False)[1]

    def _plan(self, sets: int) -> tuple[list[_Part], Tensor]:
        """The parts, and (S * C,) the index of each prompt's feature in their joint output."""
        device, count = self._names.device, len(self._ends)
        own = self._contexts if self._class_specific else 0  # contexts before each name
        lengths = [end + own for end in self._ends]
        # With class-specific contexts, all sets count as one set of more classes.
        copies, groups = (sets, 1) if self._class_specific else (1, sets)
        leading = self._contexts - own
        row = self._text.bytes_kept(sum(lengths) / count + leading)
        budget = min(BUDGET, _memory(device) // 3)
        rows = min(ROWS.get(device.type, ROWS["cuda"]), max(1, int(budget / 8 / row)))
        planned = chunks(lengths * copies, sets=groups, leading=leading, rows=rows, device=device)
        parts, done, left = [], [], 7 / 8 * budget
        for chunk in planned:
            left -= chunk.rows * row
            parts.append(self._part(chunk, groups, keep=left >= 0))
            of_sets = count * torch.arange(groups, device=device)[:, None]
            done += [(of_sets + bucket.prompts).flatten() for bucket in chunk.buckets]
        return parts, torch.cat(done).argsort()

    def _part(self, chunk: Chunk, groups: int, *, keep: bool) -> _Part:
        device, contexts = self._names.device, self._contexts
        places = [torch.arange(1, chunk.leading + 1, device=device).repeat(groups)]
        tokens = [torch.zeros_like(places[0])]
        learned = [torch.arange(groups * chunk.leading, device=device)]
        which = [torch.arange(groups if chunk.leading else 0, device=device)]
        first = 1 if self._class_specific else 1 + contexts
        for bucket in chunk.buckets:
            n, length = len(bucket.prompts), bucket.length
            place = torch.arange(first, first + length, device=device)
            inside = (place - contexts).clamp(min=1)  # position in the name, after the contexts
            names = self._names[bucket.prompts % len(self._names)][:, inside]  # (n, T)
            tokens.append(names.expand(groups, -1, -1).flatten())
            places.append(place.repeat(groups * n))
            if self._class_specific:
                starts = bucket.first + length * torch.arange(n, device=device)
                learned.append((starts[:, None] + torch.arange(contexts, device=device)).flatten())
                which.append(bucket.prompts)
        return _Part(
            chunk, torch.cat(tokens), torch.cat(places), torch.cat(learned), torch.cat(which), keep
        )


def _memory(device: torch.device) -> int:
    """Bytes of memory of the device."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
