"""Handling of memory shortage: a batch that does not fit is repeated at half its size."""

from __future__ import annotations

import torch

from benchmarks.errors import UserError


class OutOfMemory(UserError):
    """A single sample does not fit into memory."""


_MESSAGES = ("out of memory", "can't allocate memory", "not enough memory")
"""Messages of torch's allocators; on a CPU the error has no type of its own."""


def is_out_of_memory(error: BaseException) -> bool:
    """True if an error reports that memory was insufficient."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError | OutOfMemory):
        return True
    return isinstance(error, RuntimeError) and any(p in str(error).lower() for p in _MESSAGES)


def halved(size: int, error: BaseException) -> int:
    """Half the size of a batch that did not fit into memory.

    Args:
        size: samples in the batch.
        error: the error that the batch raised.

    Raises:
        BaseException: `error` itself, if it is not about memory.
        OutOfMemory: the batch was a single sample.
    """
    if not is_out_of_memory(error):
        raise error
    if size <= 1:
        raise OutOfMemory(
            "Out of memory with a single sample at a time: use a smaller backbone or a device "
            "with more memory."
        ) from error
    return (size + 1) // 2


def release(device: torch.device) -> None:
    """Return cached blocks to the device, so that blocks of other sizes fit."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
