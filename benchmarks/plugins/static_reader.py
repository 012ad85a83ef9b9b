"""Classes of plug-ins, read from their source without importing it.

The module of a method imports torch, which takes seconds. `list`, `plan`, `report` and `show` need
only names, fields, defaults and ranges, and with this reader they start at once. It is a small
interpreter of class bodies: it evaluates literals, arithmetic, types, and names of such things in
the same module or in another one of this project. Whatever it cannot evaluate, it leaves to an
import (`benchmarks.plugins.catalog`), so it may be slow but never wrong. A test compares the two.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import itertools
import operator
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from benchmarks.errors import UserError
from benchmarks.plugins.fields import MISSING, Field, Fields, fields_of

ROOT = Path(__file__).resolve().parents[2]

_LIGHT = {"benchmarks.plugins.ranges", "methods.parts.losses", "methods.space"}
"""Modules that are imported instead of read, and whose calls are evaluated: they import nothing
heavy."""
_BUILT_IN = {kind.__name__: kind for kind in (int, float, str, bool, tuple)}
_SIGNS: dict[type, Callable[[Any], Any]] = {ast.USub: operator.neg, ast.UAdd: operator.pos}
_OPERATIONS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.BitOr: operator.or_,
}


@dataclass(frozen=True)
class Registered:
    """A class under `@register("name", …)`."""

    name: str
    options: dict[str, Any]
    """Keyword arguments of the decorator."""
    class_name: str
    doc: str | None


def registered(file: Path) -> Iterator[Registered]:
    """The plug-ins that a file registers.

    Raises:
        UserError: the file is not Python, or a decorator's arguments are not literals.
    """
    try:
        tree = parsed(file.read_bytes())
    except (SyntaxError, ValueError) as error:
        raise UserError(f"{file} is not valid Python: {error}") from error
    for node in tree.body:
        if not isinstance(node, ast.ClassDef):
            continue
        for call in node.decorator_list:
            if not (isinstance(call, ast.Call) and _decorator_name(call) == "register"):
                continue
            try:
                name = ast.literal_eval(call.args[0])
                options = {k.arg: ast.literal_eval(k.value) for k in call.keywords if k.arg}
            except (IndexError, ValueError):
                raise UserError(
                    f"{file}, line {call.lineno}: @register takes its name first and literals "
                    "only, since it is read without being run."
                ) from None
            yield Registered(name, options, node.name, ast.get_docstring(node))


def read_fields(file: Path, class_name: str) -> Fields | None:
    """The fields of a dataclass in a file; None if only an import can tell."""
    try:
        return _Module(file).fields(class_name)
    except _READ_ERRORS:
        return None


def read_docs(file: Path, class_name: str) -> dict[str, str]:
    """The string under each field of a class, as one line, with those of its bases."""
    try:
        return _Module(file).docs(class_name)
    except _READ_ERRORS:
        return {}


def read_value(file: Path, class_name: str, name: str) -> Any:
    """The value of a class attribute; None if only an import can tell."""
    try:
        return _Module(file).attribute(class_name, name)
    except _READ_ERRORS:
        return None


@lru_cache(maxsize=256)
def parsed(source: bytes) -> ast.Module:
    """The syntax tree of a source text, cached: a process reads the same files many times."""
    return ast.parse(source)


class _Unreadable(Exception):
    """Only running the module can tell."""


_READ_ERRORS = (
    _Unreadable, OSError, SyntaxError, TypeError, ValueError, ArithmeticError, LookupError,
    RecursionError,  # names that mean each other
)  # fmt: skip


class _Module:
    """A source file, in which single names are evaluated.

    Args:
        file: its path.
    """

    def __init__(self, file: Path) -> None:
        self._classes: dict[str, ast.ClassDef] = {}
        self._values: dict[str, ast.expr] = {}
        self._imports: dict[str, tuple[str, str]] = {}
        for node in parsed(file.read_bytes()).body:
            match node:
                case ast.ClassDef():
                    self._classes[node.name] = node
                case ast.ImportFrom(module=str(module), level=0):
                    for alias in node.names:
                        self._imports[alias.asname or alias.name] = (module, alias.name)
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    self._values[name] = value
                case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                    self._values[name] = value

    # ---- classes -----------------------------------------------------------------------------

    def fields(self, class_name: str) -> Fields:
        """The fields of a class, inherited ones first; empty if it is not a dataclass."""
        if class_name not in self._classes:
            return self._imported_fields(class_name)
        node = self._classes[class_name]
        if len(node.bases) > 1 or node.keywords:
            raise _Unreadable
        found: Fields = {}
        for base in node.bases:
            if not isinstance(base, ast.Name):
                raise _Unreadable
            found |= self.fields(base.id)
        if any(_decorator_name(decorator) == "dataclass" for decorator in node.decorator_list):
            for line in node.body:
                if isinstance(line, ast.AnnAssign) and not _is_class_variable(line.annotation):
                    if not isinstance(line.target, ast.Name):
                        raise _Unreadable
                    default = MISSING if line.value is None else self.value(line.value)
                    if isinstance(default, list | dict | set):  # dataclasses refuse it
                        raise _Unreadable
                    annotation = self.value(line.annotation)
                    found[line.target.id] = Field.annotated(annotation, default)
        return found

    def docs(self, class_name: str) -> dict[str, str]:
        """The strings under the fields of a class, inherited ones first."""
        node = self._classes.get(class_name)
        if node is None:
            there = _project_module(self._imports.get(class_name, ("", ""))[0])
            return {} if there is None else there.docs(self._imports[class_name][1])
        found: dict[str, str] = {}
        for base in node.bases:
            found |= self.docs(base.id) if isinstance(base, ast.Name) else {}
        for line, below in itertools.pairwise(node.body):
            match line, below:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(ast.Constant(str(text))):
                    found[name] = " ".join(text.split())
        return found

    def attribute(self, class_name: str, name: str) -> Any:
        """The value of an attribute of a class or its base."""
        if class_name not in self._classes:
            module, original = self._imported(class_name)
            if (there := _project_module(module)) is None:
                raise _Unreadable
            return there.attribute(original, name)
        node = self._classes[class_name]
        for line in node.body:
            match line:
                case ast.AnnAssign(target=ast.Name(id=found), value=ast.expr() as value):
                    if found == name:
                        return self.value(value)
        if len(node.bases) != 1 or not isinstance(node.bases[0], ast.Name):
            raise _Unreadable
        return self.attribute(node.bases[0].id, name)

    def _imported_fields(self, class_name: str) -> Fields:
        module, name = self._imported(class_name)
        if (there := _project_module(module)) is not None:
            return there.fields(name)
        cls = getattr(sys.modules.get(module), name, None)
        if not isinstance(cls, type):
            raise _Unreadable
        return fields_of(cls) if dataclasses.is_dataclass(cls) else {}

    # ---- expressions -------------------------------------------------------------------------

    def value(self, node: ast.expr) -> Any:
        """The value of an expression, which is a default or a type."""
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.Name):
            return self.named(node.id)
        if isinstance(node, ast.Dict) and None not in node.keys:
            keys = [self.value(key) for key in node.keys if key is not None]
            return dict(zip(keys, map(self.value, node.values), strict=True))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if self._imports.get(node.func.id, ("", ""))[0] not in _LIGHT:
                raise _Unreadable
            keywords = {k.arg: self.value(k.value) for k in node.keywords if k.arg}
            return self.named(node.func.id)(*map(self.value, node.args), **keywords)
        if isinstance(node, ast.Tuple):
            return tuple(self.value(item) for item in node.elts)
        if isinstance(node, ast.UnaryOp) and type(node.op) in _SIGNS:
            return _SIGNS[type(node.op)](self.value(node.operand))
        if isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS:
            left, right = self.value(node.left), self.value(node.right)
            return _OPERATIONS[type(node.op)](left, right)
        if isinstance(node, ast.Subscript):
            return self.value(node.value)[self.value(node.slice)]
        raise _Unreadable

    def named(self, name: str) -> Any:
        """The value of a name of the module."""
        if name in self._values:
            return self.value(self._values[name])
        if name in _BUILT_IN:
            return _BUILT_IN[name]
        module, original = self._imported(name)
        if module in _LIGHT:
            return getattr(importlib.import_module(module), original)
        if (there := _project_module(module)) is not None:
            return there.named(original)
        if not hasattr(sys.modules.get(module), original):
            raise _Unreadable
        return getattr(sys.modules[module], original)

    def _imported(self, name: str) -> tuple[str, str]:
        if name not in self._imports:
            raise _Unreadable
        return self._imports[name]


def _project_module(name: str) -> _Module | None:
    """A module of this project; None for one of a library."""
    base = ROOT.joinpath(*name.split("."))
    for file in (base.with_suffix(".py"), base / "__init__.py"):
        if file.is_file():
            return _Module(file)
    return None


def _decorator_name(decorator: ast.expr) -> str:
    node = decorator.func if isinstance(decorator, ast.Call) else decorator
    return node.id if isinstance(node, ast.Name) else ""


def _is_class_variable(annotation: ast.expr) -> bool:
    """True for `ClassVar`; raises _Unreadable for other annotations special to dataclasses."""
    node = annotation.value if isinstance(annotation, ast.Subscript) else annotation
    name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
    if name in ("InitVar", "KW_ONLY") or isinstance(annotation, ast.Constant):
        raise _Unreadable
    return name == "ClassVar"
