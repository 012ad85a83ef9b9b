"""Damages to files, and full disks, for tests of everything that the suite reads again."""

from __future__ import annotations

import random
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def damages(file: Path, flips: int, seed: int) -> Iterator[str]:
    """Damage a file in one way after the other; afterwards it is whole again.

    Args:
        file: the file.
        flips: number of random bits to flip, one at a time.
        seed: of the random numbers.

    Yields:
        The damage, for messages.
    """
    whole = file.read_bytes()
    generator = random.Random(seed)
    size = len(whole)
    contents: dict[str, bytes] = {
        "empty": b"",
        "half": whole[: size // 2],
        "one byte short": whole[:-1],
        "one byte more": whole + b"\0",
        "zeros at the end": whole[: size - size // 4] + b"\0" * (size // 4),
        "other content": b"not what was written",
    }
    for bit in sorted(generator.sample(range(8 * size), min(flips, 8 * size))):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        contents[f"bit {bit} of {8 * size}"] = bytes(flipped)
    try:
        for name, content in contents.items():
            if content != whole:
                put(file, content)
                yield name
    finally:
        put(file, whole)


def put(file: Path, content: bytes) -> None:
    """Write a file that is another one for the file system.

    ext4 waits for the disk if a file is shortened to nothing and written again.
    """
    file.unlink(missing_ok=True)
    file.write_bytes(content)


@contextmanager
def full_disk(room: int = 4096) -> Iterator[None]:
    """Let no file grow beyond `room` bytes, as on a disk that is almost full.

    The reason is then "File too large" instead of "No space left on device".
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
