"""Ways to damage a file."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path


def strike(file: Path, others: Sequence[Path], draw: random.Random) -> str:
    """Damage a file in one of seven ways and return what was done.

    Args:
        file: the file.
        others: files of the same kind, one of which may take its place.
        draw: random choices.
    """
    data = bytearray(file.read_bytes())
    blow = draw.choice(["flip", "flip", "flip", "flips", "cut", "zeros", "more", "swap", "empty"])
    if blow == "swap":
        different = [other for other in others if other.read_bytes() != data]
        if different:
            other = draw.choice(different)
            file.write_bytes(other.read_bytes())
            return f"{file.name} replaced by {other.name}"
        blow = "flip"
    if blow == "empty" or not data:
        file.write_bytes(b"")
        return f"{file.name} emptied"
    if blow == "cut":
        end = draw.randrange(len(data))
        file.write_bytes(data[:end])
        return f"{file.name} cut at byte {end}"
    if blow == "more":
        extra = draw.randbytes(draw.choice([1, 16, 4096]))
        file.write_bytes(bytes(data) + extra)
        return f"{file.name} with {len(extra)} more bytes"
    if blow == "zeros":
        start = draw.randrange(len(data))
        length = min(draw.choice([1, 64, 512]), len(data) - start)
        data[start : start + length] = bytes(length)
        file.write_bytes(data)
        return f"{file.name} with {length} zeros at byte {start}"
    places = [draw.randrange(8 * len(data)) for _ in range(1 if blow == "flip" else 500)]
    for place in places:
        data[place // 8] ^= 1 << place % 8
    file.write_bytes(data)
    return f"{file.name} with bit {places[0]}{'' if blow == 'flip' else ' and 499 more'} flipped"
