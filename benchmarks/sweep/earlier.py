"""Records of cells that were made before their method or data set had all of its fields.

A field that a later version adds is part of a cell's identity. Where the cell has the field's
default, a record without the field is one of the same cell, made by older code.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from itertools import product
from typing import Any

from benchmarks.plugins.fields import Fields, fields_of
from benchmarks.sweep.cell import Cell
from methods.registry import METHODS
from results.schema import Record

Names = frozenset[str]


class EarlierFields:
    """The fields that the records of a folder have, by method and by data set.

    Args:
        records: of any cells.
    """

    def __init__(self, records: Iterable[Record]) -> None:
        self._of: dict[tuple[str, str], set[Names]] = {}
        for record in records:
            for kind, name, config in (
                ("method", record.method, record.config),
                ("data set", record.dataset.partition(" ")[0], record.dataset_config),
            ):
                self._of.setdefault((kind, name), set()).add(frozenset(config))

    def identities(self, cell: Cell) -> list[str]:
        """The identities that records of a cell may have, its own first."""
        method = self._configs(
            ("method", cell.method), cell.config, lambda: METHODS.fields(cell.method)
        )
        data = self._configs(
            ("data set", cell.dataset.partition(" ")[0]), cell.dataset_config,
            lambda: fields_of(type(cell.family)),
        )  # fmt: skip
        pairs = product([cell.config, *method], [cell.dataset_config, *data])
        next(pairs)  # the cell as it is
        others = (
            dataclasses.replace(cell, config=config).identity_with(knobs) for config, knobs in pairs
        )
        return [cell.identity, *others]

    def _configs(
        self, of: tuple[str, str], config: Mapping[str, Any], fields: Callable[[], Fields]
    ) -> list[dict[str, Any]]:
        """The parts of a configuration that some records have, if the rest are defaults."""
        known = [names for names in self._of.get(of, ()) if names < config.keys()]
        if not known:  # of thousands of cells, nearly all
            return []
        declared = fields()
        own = {n for n, value in config.items() if n in declared and value == declared[n].default}
        return [
            {name: config[name] for name in config if name in names}
            for names in known
            if config.keys() - names <= own
        ]
