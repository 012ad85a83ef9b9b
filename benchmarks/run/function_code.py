"""Names of the classes and functions that a saved model may refer to, and how they are found.

A model file may come from elsewhere, so it names code and never holds any: classes and functions
of `methods`, of the plug-in that the method is from, and the layers of torch. No name leads to
other code, such as functions that open files, and no class is called.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from types import CodeType, FunctionType
from typing import Any

PLUGIN = "plugin"
"""Name of a plug-in's module, and the beginning of those of the modules beside it. Their real names
contain a hash of the path."""
_LAYERS = "torch.nn.modules"


class UnknownCode(ValueError):
    """Code that a saved model cannot name, or names wrongly."""


class Names:
    """The names of code for one method.

    Args:
        module: module of the method's class.
    """

    def __init__(self, module: str) -> None:
        self._module = module
        self._package = module.partition(".")[0]
        self._foreign = self._package != "methods"

    def of_class(self, cls: type) -> str:
        """Return the name of a class.

        Raises:
            UnknownCode: it is of other code.
        """
        name = f"{self._shown(cls.__module__)}:{cls.__qualname__}"
        try:
            known = self.class_of(name) is cls
        except UnknownCode:
            known = False
        if not known:
            raise UnknownCode(name)
        return name

    def class_of(self, name: str) -> type:
        """Return the class of a name.

        Raises:
            UnknownCode: there is none.
        """
        module, _, path = name.partition(":")
        found = self._attribute(self._typed(module, layers=True), path)
        if not isinstance(found, type) or found.__module__ != self._typed(module, layers=True):
            raise UnknownCode(name)
        return found

    def of_function(self, function: FunctionType) -> str:
        """Return the name of a function; of one inside others, also its place among their code.

        Raises:
            UnknownCode: it is of other code.
        """
        outer, *inner = function.__qualname__.split(".<locals>.")
        name = f"{self._shown(function.__module__)}:{outer}"
        for part in inner:
            codes = _inside(self._code(name)[0], part)
            place = next((i for i, code in enumerate(codes) if _leads_to(code, function)), None)
            if place is None:
                raise UnknownCode(function.__qualname__)
            name += f"/{part}#{place}"
        if self._code(name)[0] is not function.__code__:
            raise UnknownCode(function.__qualname__)
        return name

    def function_of(self, name: str, closure: tuple[Any, ...], defaults: Any) -> FunctionType:
        """Return a function: the one of this name, or a new one with these cells.

        Raises:
            UnknownCode: there is none, or it has other cells.
        """
        code, outer = self._code(name)
        if len(code.co_freevars) != len(closure):
            raise UnknownCode(name)
        if "/" not in name:
            return outer
        return FunctionType(code, outer.__globals__, code.co_name, defaults, closure)

    def _code(self, name: str) -> tuple[CodeType, FunctionType]:
        """The code of a name, and the function of the module that it is inside of."""
        module, _, path = name.partition(":")
        outer, *inner = path.split("/")
        found = inspect.unwrap(self._attribute(self._typed(module), outer))
        if not isinstance(found, FunctionType) or found.__module__ != self._typed(module):
            raise UnknownCode(name)
        code = found.__code__
        for part in inner:
            own, _, place = part.partition("#")
            codes = _inside(code, own)
            if not place.isdecimal() or int(place) >= len(codes):
                raise UnknownCode(name)
            code = codes[int(place)]
        return code, found

    def _attribute(self, module: str, path: str) -> Any:
        try:  # a plug-in is in no folder that modules are imported from
            found: Any = sys.modules.get(module) or importlib.import_module(module)
            for part in path.split("."):
                found = vars(found)[part]
                found = getattr(found, "__func__", found)  # of a static or class method
        except (ImportError, KeyError, TypeError):
            raise UnknownCode(f"{module}:{path}") from None
        return found

    def _shown(self, module: str) -> str:
        if self._foreign and module == self._module:
            return PLUGIN
        if self._foreign and _within(module, self._package):
            return PLUGIN + module.removeprefix(self._package)
        return module

    def _typed(self, name: str, *, layers: bool = False) -> str:
        """The module of a name.

        Raises:
            UnknownCode: not one that a saved model may name.
        """
        if name == PLUGIN and self._foreign:
            return self._module
        if name.startswith(f"{PLUGIN}.") and self._foreign:
            return self._package + name.removeprefix(PLUGIN)
        if _within(name, "methods") or (layers and _within(name, _LAYERS)):
            return name
        raise UnknownCode(name)


def _within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def _inside(code: CodeType, name: str) -> list[CodeType]:
    """The functions of a name that are defined directly inside of another, in their order."""
    return [c for c in code.co_consts if isinstance(c, CodeType) and c.co_name == name]


def _leads_to(code: CodeType, function: FunctionType) -> bool:
    """True if a function is this code or inside of it."""
    return code is function.__code__ or any(
        isinstance(inner, CodeType) and _leads_to(inner, function) for inner in code.co_consts
    )
