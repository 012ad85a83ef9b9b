"""Objects that attributes, containers and closures lead to."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
from torch import Tensor

from benchmarks.datasets.base import DataSet, Split


def reachable(root: Any) -> list[Any]:
    """Return all objects that attributes, containers and closures lead to, except classes."""
    found: dict[int, Any] = {}
    queue = [root]
    while queue:
        value = queue.pop()
        if id(value) in found or isinstance(value, type | str | bytes | int | float):
            continue
        found[id(value)] = value
        if isinstance(value, dict):
            queue += [*value.keys(), *value.values()]
        elif isinstance(value, list | tuple | set | frozenset):
            queue += list(value)
        elif not isinstance(value, np.ndarray | Tensor):
            queue += list(getattr(value, "__dict__", {}).values())
            queue.append(getattr(value, "__self__", None))
            for cell in getattr(value, "__closure__", None) or ():
                with suppress(ValueError):  # a cell whose variable was never set
                    queue.append(cell.cell_contents)
    return list(found.values())


def holds_test(data: DataSet, root: Any) -> bool:
    """Return True if test samples of `data` can be reached from `root`."""
    test_ids, labels = set(data.test.ids), data.test.labels
    for value in reachable(root):
        if isinstance(value, Split) and test_ids & set(value.ids):
            return True
        if isinstance(value, np.ndarray | Tensor) and value.shape == labels.shape:
            array = value.detach().cpu().numpy() if isinstance(value, Tensor) else value
            if np.array_equal(array, labels):
                return True
    return False
