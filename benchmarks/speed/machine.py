"""Where and how carefully to measure."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Machine:
    """A device, a precision and some patience."""

    device: torch.device
    precision: str
    """fp32 or bf16."""
    quick: bool = False
    """Few turns: to see what is printed, not to quote it."""

    @property
    def dtype(self) -> torch.dtype:
        """The number type of matrix products."""
        return torch.bfloat16 if self.precision == "bf16" else torch.float32

    @property
    def turns(self) -> int:
        """How often each contender runs."""
        return 2 if self.quick else 12

    @property
    def batch(self) -> int:
        """Images a training step."""
        return 128 if self.device.type == "cuda" else 16
