"""What is done when memory does not suffice for a batch: half of it, again."""

from __future__ import annotations

import torch

from benchmarks.errors import UserError


class OutOfMemory(UserError):
    """There is no room for a single sample."""


_SAID = ("out of memory", "can't allocate memory", "not enough memory")
"""What torch's allocators say, on a CPU in an error that has no type of its own."""


def is_shortage(error: BaseException) -> bool:
    """Whether an error says that memory did not suffice."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError | OutOfMemory):
        return True
    return isinstance(error, RuntimeError) and any(p in str(error).lower() for p in _SAID)


def smaller(size: int, error: BaseException) -> int:
    """Half of a batch that memory did not suffice for.

    Args:
        size: samples in it.
        error: what it ended with.

    Raises:
        BaseException: the error, where it is another one.
        OutOfMemory: there was one sample only.
    """
    if not is_shortage(error):
        raise error
    if size <= 1:
        raise OutOfMemory(
            "Out of memory with a single sample at a time: take a smaller backbone or a device "
            "with more memory."
        ) from error
    return (size + 1) // 2


def release(device: torch.device) -> None:
    """Give cached blocks back to the device, so that other sizes find room."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
