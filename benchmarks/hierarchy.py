"""Trees over the classes of a data set, and how far apart they put two classes.

A data set provides its tree (`DataSet.hierarchy`): from a user's file, WordNet, a taxonomy, or
known truth.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from benchmarks.errors import UserError, did_you_mean, first_few

ROOT = "root"
DEEPEST = 100
"""Levels of a tree at most."""


@dataclass(frozen=True)
class Hierarchy:
    """A path of nodes from the root to each of C classes, which are the last nodes of their paths.

    Two nodes are the same if they and all nodes above them have the same names.
    """

    paths: tuple[tuple[str, ...], ...]
    source: str
    """Origin of the tree, for footnotes."""

    def __post_init__(self) -> None:
        if len({path[0] for path in self.paths}) > 1:
            raise ValueError("paths of a hierarchy begin with different roots")

    def of(self, classes: Sequence[int]) -> Self:
        """The tree over some of the classes, in this order."""
        return type(self)(tuple(self.paths[c] for c in classes), self.source)

    @cached_property
    def nodes(self) -> NDArray[np.int64]:
        """(C, L) number of each class's node on each of L levels; -1 - c below class c itself."""
        levels = int(self.depths.max())
        below = -1 - np.arange(len(self.paths))
        found = np.repeat(below[:, None], levels, axis=1)
        numbers: dict[tuple[str, ...], int] = {}
        for c, path in enumerate(self.paths):
            for level in range(len(path)):
                found[c, level] = numbers.setdefault(path[: level + 1], len(numbers))
        return found

    @cached_property
    def depths(self) -> NDArray[np.int64]:
        """(C,) number of nodes on the path to each class, with root and class."""
        return np.array([len(path) for path in self.paths], dtype=np.int64)

    def heights(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.int64]:
        """(n,) height of the lowest common ancestor of n pairs of classes; 0 for equal ones.

        The height is the number of steps down to the farther one of the two.
        """
        common = (self.nodes[first] == self.nodes[second]).sum(1)
        found: NDArray[np.int64] = np.maximum(self.depths[first], self.depths[second]) - common
        return np.where(first == second, 0, found)


def nested(
    tree: Any, keys: Sequence[str], names: Sequence[str], where: str, source: str
) -> Hierarchy:
    """The hierarchy that nested mappings describe: {node: {node: [class, …], class: nothing}}.

    Args:
        tree: mappings of nodes, or lists of classes.
        keys: (C,) keys of the classes; a leaf of the tree is a key or a name.
        names: (C,) names.
        where: the place of the tree, for messages.
        source: see `Hierarchy`.

    Raises:
        UserError: the tree is no such mapping, does not hold each class once, or holds others.
    """
    place = {name: c for c, name in enumerate(names)} | {key: c for c, key in enumerate(keys)}
    paths: dict[int, tuple[str, ...]] = {}
    for path in _paths(tree, (ROOT,), where):
        leaf = path[-1]
        if leaf not in place:
            raise did_you_mean(f"class in {where}", leaf, place)
        if place[leaf] in paths:
            raise UserError(f"{where}: the class '{leaf}' is in the tree twice.")
        paths[place[leaf]] = path
    missing = [key for c, key in enumerate(keys) if c not in paths]
    if missing:
        raise UserError(
            f"{where}: {len(missing)} of {len(keys)} classes are not in the tree: "
            f"{first_few(missing)}."
        )
    return Hierarchy(tuple(paths[c] for c in range(len(keys))), source)


def _paths(tree: Any, above: tuple[str, ...], where: str) -> Iterator[tuple[str, ...]]:
    """Paths to the leaves below a node."""
    if len(above) > DEEPEST:
        raise UserError(f"{where}: the tree has more than {DEEPEST} levels.")
    if isinstance(tree, Mapping):
        for node, below in tree.items():
            path = (*above, _node(node, where))
            if below is None:
                yield path
            else:
                yield from _paths(below, path, where)
    elif isinstance(tree, list):
        for leaf in tree:
            if isinstance(leaf, Mapping):
                yield from _paths(leaf, above, where)
            else:
                yield (*above, _node(leaf, where))
    else:
        raise UserError(
            f"{where}: write {{group: [class, class]}}, with groups in groups as you like, not "
            f"{repr(tree)[:60]}."
        )


def _node(value: Any, where: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise UserError(f"{where}: a node is a text, not {value!r:.60}; put it in quotes.")
    return str(value)
