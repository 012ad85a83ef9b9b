"""Rough estimates of the memory that cells take, so that only what fits runs at a time.

The basis is records of similar cells or, without any, the sizes of the backbone and the data. The
estimates are meant to be too high rather than too low. Nothing is loaded, not even torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.sweep.cell import Cell
from benchmarks.sweep.estimate import PROMPT_ENDS, Names, Towers, names, serves, towers_of
from methods.registry import info_of
from results.schema import Record

MB = 2**20
PROCESS = 900 * MB
"""A process that has imported torch and open_clip and holds the embedded world."""
GPU_PROCESS = 600 * MB
"""CUDA's context and libraries on a GPU."""
KEPT = 16
"""Numbers of a block's width that the backward pass keeps of each token and block."""
MICRO_BATCH = 128
"""Images of a training step that go through a tower at a time."""
MOST_KEPT = 8 * 2**30
"""Bytes of activations beyond which prompt methods compute them again."""
UNKNOWN = 4 * 2**30
"""For a backbone whose configuration is not known."""


@dataclass(frozen=True)
class Memory:
    """Expected peak of memory in bytes."""

    host: float
    """Main memory of the process."""
    gpu: float
    """Memory of the GPU; 0 without one."""


NOTHING = Memory(0, 0)


class MemoryNeeds:
    """Estimates for the cells of a sweep.

    Args:
        records: records of any cells, such as those in the sweep's folder.
        gpu: True if the cells run on a GPU.
    """

    def __init__(self, records: Iterable[Record], *, gpu: bool) -> None:
        self._gpu = gpu
        self._peaks: dict[Names, float] = {}
        for record in records:
            # A worker's peak is that of its most demanding cell, so the least one says most.
            if record.cost is not None and (record.cost.gpu is not None) == gpu:
                peak, known = record.cost.peak_memory_mb * MB, self._peaks.get(names(record))
                self._peaks[names(record)] = peak if known is None else min(peak, known)

    def together(self, cells: Sequence[Cell]) -> Memory:
        """Return what one process needs for cells of one method that are fitted together."""
        first = cells[0]
        peak = self._peaks.get(names(first))
        if peak is None:
            peak = _computed(first, towers_of(first.backbone, first.image_size), len(cells))
        elif not self._gpu:
            peak = max(peak, PROCESS)
        else:
            peak += GPU_PROCESS
        return Memory(PROCESS + _data(first), peak) if self._gpu else Memory(peak, 0)


def _computed(cell: Cell, towers: Towers | None, together: int) -> float:
    """Return bytes from the sizes of the backbone, the data and the method's batches."""
    if not serves(cell):
        return PROCESS
    if towers is None or not towers.image_tokens:
        return PROCESS + UNKNOWN
    classes = cell.family.class_count() or 0
    needed = 4 * towers.parameters + _data(cell)
    if info_of(cell.method).needs == "images":
        batch = min(int(cell.config.get("batch_size", MICRO_BATCH)), MICRO_BATCH)
        tokens = batch * towers.image_tokens * towers.image_layers * towers.image_width
        needed += 4 * KEPT * tokens + 3 * 4 * towers.parameters
    elif "contexts" in cell.config:
        tokens = classes * (int(cell.config["contexts"]) + PROMPT_ENDS)
        needed += min(4.0 * KEPT * tokens * towers.layers * towers.width, MOST_KEPT)
    else:  # weights, gradients, momenta and copies of them
        needed += 4.0 * 6 * together * classes * towers.dim
    return PROCESS + needed


def _data(cell: Cell) -> float:
    """Return the bytes of features and logits of a cell's data set."""
    sizes, towers = cell.family.sizes(), towers_of(cell.backbone, cell.image_size)
    dim = 1024 if towers is None else towers.dim
    train, test = sizes or (0, 0)
    return 4.0 * ((train + test) * dim + 3 * test * (cell.family.class_count() or 0))
