"""Names that a user prints methods, rows, data sets and backbones with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.datasets.registry import DATASETS
from benchmarks.errors import UserError, did_you_mean
from benchmarks.sweep.cell import Cell
from benchmarks.sweep.rows.labels import Named, choose, method_of
from benchmarks.sweep.rows.variants import table_labels
from methods.registry import METHODS


@dataclass(frozen=True)
class Names:
    """Printed names by own names; everything else keeps its own name."""

    given: Mapping[str, str]
    """Method, label of a row, data set or backbone -> printed name."""

    def method(self, label: str, method: str) -> str:
        """The label of a row with the printed name of its method."""
        return f"{self.given.get(method, method)}{label[len(method) :]}"

    def data_set(self, name: str) -> str:
        """The printed name of a data set; one for the name alone keeps the knobs behind it."""
        if name in self.given:
            return self.given[name]
        base, bracket, knobs = name.partition(" (")
        return f"{self.given.get(base, base)}{bracket}{knobs}"

    def backbone(self, name: str) -> str:
        """The printed name of a backbone."""
        return self.given.get(name, name)

    def rows(self, rows: Sequence[Named], where: str) -> list[str]:
        """The printed name of each row of a table.

        Args:
            rows: all rows of the table.
            where: its data set, for the message.

        Raises:
            UserError: a label names several rows, or two rows have the same printed name.
        """
        found = [self.method(row.table, row.method) for row in rows]
        for index, printed in self._chosen(rows, where).items():
            found[index] = printed
        for name in found:
            if found.count(name) > 1:
                labels = [f"'{r.table}'" for r, own in zip(rows, found, strict=True) if own == name]
                raise UserError(
                    f"names: '{name}' would be {' and '.join(labels)} on {where}; give each of "
                    "them a name of its own."
                )
        return found

    def _chosen(self, rows: Sequence[Named], where: str) -> dict[int, str]:
        """Printed names of rows whose label is given; that of a whole label wins."""
        methods = {row.method for row in rows}
        exact = {row.table: index for index, row in enumerate(rows)}
        labels = [label for label in self.given if method_of(label) in methods - {label}]
        chosen = {}
        for label in sorted(labels, key=lambda label: label in exact):
            index = choose(label, rows, where)
            if index is not None:
                chosen[index] = self.given[label]
        return chosen | {exact[x]: name for x, name in self.given.items() if x in exact}

    def refuse_unfit(self, cells: Iterable[Cell]) -> None:
        """Refuse names that the tables of a sweep cannot have, before anything runs.

        Raises:
            UserError: nothing has a name, or names of rows are ambiguous or not distinct.
        """
        tables: dict[tuple[str, str], dict[tuple[str, str, str], Cell]] = {}
        for cell in cells:
            row = (cell.method, repr(cell.config), repr(cell.tuning))
            tables.setdefault((cell.dataset, cell.backbone.name), {})[row] = cell
        self.refuse_unknown(
            name
            for (dataset, backbone), rows in tables.items()
            for name in (dataset, backbone, *(method for method, _, _ in rows))
        )
        for (dataset, _), rows in tables.items():
            own = list(rows.values())
            self.rows(
                [
                    Named(cell.method, cell.config, cell.tuning, cell.protocol, label)
                    for cell, label in zip(own, table_labels(own), strict=True)
                ],
                dataset,
            )

    def refuse_unknown(self, present: Iterable[str]) -> None:
        """Refuse a name of a method, data set or backbone that nothing has.

        A file of names may serve several reports, so what the suite knows need not be in each.

        Args:
            present: methods, data sets and backbones of the report.

        Raises:
            UserError: nothing has this name.
        """
        names = list(present)
        known = {*names, *(name.partition(" (")[0] for name in names)}
        known |= {*METHODS.entries(), *DATASETS.entries()}
        for name in self.given:
            if name not in known and method_of(name) not in known:
                raise did_you_mean(
                    "name of a method, data set or backbone in 'names',", name, known
                )


PLAIN = Names({})
"""Everything keeps its own name."""
