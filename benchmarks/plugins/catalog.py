"""A registry of plug-ins that lists without importing.

Built-in plug-ins are found by reading the source of a folder (`benchmarks.plugins.static_reader`),
so that `list` needs neither torch nor any optional dependency of a plug-in. A module is imported
when its class is first needed. Methods and data sets share this mechanism.

A plug-in from outside the suite is tried in a child process (`benchmarks.plugins.probe`). If it
registers methods alone, this process keeps their description and never imports it. A data set
defines the labels and is therefore trusted: its file is imported here as well.
"""

from __future__ import annotations

import importlib
import json
import logging
import sys
from collections.abc import Callable
from dataclasses import is_dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.errors import UserError, did_you_mean
from benchmarks.plugins.description import read, written
from benchmarks.plugins.entries import Entry, check_name, first_line
from benchmarks.plugins.fields import Fields, fields_of
from benchmarks.plugins.origins import IMPORT, Origin, PluginFile, installed, reported
from benchmarks.plugins.probe import ask
from benchmarks.plugins.static_reader import read_fields, read_value, registered
from benchmarks.processes import in_this_process
from benchmarks.visible import one_visible_line

_log = logging.getLogger(__name__)


class Extras(NamedTuple):
    """Attributes of a kind's classes that must be known where the classes are not."""

    write: Callable[[type], dict[str, Any]]
    """Takes them from a class, in types of JSON; raises TypeError with a line."""
    read: Callable[[Entry], Entry]
    """Checks the options of an entry and turns its attributes from JSON back; raises ValueError."""


_ADDED: list[tuple[Catalog, str]] = []
"""Names of plug-ins from outside the suite as they were registered: a file may hold any kind."""


