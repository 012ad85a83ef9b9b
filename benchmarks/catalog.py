"""A registry that lists without importing.

Built-in plug-ins are found by reading the source of a folder (its syntax tree, not its code), so
that `list` needs neither torch nor any optional dependency of a plug-in; a module is imported the
first time its plug-in is asked for. Methods and data sets share this mechanism.
"""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import importlib.util
import itertools
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.errors import UserError, did_you_mean


@dataclass(frozen=True)
class Entry:
    """One plug-in: its name, where it is defined and what its decorator declares."""

    name: str
    """Registry name, as typed on the command line."""
    file: Path
    """Source file that defines it."""
    summary: str
    """First line of the class's docstring."""
    options: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments of the decorator."""
    module: str | None = None
    """Module to import, or None once the class is at hand."""


class Catalog:
    """Plug-ins of one kind by name.

    Args:
        kind: what to call a plug-in in messages ("method", "data set").
        package: dotted package whose files are the built-ins.
        folder: that package's folder.
        group: entry-point group through which installed packages add plug-ins.
    """

    def __init__(self, kind: str, package: str, folder: Path, group: str) -> None:
        self.kind = kind
        self._package = package
        self._folder = folder
        self._group = group
        self._entries: dict[str, Entry] | None = None
        self._classes: dict[str, type] = {}

    # ---- registering -------------------------------------------------------------------------

    def add(self, cls: type, name: str, options: dict[str, Any]) -> None:
        """Register `cls` under `name`; called by the decorator when a module is imported.

        Raises:
            UserError: another class already has the name.
        """
        file = Path(sys.modules[cls.__module__].__file__ or "")
        known = self.entries(scan_only=True).get(name)
        if known is not None and known.file.resolve() != file.resolve():
            raise UserError(f"Two {self.kind}s are called '{name}': {known.file} and {file}.")
        if known is None:
            self.entries(scan_only=True)[name] = Entry(
                name, file, first_line(cls.__doc__), options, None
            )
        self._classes[name] = cls

    # ---- looking up --------------------------------------------------------------------------

    def entries(self, *, scan_only: bool = False) -> dict[str, Entry]:
        """All plug-ins by name, with those of installed packages unless `scan_only`."""
        if self._entries is None:
            self._entries = dict(_scan(self._package, self._folder))
            self._loaded_entry_points = False
        if not scan_only and not self._loaded_entry_points:
            self._loaded_entry_points = True
            for point in importlib.metadata.entry_points(group=self._group):
                point.load()
        return self._entries

    def get(self, name: str) -> type:
        """The class registered as `name`, importing its module if need be.

        Raises:
            UserError: no such name; the line names the nearest ones.
        """
        entries = self.entries()
        if name not in entries:
            raise did_you_mean(self.kind, name, entries)
        module = entries[name].module
        if name not in self._classes and module is not None:
            importlib.import_module(module)
        return self._classes[name]

    def load_file(self, path: Path) -> list[str]:
        """Import a user's plug-in file; returns the names it registered.

        Raises:
            UserError: no such file, it does not import, or it registers nothing.
        """
        if not path.is_file():
            raise UserError(f"No plug-in file at {path}.")
        module_name = f"plugin_{path.stem}"
        spec = importlib.util.spec_from_file_location(module_name, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module
        before = set(self.entries())
        try:
            spec.loader.exec_module(module)
        except UserError:
            raise
        except Exception as error:
            raise UserError(f"Plug-in {path}: {type(error).__name__}: {error}") from error
        new = sorted(set(self.entries()) - before)
        if not new:
            raise UserError(
                f"Plug-in {path} registers no {self.kind}: decorate one with @register."
            )
        return new


def first_line(doc: str | None) -> str:
    """The first line of a docstring, or an empty string."""
    return (doc or "").strip().partition("\n")[0].strip()


def field_docs(file: Path, class_name: str) -> dict[str, str]:
    """The string under each field of a class, as one line, for `show`."""
    docs: dict[str, str] = {}
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef) and node.name == class_name:
            for field_node, below in itertools.pairwise(node.body):
                if (
                    isinstance(field_node, ast.AnnAssign)
                    and isinstance(field_node.target, ast.Name)
                    and isinstance(below, ast.Expr)
                    and isinstance(below.value, ast.Constant)
                ):
                    docs[field_node.target.id] = " ".join(str(below.value.value).split())
    return docs


def _scan(package: str, folder: Path) -> dict[str, Entry]:
    """Entries of every `@register("name", …)` class in the files of `folder`, without importing."""
    found: dict[str, Entry] = {}
    for file in sorted(folder.glob("*.py")):
        if file.stem.startswith("_"):
            continue
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if not isinstance(node, ast.ClassDef):
                continue
            for call in node.decorator_list:
                if not (isinstance(call, ast.Call) and getattr(call.func, "id", "") == "register"):
                    continue
                name = ast.literal_eval(call.args[0])
                options = {k.arg: ast.literal_eval(k.value) for k in call.keywords if k.arg}
                if name in found:
                    raise UserError(f"'{name}' is registered twice: {found[name].file} and {file}.")
                summary = first_line(ast.get_docstring(node))
                found[name] = Entry(name, file, summary, options, f"{package}.{file.stem}")
    return found
