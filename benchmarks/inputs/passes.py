"""Passes over images or texts that are computed by one process, while others wait for the rows.

The processes may be on several machines that share a folder. One of them claims the pass
(`benchmarks/claims.py`), which needs no locks of the file system. If it ends or falls silent,
another one takes the pass over. A pass is stored in blocks: its next owner continues with the first
missing block, and only the current block is held in memory.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.claims import Claims
from benchmarks.inputs.feature_files import read_rows, write_rows
from benchmarks.safe_files import look_again, remove_leftovers

Compute = Callable[[Sequence[range]], Iterator[Tensor]]
"""Ranges of rows -> (n, D) float32 rows of each range on the CPU, in order."""
Report = Callable[[int], None]
"""Called with the number of rows that there are."""

CLAIMS = "claims"
"""Folder of the claims, beside the files."""
_LOOK_S = 0.02, 1.0
"""Shortest and longest time between two looks at a pass of another process."""


def stored_rows(file: Path) -> Tensor | None:
    """The rows that a pass has stored, as a memory map; None if they are absent or damaged."""
    rows, parts = read_rows(file), _parts(file)
    if rows is not None and parts.is_dir():  # the process that stored them was killed before it
        with suppress(OSError), Claims(file.parent / CLAIMS) as claims:  # had removed its blocks
            if claims.take([file.stem]):
                shutil.rmtree(parts)
    return rows


def computed_once(
    file: Path, blocks: Sequence[range], compute: Compute, report: Report
) -> tuple[Tensor, bool]:
    """Compute the rows of all blocks, or wait for the process that does.

    Args:
        file: where the rows are stored. Its folder is made if it is absent.
        blocks: successive ranges, from 0 to the number of rows.
        compute: computes some of them.
        report: called while another process computes.

    Returns:
        The rows, and True if they are stored. A folder that cannot be written to is not an error.
    """
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(file.parent)
    key, (pause, longest) = file.stem, _LOOK_S
    with Claims(file.parent / CLAIMS) as claims:
        while True:
            try:
                ours = bool(claims.take([key]))
            except OSError:
                found = _computed(file, blocks, compute, lambda: True)
            else:
                if ours:
                    found = _computed(file, blocks, compute, lambda: claims.holds(key))
                else:
                    rows = read_rows(file)
                    found = None if rows is None else (rows, True)
            if found is not None:
                return found
            claims.release(key)
            report(_rows_stored(_parts(file), blocks))
            time.sleep(pause)
            pause = min(2 * pause, longest)


def _computed(
    file: Path, blocks: Sequence[range], compute: Compute, ours: Callable[[], bool]
) -> tuple[Tensor, bool] | None:
    """Compute and store the rows, unless the last owner has stored them just now.

    Returns:
        The rows, and True if they are stored. None if the pass is no longer ours: this process was
        stopped for so long that another one has gone on with it.
    """
    look_again(file.parent)
    rows, parts = read_rows(file), _parts(file)
    stored = rows is not None
    if rows is None:
        pieces = _pieces(parts, blocks, compute, ours)
        if pieces is None:
            return None
        rows = read_rows(file) if write_rows(file, blocks[-1].stop, pieces) else None
        stored = rows is not None
        rows = torch.cat(pieces) if rows is None else rows
        del pieces  # a network file system cannot remove files that are mapped
    if stored:
        shutil.rmtree(parts, ignore_errors=True)
    else:
        with suppress(OSError):  # blocks that are stored are of use to the next run
            parts.rmdir()
    return rows, stored


def _pieces(
    parts: Path, blocks: Sequence[range], compute: Compute, ours: Callable[[], bool]
) -> list[Tensor] | None:
    """The rows of each block, of which only those are computed that are not in `parts`."""
    with suppress(OSError):
        parts.mkdir(exist_ok=True)
    done = {block: _stored(parts, block) for block in blocks}
    missing = [block for block in blocks if done[block] is None]
    for block, rows in zip(missing, compute(missing), strict=True):
        if not ours():
            return None
        # A full disk is not an error: the remaining blocks stay in memory.
        written = write_rows(_block_file(parts, block), len(block), [rows])
        again = _stored(parts, block) if written else None
        done[block] = rows if again is None else again
    return [rows for rows in done.values() if rows is not None] if ours() else None


def _parts(file: Path) -> Path:
    """Folder of the blocks of a pass."""
    return file.with_suffix(".parts")


def _block_file(parts: Path, block: range) -> Path:
    return parts / f"{block.start}.safetensors"


def _stored(parts: Path, block: range) -> Tensor | None:
    """The rows of a block, as a memory map; None if it is not stored completely."""
    rows = read_rows(_block_file(parts, block))
    return rows if rows is not None and len(rows) == len(block) else None


def _rows_stored(parts: Path, blocks: Sequence[range]) -> int:
    """Number of rows that another process has stored so far."""
    try:
        names = {file.name for file in parts.iterdir()}
    except OSError:
        return 0
    return sum(len(block) for block in blocks if _block_file(parts, block).name in names)
