"""A contract for import-linter: an import may lead to the same floor or a lower one, never up.

Its own `layers` contract cannot say this, because a floor here is often a few files of a folder
(`methods/base.py` is below `methods/parts/`, which is below every other file of `methods/`). Here
a module belongs to the floor that names it or the closest package around it.
"""

from __future__ import annotations

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class FloorsContract(Contract):
    """Floors from low to high, each a text of module names separated by spaces.

    Every module of the root packages must be on a floor. Lazy imports and those for types alone
    count, unless import-linter is told to leave the latter out of the graph.
    """

    floors = fields.ListField(subfield=fields.StringField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Compare the floors of both ends of every import."""
        floors: list[str] = self.floors  # type: ignore[assignment]
        floor_of = {name: i for i, names in enumerate(floors) for name in names.split()}
        missing = sorted(name for name in floor_of if name not in graph.modules)
        homeless, upward = [], []
        for importer in sorted(graph.modules):
            own = _floor(importer, floor_of)
            if own is None:
                homeless.append(importer)
                continue
            for imported in sorted(graph.find_modules_directly_imported_by(importer)):
                other = _floor(imported, floor_of)
                if other is not None and other > own:
                    upward.append((importer, imported))
        return ContractCheck(
            kept=not (missing or homeless or upward),
            metadata={"missing": missing, "homeless": homeless, "upward": upward},
        )

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print one line for each import that leads up and each module out of place."""
        for importer, imported in check.metadata["upward"]:
            output.print_error(f"{importer} imports {imported}, which is on a higher floor")
        for name in check.metadata["homeless"]:
            output.print_error(f"{name} is on no floor: add it, or its package, to the contract")
        for name in check.metadata["missing"]:
            output.print_error(f"The contract names {name}, which does not exist")


def _floor(module: str, floor_of: dict[str, int]) -> int | None:
    """Number of the floor of a module or of the closest package around it; None if on none."""
    while module:
        if module in floor_of:
            return floor_of[module]
        module = module.rpartition(".")[0]
    return None