class Catalog:
    """Plug-ins of one kind by name.

    Args:
        kind: what messages call a plug-in ("method", "data set").
        package: dotted package whose files are the built-ins.
        folder: that package's folder.
        group: entry-point group through which installed packages add plug-ins.
        extras: how its classes are described; None imports them here.
    """

    def __init__(
        self, kind: str, package: str, folder: Path, group: str, extras: Extras | None = None
    ) -> None:
        self.kind = kind
        self._extras = extras
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
            UserError: another class already has the name, or it cannot be a name.
        """
        check_name(self.kind, name)
        file = Path(sys.modules[cls.__module__].__file__ or "")
        known = self._refuse_namesake(name, file)
        if known is None or known.module is None:  # new, or its file was loaded again
            _ADDED.append((self, name))
            self.entries(scan_only=True)[name] = Entry(
                name, file, first_line(cls.__doc__), options, None, cls.__name__
            )
        self._classes[name] = cls

    def load_file(self, path: Path) -> list[str]:
        """Make known what a user's plug-in file registers; returns the names.

        Raises:
            UserError: no such file, it does not import, registers nothing, or registers a class
                that `get` refuses.
        """
        return self.load(PluginFile.at(path))

    def load(self, origin: Origin) -> list[str]:
        """Make known what a plug-in registers; returns the names, sorted.

        Raises:
            UserError: as `load_file`.
        """
        if not in_this_process():
            complete = self._extras.read if self._extras is not None else lambda entry: entry
            found = read(ask(describe, origin), origin, complete)
            if all(entry.fields is not None for _, entry in found):
                for kind, entry in found:
                    if kind != self.kind:
                        raise UserError(f"{origin} registers no {self.kind}, but a {kind}.")
                    known = self._refuse_namesake(entry.name, entry.file)
                    if known is not None and known.module is not None:
                        raise UserError(f"{origin} describes '{entry.name}' of the suite anew.")
                for _, entry in found:
                    self.entries(scan_only=True)[entry.name] = entry
                    self._classes.pop(entry.name, None)
                return sorted(entry.name for _, entry in found)
        return sorted(name for _, name in _imported(origin))

    def _refuse_namesake(self, name: str, file: Path) -> Entry | None:
        """Return the entry of this name, which must be of the same file."""
        known = self.entries(scan_only=True).get(name)
        if known is not None and known.file.resolve() != file.resolve():
            raise UserError(f"Two {self.kind}s are called '{name}': {known.file} and {file}.")
        return known

    # ---- looking up --------------------------------------------------------------------------

    def entries(self, *, scan_only: bool = False) -> dict[str, Entry]:
        """All plug-ins by name, including those of installed packages unless `scan_only`.

        An installed plug-in that cannot be used costs a warning: whoever types a command need not
        know that it is there.
        """
        if self._entries is None:
            self._entries = dict(_scan(self._package, self._folder))
        if not scan_only and not self._loaded_entry_points:
            self._loaded_entry_points = True
            try:
                for origin in installed(self._group):
                    self._load_or_warn(origin)
            except UserError as error:
                _log.warning("%s", error)
        return self._entries

    def _load_or_warn(self, origin: Origin) -> None:
        try:
            self.load(origin)
        except UserError as error:
            line = one_visible_line(str(error)).rstrip(".")
            _log.warning("Left out: %s. Mend or uninstall %s.", line, origin.source)

    def entry(self, name: str) -> Entry:
        """The plug-in of this name.

        Raises:
            UserError: no such name; the line names the nearest ones.
        """
        # An installed package is not imported for the sake of another plug-in.
        found = self.entries(scan_only=True).get(name) or self.entries().get(name)
        if found is None:
            raise did_you_mean(self.kind, name, self.entries())
        return found

    def get(self, name: str) -> type:
        """The class registered as `name`; its module is imported if it has not been yet.

        Raises:
            UserError: no such name, or a class that does not import, is not a dataclass or
                declares a field wrongly.
            RuntimeError: it is of a plug-in that only other processes import.
        """
        entry = self.entry(name)
        what = f"The {self.kind} '{name}' ({entry.file})"
        if name not in self._classes and entry.module is not None:
            with reported(what, IMPORT):
                importlib.import_module(entry.module)
        if name not in self._classes:
            raise RuntimeError(f"{what} is of a plug-in, which this process does not import")
        cls = self._classes[name]
        if cls not in self._checked:
            if not is_dataclass(cls):
                raise UserError(
                    f"{what} is not a dataclass: write @dataclass(frozen=True) under @register."
                )
            with reported(what, "declares a field wrongly"):
                fields_of(cls)
            self._checked.add(cls)
        return cls

    def described(self, name: str) -> bool:
        """True if another process has described the class, and this one never imports it."""
        return self.entry(name).fields is not None

    def fields(self, name: str) -> Fields:
        """The fields of the class registered as `name`, without an import where possible.

        Raises:
            UserError: as `get`.
        """
        entry = self.entry(name)
        if entry.fields is not None:
            return entry.fields
        if entry.module is not None and name not in self._classes:
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
        entry = self.entry(name)
        if entry.fields is not None:
            return entry.attributes[attribute]
        if entry.module is not None and name not in self._classes:
            value = read_value(entry.file, entry.class_name, attribute)
            if value is not None:
                return value
        return getattr(self.get(name), attribute)

    def description(self, name: str) -> dict[str, Any]:
        """The class registered as `name` in types of JSON, for `description.read`.

        Raises:
            UserError: as `get`, or a part of it has no form in JSON.
        """
        entry = self.entry(name)
        if self._extras is None:
            return written(self.kind, entry, None, {})
        cls = self.get(name)
        with reported(f"The {self.kind} '{name}' ({entry.file})", "cannot be described"):
            data = written(self.kind, entry, fields_of(cls), self._extras.write(cls))
            json.dumps(data)
        return data


def describe(origin: Origin) -> bytes:
    """Import a plug-in, and describe what it registers.

    Raises:
        UserError: it does not import, registers nothing, or cannot be described.
    """
    return json.dumps([catalog.description(name) for catalog, name in _imported(origin)]).encode()


def _imported(origin: Origin) -> list[tuple[Catalog, str]]:
    """Import a plug-in into this process; returns what it registered."""
    before = len(_ADDED)
    try:
        with reported(f"{origin}", IMPORT, origin.home):
            origin.run()
    except UserError as error:
        for catalog, name in _ADDED[before:]:
            entries = catalog.entries(scan_only=True)
            if isinstance(origin, PluginFile):
                entries.pop(name, None)
            elif name in entries:  # by a part that imports, of which another entry point may be
                entries[name] = replace(entries[name], origin=origin)
        del _ADDED[before:]
        if origin.place in str(error):
            raise
        raise UserError(f"{origin}: {error}") from error
    new = list(dict.fromkeys(_ADDED[before:]))
    # A package may have several entry points that name one module.
    if not new and isinstance(origin, PluginFile):
        raise UserError(
            f"{origin} registers no method and no data set: decorate one with @register."
        )
    for catalog, name in new:
        entries = catalog.entries(scan_only=True)
        entries[name] = replace(entries[name], origin=origin)
        catalog.get(name)
    return new


def _scan(package: str, folder: Path) -> dict[str, Entry]:
    """Entries of the plug-ins in the files of `folder`, which are read and not imported."""
    found: dict[str, Entry] = {}
    for file in sorted(folder.glob("*.py")):
        # Names that are none are of editors: `.#lift.py`, `lift (copy).py`.
        if file.stem.startswith("_") or not file.stem.isidentifier():
            continue
        module = f"{package}.{file.stem}"
        for one in registered(file):
            name = one.name
            if name in found:
                raise UserError(f"'{name}' is registered twice: {found[name].file} and {file}.")
            summary = first_line(one.doc)
            found[name] = Entry(name, file, summary, one.options, module, one.class_name)
    return found
