"""Modules beside a plug-in, which the plug-in imports by name and nothing else sees.

The folder of a plug-in is a package of its own in `sys.modules`, under a name made from its path.
`import utils` in a module of that folder is compiled as an import of the `utils.py` in the same
folder. So two plug-ins may each have their `utils.py`, a library never imports a plug-in's module
by mistake, an import inside a function works as one at the top does, and the source alone says
which file a name means: fingerprints cover these files.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

SUITE = ("benchmarks", "methods", "reports", "results", "run_benchmarks")
"""Names that always mean the suite's own packages."""
_FOREIGN = {*SUITE, *sys.stdlib_module_names}


@dataclass(frozen=True)
class Home:
    """A folder whose modules the modules in it import by name."""

    folder: Path
    """Absolute path."""
    only: str = ""
    """Name of the package in the folder that alone belongs to the home; "" if all modules do."""

    def file(self, module: str) -> Path | None:
        """The file of a module of this home, or None if it has no module of this name.

        A folder is a module if it has an `__init__.py`.

        Args:
            module: dotted name, seen from the folder.
        """
        parts = module.split(".")
        return None if self.only and parts[0] != self.only else file_at(self.folder, parts)

    def means(self, module: str, importer: Path) -> bool:
        """True if `import module` means a module of this home.

        Names of the suite and of Python's library never do; a relative import reaches a module
        that is called so. Nor does a module mean itself, if it is called like a package that it
        imports.

        Args:
            module: dotted name in an absolute import.
            importer: file of the module that imports it.
        """
        top = module.partition(".")[0]
        file = None if top in _FOREIGN else self.file(top)
        return file is not None and (file != importer or file.name == "__init__.py")

    def package_of(self, file: Path) -> str:
        """The package that a file is in, seen from the folder: `.outer.inner`, or "" for none."""
        parts = file.relative_to(self.folder).parts[:-1] if self.holds(file) else ()
        return ".".join(["", *parts])

    def holds(self, file: Path) -> bool:
        """True if a file is in this home."""
        if not file.is_relative_to(self.folder):
            return False
        return not self.only or file.relative_to(self.folder).parts[0] in (
            self.only,
            f"{self.only}.py",
        )


def file_at(folder: Path, parts: Sequence[str]) -> Path | None:
    """The file of the module with these parts of a name in a folder; None if there is none."""
    base = folder.joinpath(*parts)
    for file in (base.parent / f"{base.name}.py", base / "__init__.py"):
        if file.is_file():
            return file
    return None


def run(module: str, file: Path, home: Home) -> None:
    """Import a plug-in, also if it was imported before.

    Args:
        module: name in `sys.modules`: that of its home's package, a dot and its own.
        file: its source.
        home: the folder that it imports other modules from.
    """
    package = module.partition(".")[0]
    if module in _started:  # so that changes of its neighbours are seen
        for name in [name for name in sys.modules if name.startswith(f"{package}.")]:
            if name not in _started:
                del sys.modules[name]
        del sys.modules[package]
    _started.add(module)
    _homes[package] = home
    if _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)
    around = sys.modules.setdefault(package, ModuleType(package))
    around.__path__ = [str(home.folder)]
    spec = spec_from_file_location(module, file, loader=_Loader(module, str(file), home))
    assert spec is not None
    assert spec.loader is not None
    found = sys.modules[module] = module_from_spec(spec)
    spec.loader.exec_module(found)


def as_typed(text: str) -> str:
    """A text with the names of modules beside plug-ins as the plug-ins have them."""
    for package in _homes:
        text = text.replace(f"{package}.", "")
    return text


_homes: dict[str, Home] = {}
"""Home of every package of plug-ins, by its name."""
_started: set[str] = set()
"""Modules that `run` has imported."""


class _Finder(MetaPathFinder):
    """Finds the modules beside plug-ins by their names in `sys.modules`."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, name = fullname.partition(".")
        if (home := _homes.get(package)) is None:
            return None
        if (file := home.file(name)) is None:  # other finders would look into the folder as well
            raise ModuleNotFoundError(f"No module named '{fullname}'", name=fullname)
        return spec_from_file_location(fullname, file, loader=_Loader(fullname, str(file), home))


_FINDER = _Finder()


class _Loader(SourceFileLoader):
    """Compiles imports of neighbours as imports from the package of their home.

    It neither reads nor writes `__pycache__`, where other programs keep the code as it is written.
    """

    def __init__(self, fullname: str, path: str, home: Home) -> None:
        super().__init__(fullname, path)
        self._package = fullname.partition(".")[0]
        self._home = home

    def get_code(self, fullname: str) -> object:  # type: ignore[override]
        source = self.get_data(self.path)
        tree = ast.parse(source, self.path)
        changed = False
        for block in _blocks(tree):
            new = [part for statement in block for part in self._rewritten(statement)]
            changed = changed or new != block
            block[:] = new
        return self.source_to_code(tree if changed else source, self.path)

    def _rewritten(self, statement: ast.stmt) -> Iterator[ast.stmt]:
        """A statement, or in place of an import of neighbours what has the same effect."""
        importer = Path(self.path)
        match statement:
            case ast.Import(names=names) if any(
                self._home.means(one.name, importer) for one in names
            ):
                for one in names:
                    if self._home.means(one.name, importer):
                        new = self._imports(one)
                    else:
                        new = [ast.Import([one])]
                    yield from (ast.copy_location(part, statement) for part in new)
            case ast.ImportFrom(module=str(module), level=0) if self._home.means(module, importer):
                new_from = ast.ImportFrom(f"{self._package}.{module}", statement.names, 0)
                yield ast.copy_location(new_from, statement)
            case _:
                yield statement

    def _imports(self, one: ast.alias) -> list[ast.stmt]:
        """Statements that bind what `import one` binds."""
        if one.asname:
            parent, _, last = f"{self._package}.{one.name}".rpartition(".")
            return [ast.ImportFrom(parent, [_like(one, last, one.asname)], 0)]
        top, dot, _ = one.name.partition(".")
        deep: list[ast.stmt] = []
        if dot:  # binds the home's package as well, whose name is in nobody's way
            deep = [ast.Import([_like(one, f"{self._package}.{one.name}", None)])]
        return [*deep, ast.ImportFrom(self._package, [_like(one, top, None)], 0)]


def _like(one: ast.alias, name: str, asname: str | None) -> ast.alias:
    return ast.copy_location(ast.alias(name, asname), one)


def _blocks(tree: ast.Module) -> Iterator[list[ast.stmt]]:
    """Every list of statements in a module; expressions, which may be deep, are not entered."""
    queue: list[ast.AST] = [tree]
    while queue:
        node = queue.pop()
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            if isinstance(block, list):
                queue += block
                yield block
        queue += [*getattr(node, "handlers", ()), *getattr(node, "cases", ())]
