"""A registry that lists without importing.

Built-in plug-ins are found by reading the source of a folder (its syntax tree, not its code), so
that `list` needs neither torch nor any optional dependency of a plug-in; a module is imported the
first time its plug-in is asked for. Methods and data sets share this mechanism.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, is_dataclass
from pathlib import Path
from typing import Any

from benchmarks.errors import UserError, did_you_mean
from benchmarks.plugins.declared import Declared, Fields, parsed, read_fields, read_value


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
    class_name: str = ""
    """The class in it."""


_ADDED: list[str] = []
"""Names in the order they were registered, of all kinds: a plug-in file may hold any."""


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
        self._declared: dict[str, Fields | None] = {}
        self._loaded_entry_points = False

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
        _ADDED.append(name)
        if known is None or known.module is None:  # new, or its file was loaded again
            self.entries(scan_only=True)[name] = Entry(
                name, file, first_line(cls.__doc__), options, None, cls.__name__
            )
        self._classes[name] = cls

    # ---- looking up --------------------------------------------------------------------------

    def entries(self, *, scan_only: bool = False) -> dict[str, Entry]:
        """All plug-ins by name, with those of installed packages unless `scan_only`."""
        if self._entries is None:
            self._entries = dict(_scan(self._package, self._folder))
        if not scan_only and not self._loaded_entry_points:
            self._loaded_entry_points = True
            for point in importlib.metadata.entry_points(group=self._group):
                with _reported(f"The installed plug-in {point.name} ({point.value})"):
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
            with _reported(f"The {self.kind} '{name}' ({entries[name].file})"):
                importlib.import_module(module)
        if not is_dataclass(self._classes[name]):
            raise UserError(
                f"The {self.kind} '{name}' ({entries[name].file}) is no dataclass: write "
                "@dataclass(frozen=True) under @register."
            )
        return self._classes[name]

    def declared(self, name: str) -> Declared:
        """The fields of the class registered as `name`; its module is imported only if need be.

        Raises:
            UserError: no such name; the line names the nearest ones.
        """
        entry = self.entries().get(name)
        if entry is not None and entry.module is not None and name not in self._classes:
            if name not in self._declared:
                self._declared[name] = read_fields(entry.file, entry.class_name)
            if (fields := self._declared[name]) is not None:
                return Declared(fields, is_method=self.kind == "method")
        return Declared.of(self.get(name))

    def attribute(self, name: str, attribute: str) -> Any:
        """An attribute of a class; its module is imported only if need be.

        Raises:
            UserError: no such name; the line names the nearest ones.
        """
        entry = self.entries().get(name)
        if entry is not None and entry.module is not None and name not in self._classes:
            value = read_value(entry.file, entry.class_name, attribute)
            if value is not None:
                return value
        return getattr(self.get(name), attribute)

    def load_file(self, path: Path) -> list[str]:
        """Import a user's plug-in file; returns the names it registered.

        Raises:
            UserError: no such file, it does not import, or it registers nothing.
        """
        if not path.is_file():
            raise UserError(f"No plug-in file at {path}.")
        # Named by its path: two files may share a name.
        digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]
        module_name = f"plugin_{path.stem}_{digest}"
        spec = importlib.util.spec_from_file_location(module_name, path)
        if spec is None or spec.loader is None:
            raise UserError(f"Plug-in {path} is no Python file: its name must end in .py.")
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module
        self.entries()  # so that a built-in of the same name is known
        before = len(_ADDED)
        with _reported(f"Plug-in {path}"):
            spec.loader.exec_module(module)
        new = sorted(set(_ADDED[before:]))
        if not new:
            raise UserError(
                f"Plug-in {path} registers no method and no data set: decorate one with @register."
            )
        return new


@contextmanager
def _reported(what: str) -> Iterator[None]:
    """Turn whatever goes wrong while somebody's module is imported into one line."""
    try:
        yield
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        line = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(f"{what} does not import: {line}") from error


def first_line(doc: str | None) -> str:
    """The first line of a docstring, or an empty string."""
    return (doc or "").strip().partition("\n")[0].strip()


def _scan(package: str, folder: Path) -> dict[str, Entry]:
    """Entries of every `@register("name", …)` class in the files of `folder`, without importing."""
    found: dict[str, Entry] = {}
    for file in sorted(folder.glob("*.py")):
        if file.stem.startswith("_"):
            continue
        try:
            tree = parsed(file.read_bytes())
        except (SyntaxError, ValueError) as error:
            raise UserError(f"{file} is not valid Python: {error}") from error
        for node in tree.body:
            if not isinstance(node, ast.ClassDef):
                continue
            for call in node.decorator_list:
                if not (isinstance(call, ast.Call) and getattr(call.func, "id", "") == "register"):
                    continue
                try:
                    name = ast.literal_eval(call.args[0])
                    options = {k.arg: ast.literal_eval(k.value) for k in call.keywords if k.arg}
                except (IndexError, ValueError):
                    raise UserError(
                        f"{file}, line {call.lineno}: @register wants its name first and written "
                        "out, and literals only: it is read without being run."
                    ) from None
                if name in found:
                    raise UserError(f"'{name}' is registered twice: {found[name].file} and {file}.")
                summary = first_line(ast.get_docstring(node))
                module = f"{package}.{file.stem}"
                found[name] = Entry(name, file, summary, options, module, node.name)
    return found
