"""The fields of a plug-in's class, known without importing its module.

A method's module brings torch, which takes seconds to import; who plans a sweep or reads records
needs to know its fields only. They are read from the source: annotations and defaults that are
literals, arithmetic on them, or names of such things, here or in another module of this project.
A class that says it in any other way is imported.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import itertools
import operator
import sys
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
MISSING = dataclasses.MISSING


@dataclass(frozen=True)
class Field:
    """A field of a dataclass."""

    hint: Any
    """Its type, evaluated."""
    default: Any
    """MISSING where it has none."""


Fields = dict[str, Field]


@dataclass(frozen=True)
class Declared:
    """What a dataclass says of itself."""

    fields: Mapping[str, Field]
    """By name, in the order of the constructor's arguments."""
    is_method: bool
    """Its numbers must lie in `benchmarks.plugins.ranges`."""

    @classmethod
    def of(cls, klass: type) -> Declared:
        """The same from a class that is at hand."""
        base = sys.modules.get("methods.base")  # else nobody has a method yet
        is_method = base is not None and issubclass(klass, base.Method)
        return cls(_of_class(klass), is_method)


def _of_class(klass: type) -> Fields:
    hints = typing.get_type_hints(klass)
    return {
        f.name: Field(
            hints[f.name],
            f.default if f.default_factory is MISSING else f.default_factory(),
        )
        for f in dataclasses.fields(klass)
    }


@lru_cache(maxsize=256)
def parsed(source: bytes) -> ast.Module:
    """The syntax tree of a source text: a process meets the same files again and again."""
    return ast.parse(source)


def read_fields(file: Path, class_name: str) -> Fields | None:
    """The fields of a dataclass in a file, or None where only an import can tell."""
    try:
        return _Module(file).fields(class_name)
    except _STUMBLES:
        return None


def read_docs(file: Path, class_name: str) -> dict[str, str]:
    """The string under each field of a class in a file, as one line, those of its bases too."""
    try:
        return _Module(file).docs(class_name)
    except (OSError, SyntaxError):
        return {}


def read_value(file: Path, class_name: str, name: str) -> Any:
    """What a class attribute is set to, or None where only an import can tell."""
    try:
        return _Module(file).attribute(class_name, name)
    except _STUMBLES:
        return None


class _Unreadable(Exception):
    """Not to be known without running the module."""


_STUMBLES = (
    _Unreadable, OSError, SyntaxError, TypeError, ValueError, ArithmeticError, LookupError,
    RecursionError,  # names that mean each other
)  # fmt: skip


class _Module:
    """A source file, of which single names are evaluated.

    Args:
        file: where it is.
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

    def fields(self, class_name: str) -> Fields:
        """The fields of a class, those that it inherits first; none of a class that has none."""
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
        if any(_name(decorator) == "dataclass" for decorator in node.decorator_list):
            for line in node.body:
                if isinstance(line, ast.AnnAssign) and not _no_field(line.annotation):
                    if not isinstance(line.target, ast.Name):
                        raise _Unreadable
                    default = MISSING if line.value is None else self.value(line.value)
                    if isinstance(default, list | dict | set):  # a dataclass refuses it
                        raise _Unreadable
                    found[line.target.id] = Field(self.value(line.annotation), default)
        return found

    def docs(self, class_name: str) -> dict[str, str]:
        """The strings under the fields of a class, those that it inherits first."""
        node = self._classes.get(class_name)
        if node is None:
            there = _on_disk(self._imports.get(class_name, ("", ""))[0])
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
        """What a class, or the one that it inherits from, sets an attribute to."""
        if class_name not in self._classes:
            module, original = self._imported(class_name)
            if (there := _on_disk(module)) is None:
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
        if (there := _on_disk(module)) is not None:
            return there.fields(name)
        klass = getattr(sys.modules.get(module), name, None)
        if not isinstance(klass, type):
            raise _Unreadable
        return _of_class(klass) if dataclasses.is_dataclass(klass) else {}

    def value(self, node: ast.expr) -> Any:
        """What an expression is: a default, or a type."""
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.Name):
            return self.named(node.id)
        if isinstance(node, ast.Dict) and None not in node.keys:
            keys = [self.value(key) for key in node.keys if key is not None]
            return dict(zip(keys, map(self.value, node.values), strict=True))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
            if self._imports.get(node.func.id, ("", ""))[0] != _RANGES:
                raise _Unreadable
            return self.named(node.func.id)(*map(self.value, node.args))
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
        """What a name of the module means."""
        if name in self._values:
            return self.value(self._values[name])
        if name in _BUILT_IN:
            return _BUILT_IN[name]
        module, original = self._imported(name)
        if module == _RANGES:
            return getattr(importlib.import_module(module), original)
        if (there := _on_disk(module)) is not None:
            return there.named(original)
        if not hasattr(sys.modules.get(module), original):
            raise _Unreadable
        return getattr(sys.modules[module], original)

    def _imported(self, name: str) -> tuple[str, str]:
        if name not in self._imports:
            raise _Unreadable
        return self._imports[name]


_RANGES = "methods.space"
"""Of which calls are evaluated: it needs nothing to import."""
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


def _on_disk(module: str) -> _Module | None:
    """A module of this project; None for one of a library."""
    base = ROOT.joinpath(*module.split("."))
    for file in (base.with_suffix(".py"), base / "__init__.py"):
        if file.is_file():
            return _Module(file)
    return None


def _name(decorator: ast.expr) -> str:
    node = decorator.func if isinstance(decorator, ast.Call) else decorator
    return node.id if isinstance(node, ast.Name) else ""


def _no_field(annotation: ast.expr) -> bool:
    """Whether a line is of the class alone; raises _Unreadable for what dataclasses treat apart."""
    node = annotation.value if isinstance(annotation, ast.Subscript) else annotation
    name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
    if name in ("InitVar", "KW_ONLY") or isinstance(annotation, ast.Constant):
        raise _Unreadable
    return name == "ClassVar"
