"""Published code of other authors, read from a checkout on the user's disk.

Nothing of such code is part of the suite. Its modules are imported from the folder, or single
definitions are read from a file and run alone, where the rest of the file needs packages that the
comparison does not.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import io
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from benchmarks.errors import UserError


class Settings(dict[str, Any]):
    """Settings as published code reads them: by attribute; what is not set is None."""

    def __getattr__(self, name: str) -> Any:
        return self.get(name)


@dataclass(frozen=True)
class Checkout:
    """A checkout of published code.

    Raises:
        UserError: the folder lacks one of the files.
    """

    folder: Path
    repository: str
    """OWNER/NAME on github.com."""
    files: Sequence[str]
    """Files that are needed."""

    def __post_init__(self) -> None:
        for file in self.files:
            if not (self.folder / file).is_file():
                raise UserError(
                    f"--theirs {self.folder}: not a checkout of github.com/{self.repository}, "
                    f"it has no {file}."
                )

    # ---- version -------------------------------------------------------------------------------

    @property
    def commit(self) -> str | None:
        """Hash of the commit that is checked out; None if the folder is not a git repository."""
        top = self._git("rev-parse", "--show-toplevel")
        if top is None or Path(top).resolve() != self.folder.resolve():
            return None  # a folder without git inside the repository of something else
        return self._git("rev-parse", "HEAD")

    def changed(self) -> list[str]:
        """Needed files that are not those of the commit."""
        # Not `git diff`: a partial clone may lack the objects of other files.
        return [
            file
            for file in self.files
            if self._git("hash-object", file) != self._git("rev-parse", f"HEAD:{file}")
        ]

    def _git(self, *command: str) -> str | None:
        """Output of a git command in the folder, or None if it fails."""
        try:
            done = subprocess.run(
                ["git", "-C", str(self.folder), *command], capture_output=True, text=True
            )
        except FileNotFoundError:  # no git on this machine
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    # ---- code ----------------------------------------------------------------------------------

    def modules(
        self, *names: str, root: str = "", stand_ins: Mapping[str, Any] | None = None
    ) -> list[Any]:
        """Import modules of the checkout; what they print is discarded.

        Args:
            names: dotted names.
            root: folder of the checkout that the names are relative to.
            stand_ins: modules by name for packages that the code imports and the comparison does
                not need.

        Raises:
            UserError: they import a package that is not installed, or are other code.
        """
        with self.importable(root), self.usable():
            sys.modules.update(stand_ins or {})
            try:
                return [importlib.import_module(name) for name in names]
            finally:
                for name in stand_ins or {}:
                    sys.modules.pop(name, None)

    def definitions(self, file: str, *names: str, **scope: Any) -> Any:
        """Run some top-level definitions of a file, without the rest of it.

        Args:
            file: path in the checkout.
            names: functions, classes or assigned names.
            scope: global names that the definitions use.

        Returns:
            An object with the definitions as attributes.

        Raises:
            UserError: the file does not define a name.
        """
        tree = ast.parse((self.folder / file).read_text(encoding="utf-8"), file)
        found = [node for node in tree.body if _defined(node) in names]
        missing = set(names) - {_defined(node) for node in found}
        if missing:
            raise UserError(
                f"--theirs {self.folder}: another version of the code: {file} does not define "
                f"{', '.join(sorted(missing))}."
            )
        scope["__name__"] = Path(file).stem
        with self.usable():
            exec(compile(ast.Module(found, []), str(self.folder / file), "exec"), scope)
        return SimpleNamespace(**{name: scope[name] for name in names})

    @contextmanager
    def importable(self, root: str = "") -> Iterator[None]:
        """Find the checkout's modules first, and forget them afterwards: their names are common."""
        folder = self.folder.absolute() / root
        own = {path.stem for path in folder.iterdir() if path.is_dir() or path.suffix == ".py"}

        def taken() -> list[str]:
            return [name for name in sys.modules if name.partition(".")[0] in own]

        before: dict[str, ModuleType] = {name: sys.modules.pop(name) for name in taken()}
        writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
        sys.path.insert(0, str(folder))
        try:
            yield
        finally:
            sys.path.remove(str(folder))
            sys.dont_write_bytecode = writes
            for name in taken():
                del sys.modules[name]
            sys.modules.update(before)

    @contextmanager
    def usable(self) -> Iterator[None]:
        """Silence the code, and report that it cannot be used in one line.

        Raises:
            UserError: it needs a package, or is another version.
        """
        try:
            with quiet():
                yield
        except ImportError as error:
            raise UserError(
                f"--theirs {self.folder}: its code needs a package: {error}."
            ) from error
        except (AttributeError, NameError, TypeError) as error:
            raise UserError(
                f"--theirs {self.folder}: another version of the code: {error}."
            ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Discard what code prints and warns."""
    nowhere = io.StringIO()
    with (
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield


def _defined(node: ast.stmt) -> str:
    """Name that a top-level statement defines, or ""."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return node.name
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id
    return ""
