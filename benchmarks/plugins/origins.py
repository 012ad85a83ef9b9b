"""Places outside the suite that plug-ins come from: a file, or an installed package."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from traceback import walk_tb

from benchmarks.errors import UserError
from benchmarks.plugins import neighbours
from benchmarks.plugins.neighbours import Home

IMPORT = "does not import"
_PROJECT = Path(__file__).resolve().parents[2]
_PACKAGE = "__init__.py"
_NOT_THERE = re.compile(r"^cannot import name '(\w+)' from '(?:methods|benchmarks)\b")


@dataclass(frozen=True)
class PluginFile:
    """A user's file or package, named with `--plugin`."""

    typed: Path
    """Path in the user's words."""
    path: Path
    """Path of the file, or of the package's `__init__.py`, absolute: a plug-in may leave the folder
    that the command was typed in. Relative to the folder of this project for a copy that was sent
    to another machine."""
    module: str = ""
    """Name that it is imported under, which copies keep."""

    def __str__(self) -> str:
        return f"Plug-in {self.place}"

    @property
    def place(self) -> str:
        """Text by which a user finds it."""
        return str(self.typed)

    @property
    def source(self) -> str:
        """Text that tells a reader of a list where its methods and data sets come from."""
        return self.place

    @property
    def home(self) -> Home:
        """The folder that its modules are imported from; the one around it for a package."""
        file = _PROJECT / self.path
        if file.name == _PACKAGE:
            return Home(file.parent.parent, file.parent.name)
        return Home(file.parent)

    @classmethod
    def at(cls, path: Path) -> PluginFile:
        """Return the plug-in at a path, a file or the folder of a package.

        Raises:
            UserError: no such file, or it is not called a Python file.
        """
        file = path.absolute()
        if file.is_dir():
            if not (file / _PACKAGE).is_file():
                raise UserError(
                    f"Plug-in {path} is a folder without {_PACKAGE}: name a file in it, or add one "
                    "that imports your methods."
                )
            file /= _PACKAGE
        if not file.is_file():
            raise UserError(f"No plug-in file at {path}.")
        if file.suffix != ".py":
            raise UserError(f"Plug-in {path} is not a Python file: its name must end in .py.")
        name = file.parent.name if file.name == _PACKAGE else file.stem
        # The path is part of the name: two files may share a file name.
        around = file.parent if file.name == _PACKAGE else file.parent / "*"
        digest = hashlib.sha256(str(around.resolve()).encode()).hexdigest()[:8]
        return cls(path, file, f"plugin_{digest}.{name.replace('.', '_')}")

    def run(self) -> None:
        """Import the file, also if it was imported before."""
        neighbours.run(self.module, _PROJECT / self.path, self.home)


@dataclass(frozen=True)
class InstalledPlugin:
    """An entry point of an installed package."""

    name: str
    value: str
    """Module, or module and object, that it names."""
    group: str
    package: str = ""
    """Name and version of the distribution that declares it."""

    def __str__(self) -> str:
        return f"The installed plug-in {self.name} ({self.place})"

    @property
    def place(self) -> str:
        """Text by which a user finds it."""
        return self.value

    @property
    def source(self) -> str:
        """Text that tells a reader of a list where its methods and data sets come from."""
        return self.package or self.value

    @property
    def home(self) -> Home | None:
        """The folder that its package is imported from; None if that cannot be found out."""
        top = self.value.partition(":")[0].partition(".")[0].strip()
        with suppress(ImportError, ValueError):
            spec = importlib.util.find_spec(top)  # does not import it
            if spec is not None:
                places = [*(spec.submodule_search_locations or ()), spec.origin]
                return Home(Path(places[0] or "").absolute().parent, top)
        return None

    def run(self) -> None:
        """Import what the entry point names."""
        importlib.metadata.EntryPoint(self.name, self.value, self.group).load()


Origin = PluginFile | InstalledPlugin


def installed(group: str) -> list[Origin]:
    """Return the entry points of installed packages in a group.

    Raises:
        UserError: what a package declares cannot be read.
    """
    with reported("The list of installed packages", "cannot be read"):
        return [
            InstalledPlugin(
                point.name, point.value, point.group,
                "" if point.dist is None else f"{point.dist.name} {point.dist.version}",
            )
            for point in importlib.metadata.entry_points(group=group)
        ]  # fmt: skip


@contextmanager
def reported(what: str, failed: str, home: Home | None = None) -> Iterator[None]:
    """Turn any error in a plug-in's own code into one line: WHAT FAILED: error (file, line)."""
    try:
        yield
    except (UserError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise failure(what, failed, error, home) from error


def failure(what: str, failed: str, error: BaseException, home: Home | None = None) -> UserError:
    """Return the line for an error in a plug-in's own code.

    Args:
        what: the plug-in.
        failed: verb of the sentence.
        error: any error.
        home: folder of the plug-in; the line names the last place in it that the error passed.
    """
    try:
        line = " ".join(f"{type(error).__name__}: {error}".split())
    except BaseException:  # the text of the error is made by the plug-in, too
        line = "an error whose text cannot be shown"
    place = "" if home is None else _place(error, home)
    hint = "" if home is None else _hint(error, home)
    return UserError(f"{what} {failed}: {neighbours.as_typed(line)}{place}{hint}")


def _place(error: BaseException, home: Home) -> str:
    """The last place in a plug-in's own files, in brackets; "" if there is none."""
    places = [
        (Path(frame.f_code.co_filename), line) for frame, line in walk_tb(error.__traceback__)
    ]
    own = [(file, line) for file, line in places if home.holds(file)]
    if not own or isinstance(error, SyntaxError):  # which says itself where it is
        return ""
    file, line = own[-1]
    return f" ({file.relative_to(home.folder)}, line {line})"


def _hint(error: BaseException, home: Home) -> str:
    """Advice on a name or a neighbour that was not found; "" for any other error."""
    if type(error) is ImportError and (found := _NOT_THERE.search(str(error))):
        places = _defined(found[1])
        return f": {found[1]} is in {', '.join(places)}" if places else ""
    name = error.name if isinstance(error, ModuleNotFoundError) else None
    parts = neighbours.as_typed(name or "").split(".")
    if all(part.isidentifier() for part in parts) and home.folder.joinpath(*parts).is_dir():
        return f": the folder {'/'.join(parts)} beside it needs an {_PACKAGE}"
    return ""


def _defined(name: str) -> list[str]:
    """Modules below `methods/` that define a class or a function."""
    pattern = re.compile(rf"^(?:def|class) {name}\b", re.MULTILINE)
    return [
        ".".join(file.relative_to(_PROJECT).with_suffix("").parts)
        for file in sorted((_PROJECT / "methods").rglob("*.py"))
        if pattern.search(file.read_text(encoding="utf-8"))
    ]
