"""A registry of plug-ins that lists without importing.

Built-in plug-ins are found by reading the source of a folder (`benchmarks.plugins.static_reader`),
so that `list` needs neither torch nor any optional dependency of a plug-in. A module is imported
when its class is first needed. Methods and data sets share this mechanism.
"""

from __future__ import annotations

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
from benchmarks.plugins.fields import Fields, fields_of
from benchmarks.plugins.static_reader import read_fields, read_value, registered


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
    """Module to import; None if the class registered itself, from a plug-in file or package."""
    class_name: str = ""
    """Name of its class."""


_ADDED: list[str] = []
"""Names of all kinds in the order they were registered: a plug-in file may hold any kind."""


class Catalog:
    """Plug-ins of one kind by name.

    Args:
        kind: what messages call a plug-in ("method", "data set").
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
        self._checked: set[type] = set()
        self._read: dict[str, Fields | None] = {}
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
        """All plug-ins by name, including those of installed packages unless `scan_only`."""
        if self._entries is None:
            self._entries = dict(_scan(self._package, self._folder))
        if not scan_only and not self._loaded_entry_points:
            self._loaded_entry_points = True
            for point in importlib.metadata.entry_points(group=self._group):
                with _reported(f"The installed plug-in {point.name} ({point.value})", _IMPORT):
                    point.load()
        return self._entries

    def get(self, name: str) -> type:
        """The class registered as `name`; its module is imported if it has not been yet.

        Raises:
            UserError: no such name (the line names the nearest ones), or a class that does not
                import, is not a dataclass or declares a field wrongly.
        """
        entries = self.entries()
        if name not in entries:
            raise did_you_mean(self.kind, name, entries)
        module, what = entries[name].module, f"The {self.kind} '{name}' ({entries[name].file})"
        if name not in self._classes and module is not None:
            with _reported(what, _IMPORT):
                importlib.import_module(module)
        cls = self._classes[name]
        if cls not in self._checked:
            if not is_dataclass(cls):
                raise UserError(
                    f"{what} is not a dataclass: write @dataclass(frozen=True) under @register."
                )
            with _reported(what, "declares a field wrongly"):
                fields_of(cls)
            self._checked.add(cls)
        return cls

    def fields(self, name: str) -> Fields:
        """The fields of the class registered as `name`, without an import where possible.

        Raises:
            UserError: as `get`.
        """
        entry = self.entries().get(name)
        if entry is not None and entry.module is not None and name not in self._classes:
            if name not in self._read:
                self._read[name] = read_fields(entry.file, entry.class_name)
            if (found := self._read[name]) is not None:
                return found
        return fields_of(self.get(name))

    def attribute(self, name: str, attribute: str) -> Any:
        """An attribute of the class registered as `name`, without an import where possible.

        Raises:
            UserError: as `get`.
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
            UserError: no such file, it does not import, registers nothing, or registers a class
                that `get` refuses.
        """
        if not path.is_file():
            raise UserError(f"No plug-in file at {path}.")
        # The path is part of the name: two files may share a file name.
        digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]
        module_name = f"plugin_{path.stem}_{digest}"
        spec = importlib.util.spec_from_file_location(module_name, path)
        if spec is None or spec.loader is None:
            raise UserError(f"Plug-in {path} is not a Python file: its name must end in .py.")
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module
        self.entries()  # so that a built-in of the same name is known
        before = len(_ADDED)
        with _reported(f"Plug-in {path}", _IMPORT):
            spec.loader.exec_module(module)
        new = sorted(set(_ADDED[before:]))
        if not new:
            raise UserError(
                f"Plug-in {path} registers no method and no data set: decorate one with @register."
            )
        for name in new:
            if name in self._classes:
                self.get(name)
        return new


_IMPORT = "does not import"


@contextmanager
def _reported(what: str, failure: str) -> Iterator[None]:
    """Turn any error in a plug-in's own code into one line: WHAT FAILURE: error."""
    try:
        yield
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        line = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(f"{what} {failure}: {line}") from error


def first_line(doc: str | None) -> str:
    """The first line of a docstring, or an empty string."""
    return (doc or "").strip().partition("\n")[0].strip()


def _scan(package: str, folder: Path) -> dict[str, Entry]:
    """Entries of the plug-ins in the files of `folder`, which are read and not imported."""
    found: dict[str, Entry] = {}
    for file in sorted(folder.glob("*.py")):
        if file.stem.startswith("_"):
            continue
        module = f"{package}.{file.stem}"
        for one in registered(file):
            name = one.name
            if name in found:
                raise UserError(f"'{name}' is registered twice: {found[name].file} and {file}.")
            summary = first_line(one.doc)
            found[name] = Entry(name, file, summary, one.options, module, one.class_name)
    return found
