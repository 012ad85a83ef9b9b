"""Hashes of tensors: any type and form, and every kind of change."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.run import digests as module
from benchmarks.run.digests import digests


def on_gpu(tensor: Tensor) -> bytes:
    """Return the hash that a tensor would have on a GPU; its arithmetic is the same here."""
    raw = tensor.resolve_conj().resolve_neg().contiguous().view(-1).view(torch.uint8)
    return module._finished(module._sums(raw))


@pytest.fixture(params=["main memory", "GPU"])
def digest(request: pytest.FixtureRequest) -> Callable[[Tensor], bytes]:
    return on_gpu if request.param == "GPU" else lambda tensor: digests([tensor])[0]


TYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8]


@pytest.mark.parametrize("dtype", [*TYPES, torch.bool, torch.complex64])
@pytest.mark.parametrize("shape", [(), (0,), (1,), (7,), (3, 5), (2, 0, 3)])
def test_equal_contents_have_equal_hashes_and_each_element_counts(
    digest: Callable[[Tensor], bytes], dtype: torch.dtype, shape: tuple[int, ...]
) -> None:
    tensor = (torch.arange(torch.Size(shape).numel()).view(shape) % 2).to(dtype)
    assert digest(tensor) == digest(tensor.clone())
    for place in range(tensor.numel()):
        other = tensor.clone()
        other.view(-1)[place] = 1 - int(other.view(-1)[place].real)
        assert digest(other) != digest(tensor)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.int64])
def test_changes_that_a_sum_does_not_see(
    digest: Callable[[Tensor], bytes], dtype: torch.dtype
) -> None:
    rows = (torch.arange(2 * module._BLOCK, dtype=torch.float64) % 97 + 1).to(dtype)
    changes = {
        "negated": -rows,
        "two negated": torch.cat([-rows[:2], rows[2:]]),
        "swapped neighbours": torch.cat([rows[:2].flip(0), rows[2:]]),
        "reversed": rows.flip(0),
        "swapped blocks": rows.roll(module._BLOCK),
        "moved": rows.roll(1),
        "compensated": torch.cat([rows[:1] + 5, rows[1:2] - 5, rows[2:]]),
        "all zero": torch.zeros_like(rows),
        "a zero more": torch.cat([rows, rows.new_zeros(8)]),
    }
    found = [digest(rows), *(digest(changed) for changed in changes.values())]
    assert len(set(found)) == len(found)


def test_a_swap_of_opposite_numbers_shows(digest: Callable[[Tensor], bytes]) -> None:
    for dtype in (torch.float32, torch.float64):
        for first, second in ((1, 3), (0, 1), (0, 2)):
            rows = torch.ones(4, dtype=dtype)
            rows[first] = -1
            other = torch.ones(4, dtype=dtype)
            other[second] = -1
            assert digest(rows) != digest(other)


def test_nan_and_zeros_of_both_signs_are_told_apart_by_their_bits(
    digest: Callable[[Tensor], bytes],
) -> None:
    nan = torch.tensor([float("nan"), 0.0])
    assert digest(nan) == digest(nan.clone())
    assert digest(torch.tensor([0.0, 0.0])) != digest(torch.tensor([0.0, -0.0]))


def test_layout_does_not_matter(digest: Callable[[Tensor], bytes]) -> None:
    rows = torch.arange(30.0).view(5, 6)
    assert digest(rows.t()) == digest(rows.t().contiguous())
    assert digest(rows[:, ::2]) == digest(rows[:, ::2].clone())
    assert digest(rows.view(-1)[1:]) == digest(rows.view(-1)[1:].clone())  # four bytes off
    assert digest(torch.zeros(1).expand(9)) == digest(torch.zeros(9))
    conjugated = torch.tensor([1 + 2j]).conj()
    assert digest(conjugated) == digest(conjugated.resolve_conj())


def test_threads_and_kernels_see_all_parts(digest: Callable[[Tensor], bytes]) -> None:
    words = 2 * module._PART + module._BLOCK + 5
    rows = torch.arange(words)
    first = digest(rows)
    for place in (0, module._PART - 1, module._PART, words - 1):
        rows[place] += 1
        assert digest(rows) != first
        rows[place] -= 1
    assert digest(rows) == first


def test_weights_are_odd_and_as_many_as_a_block_has_words() -> None:
    assert module._WEIGHTS.shape == (2, module._BLOCK)
    assert (module._WEIGHTS % np.uint64(2)).all()
