"""Prompts as rows: each occurs exactly once, and padding is used where it is cheaper."""

from __future__ import annotations

import itertools

import pytest
import torch

from methods.parts.text import packing
from methods.parts.text.packing import chunks

CPU = torch.device("cpu")
LENGTHS = [3, 9, 4, 4, 12, 3, 4, 5, 3, 4]


@pytest.mark.parametrize("rows", [1, 20, 33, 10_000])
@pytest.mark.parametrize(("sets", "leading"), [(1, 0), (1, 5), (3, 5)])
@pytest.mark.parametrize("cost", [0, 6, 10_000])
def test_every_prompt_has_its_rows_once(monkeypatch, rows, sets, leading, cost):
    monkeypatch.setitem(packing.BUCKET_ROWS, "cpu", cost)
    planned = chunks(LENGTHS, sets=sets, leading=leading, rows=rows, device=CPU)
    prompts = [c for chunk in planned for b in chunk.buckets for c in b.prompts.tolist()]
    assert sorted(prompts) == list(range(len(LENGTHS)))
    assert [chunk.leading for chunk in planned] == [leading] + [0] * (len(planned) - 1)
    for chunk in planned:
        first = sets * chunk.leading
        ends = []
        for bucket in chunk.buckets:
            assert bucket.first == first
            size = bucket.length
            own = [LENGTHS[c] for c in bucket.prompts.tolist()]
            assert bucket.ends.tolist() == [length - 1 for length in own] and max(own) <= size
            assert bucket.padded == (min(own) < size)
            ends += [
                first + (s * len(own) + i) * size + length - 1
                for s in range(sets)
                for i, length in enumerate(own)
            ]
            first += sets * len(own) * size
        assert chunk.rows == first and chunk.read(sets, torch.device("cpu")).tolist() == ends
        few = sum(len(bucket.prompts) for bucket in chunk.buckets) == 1
        assert chunk.rows <= rows or few
    if rows == 10_000:
        assert len(planned) == 1


@pytest.mark.parametrize("cost", [0, 1, 4, 10, 30, 1000])
def test_padding_costs_no_more_than_any_other_choice(cost):
    there = sorted(set(LENGTHS))
    # Every subset of the lengths that contains the largest.
    choices = [
        [*some, there[-1]]
        for count in range(len(there))
        for some in itertools.combinations(there[:-1], count)
    ]
    costs = [
        sum(min(s for s in sizes if s >= n) for n in LENGTHS) + cost * len(sizes)
        for sizes in choices
    ]
    padded = packing._padded(LENGTHS, cost)
    assert all(size >= length for size, length in zip(padded, LENGTHS, strict=True))
    assert sum(padded) + cost * len(set(padded)) == min(costs)
