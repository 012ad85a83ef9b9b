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
    """(R,) token ids; 0 for rows of contexts."""
    places: Tensor
    """(R,) positions in the prompt."""
    learned: Tensor
    """(r,) rows of context vectors."""
    vectors: Tensor
    """(r,) the one among the S * (C or 1) * M vectors that each of these rows holds."""
    keep: bool
    """Keep the tensors that the backward pass reads."""


class PromptEncoder:
    """Encoder of prompts [start][context][class name][rest of the context].[end].

    Args:
        backbone: a backbone with a text tower like CLIP's.
        names: (C, L) tokens of start, name, full stop and end.
        ends: C positions of the ends among these tokens.
        contexts: M.
        class_specific: every class has its own context vectors.
        rest: number of context vectors that follow the class name.
        after: C positions among the tokens before which they follow; only read if there is a rest.
    """

    def __init__(
        self,
        backbone: Backbone,
        names: Tensor,
        ends: Sequence[int],
        contexts: int,
        *,
        class_specific: bool,
        rest: int = 0,
        after: Sequence[int] = (),
    ) -> None:
        self._tower = tower = text_tower(backbone)
        self._table: Tensor = tower.token_embedding.weight.detach()
        self._positions: Tensor = tower.positional_embedding.detach()
        compute = torch.bfloat16 if backbone.precision == "bf16" else self._table.dtype
        self._text = FrozenText(tower, compute)
        self._contexts, self._class_specific = contexts, class_specific
        # Shared contexts before the names are the same for all classes: they are computed once.
        self._leading = 0 if class_specific else contexts - rest
        own, cuts = contexts - rest - self._leading, after if rest else ends
        self._rows = [
            [
                *range(-contexts, own - contexts),
                *name[1:cut],
                *range(-rest, 0),
                *name[cut : end + 1],
            ]
            for name, cut, end in zip(names.tolist(), cuts, ends, strict=True)
        ]
        """Rows of each prompt after the start and the shared contexts before the name: token ids,
        and m - M for context vector m."""
        self._plans: dict[int, tuple[list[_Part], Tensor]] = {}
        self._start = self._of_start(names[0, :1])

    def __call__(self, contexts: Tensor) -> Tensor:
        """(S, C or 1, M, W) context vectors -> (S, C, D) L2-normalised text features."""
        with torch.autocast(contexts.device.type, enabled=False):
            return self._features(contexts)

    def _features(self, contexts: Tensor) -> Tensor:
        sets = len(contexts)
        if sets not in self._plans:
            self._plans[sets] = self._plan(sets)
        parts, order = self._plans[sets]
        vectors = contexts.flatten(0, 2)
        groups = 1 if self._class_specific else sets
        before = self._start.expand(-1, -1, groups, -1, -1, -1)
        found = []
        for part in parts:
            x = F.embedding(part.tokens, self._table) + self._positions[part.places]
            learned = vectors[part.vectors] + self._positions[part.places[part.learned]]
            ends, seen = self._text(x, learned, part.learned, part.chunk, before, keep=part.keep)
            found.append(ends)
            if not self._class_specific:
                before = seen
        out = read_out(self._tower, torch.cat(found)[order])  # (S * C, D)
        by_set: Tensor = F.normalize(out, dim=-1).unflatten(0, (sets, -1))
        return by_set

    @torch.no_grad()
    def _of_start(self, start: Tensor) -> Tensor:
        """(blocks, 2, 1, H, 1, d) keys and values of the start token (1,)."""
        x = self._table[start] + self._positions[:1]
        none = torch.empty(0, dtype=torch.long, device=x.device)
        heads, width = self._text.heads, self._text.width
        before = x.new_empty(len(self._text.blocks), 2, 1, heads, 0, width // heads)
        chunk = Chunk((), rows=1, leading=1)
        return self._text(x, x[:0], none, chunk, before, keep=False)[1]

    def _plan(self, sets: int) -> tuple[list[_Part], Tensor]:
        """The parts, and (S * C,) the index of each prompt's feature in their joint output."""
        device, count = self._positions.device, len(self._rows)
        lengths = [len(rows) for rows in self._rows]
        # With class-specific contexts, all sets count as one set of more classes.
        copies, groups = (sets, 1) if self._class_specific else (1, sets)
        leading = self._leading
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
        count, contexts, device = len(self._rows), self._contexts, self._positions.device
        places = [torch.arange(1, chunk.leading + 1).repeat(groups)]
        content = [torch.arange(-contexts, chunk.leading - contexts).repeat(groups)]
        sets = [torch.arange(groups).repeat_interleave(chunk.leading)]
        for bucket in chunk.buckets:
            prompts, length = bucket.prompts.tolist(), bucket.length
            rows = [self._rows[prompt % count] for prompt in prompts]
            padded = torch.tensor([row + [0] * (length - len(row)) for row in rows])  # (n, T)
            place = torch.arange(1 + self._leading, 1 + self._leading + length)
            content.append(padded.flatten().repeat(groups))
            places.append(place.repeat(groups * len(rows)))
            # A class-specific context belongs to a prompt, a shared one to a set of prompts.
            owner = torch.tensor(prompts) if self._class_specific else torch.arange(groups)
            sets.append(owner.repeat_interleave(groups * len(rows) * length // len(owner)))
        held, owners = torch.cat(content), torch.cat(sets)
        learned = (held < 0).nonzero()[:, 0]
        vectors = contexts * (owners[learned] + 1) + held[learned]
        tokens, places_of, learned, vectors = (
            x.to(device) for x in (held.clamp(min=0), torch.cat(places), learned, vectors)
        )
        return _Part(chunk, tokens, places_of, learned, vectors, keep)


def _memory(device: torch.device) -> int:
    """Bytes of memory of the device."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
