"""Fixtures of the tests of methods."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from benchmarks.conformance.tiny import tiny_backbone
from methods.parts.heads import calibration


@pytest.fixture
def double() -> Iterator[None]:
    """New tensors are float64."""
    tiny_backbone()  # kept for all tests: its weights are float32
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def short_calibration(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calibrate the logits of prompts in few steps: most of the time of multi-label fits."""
    monkeypatch.setattr(calibration, "STEPS", 3)
