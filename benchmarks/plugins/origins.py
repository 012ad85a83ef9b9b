"""Places outside the suite that plug-ins come from: a file, or an installed package."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.errors import UserError

IMPORT = "does not import"
_PROJECT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class PluginFile:
    """A user's file, named with `--plugin`."""

    typed: Path
    """Path in the user's words."""
    path: Path
    """The same path, absolute: a plug-in may leave the folder that the command was typed in.
    Relative to the folder of this project for a copy that was sent to another machine."""
    module: str = ""
    """Name that it is imported under, which copies keep."""

    def __str__(self) -> str:
        return f"Plug-in {self.place}"

    @property
    def place(self) -> str:
        """Text by which a user finds it."""
        return str(self.typed)

    @classmethod
    def at(cls, path: Path) -> PluginFile:
        """Return the plug-in file at a path.

        Raises:
            UserError: no such file, or it is not called a Python file.
        """
        if not path.is_file():
            raise UserError(f"No plug-in file at {path}.")
        if path.suffix != ".py":
            raise UserError(f"Plug-in {path} is not a Python file: its name must end in .py.")
        # The path is part of the name: two files may share a file name.
        digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]
        return cls(path, path.absolute(), f"plugin_{path.stem}_{digest}")

    def run(self) -> None:
        """Import the file, also if it was imported before."""
        spec = importlib.util.spec_from_file_location(self.module, _PROJECT / self.path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[self.module] = module
        spec.loader.exec_module(module)


@dataclass(frozen=True)
class InstalledPlugin:
    """An entry point of an installed package."""

    name: str
    value: str
    """Module, or module and object, that it names."""
    group: str

    def __str__(self) -> str:
        return f"The installed plug-in {self.name} ({self.place})"

    @property
    def place(self) -> str:
        """Text by which a user finds it."""
        return self.value

    def run(self) -> None:
        """Import what the entry point names."""
        importlib.metadata.EntryPoint(self.name, self.value, self.group).load()


Origin = PluginFile | InstalledPlugin


def installed(group: str) -> list[Origin]:
    """Return the entry points of installed packages in a group."""
    points = importlib.metadata.entry_points(group=group)
    return [InstalledPlugin(point.name, point.value, point.group) for point in points]


@contextmanager
def reported(what: str, failed: str) -> Iterator[None]:
    """Turn any error in a plug-in's own code into one line: WHAT FAILED: error."""
    try:
        yield
    except (UserError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise failure(what, failed, error) from error


def failure(what: str, failed: str, error: BaseException) -> UserError:
    """Return the line for an error in a plug-in's own code."""
    try:
        line = " ".join(f"{type(error).__name__}: {error}".split())
    except BaseException:  # the text of the error is made by the plug-in, too
        line = "an error whose text cannot be shown"
    return UserError(f"{what} {failed}: {line}")
