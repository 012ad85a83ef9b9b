"""Fixtures of the tests of methods."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from benchmarks.conformance.tiny import tiny_backbone


@pytest.fixture
def double() -> Iterator[None]:
    """New tensors are float64."""
    tiny_backbone()  # kept for all tests: its weights are float32
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
