"""Functions and classes of loaded modules: replaced ones are found by identity and put back.

These are the suite's own modules and classes, and those of Python, NumPy and torch that are most
often patched. Modules that are imported meanwhile are no change.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from operator import is_
from types import FunctionType, ModuleType
from typing import Any, ClassVar

from benchmarks.errors import first_few

_SUITE = ("benchmarks", "methods", "results", "reports")
_MODULES = (
    # Python's builtins are first: everything else here relies on them.
    *("builtins", "math", "random", "time", "json", "os", "posixpath", "io", "copy", "pickle"),
    *("hashlib", "functools", "threading", "subprocess", "zipfile", "pathlib", "logging"),
    *("numpy", "numpy.linalg", "numpy.random", "PIL.Image", "PIL.ImageFile"),
    *("torch", "torch.nn", "torch.nn.functional", "torch.nn.init", "torch.linalg"),
    *("torch.autograd", "torch.random", "torch.cuda", "torch.optim", "open_clip"),
)
_CLASSES = (
    *(("torch", name) for name in ("Tensor", "Generator")),
    *(("torch.nn", name) for name in ("Module", "Parameter", "Linear", "LayerNorm", "Conv2d")),
    *(("torch.nn", name) for name in ("MultiheadAttention", "Embedding", "Sequential", "GELU")),
    *(("torch.optim", "Optimizer"), ("pathlib", "Path"), ("json", "JSONEncoder")),
)
_LAZY = frozenset(
    {"__annotations__", "__annotate__", "__warningregistry__", "__cached__", "__slotnames__"}
)
"""Names that Python itself sets when they are first used."""
_OWN = frozenset(
    {"torch.Storage", *(f"time.{name}" for name in ("tzname", "timezone", "altzone", "daylight"))}
)
"""Names that torch and Python set themselves with the default dtype and the time zone."""
_MISSING: Any = object()


class Patches:
    """The names in modules and classes at one time, and the code of the suite's functions."""

    _latest: ClassVar[list[Patches]] = []  # in a list: the names of this class are watched, too

    @classmethod
    def now(cls) -> Patches:
        """Return the names as they are, which mostly are those of the cell before."""
        if not cls._latest or not cls._latest[0]._hold():
            cls._latest[:] = [cls()]
        return cls._latest[0]

    def __init__(self) -> None:
        self._names: list[tuple[Any, str, dict[str, Any], bool]] = []
        self._code: list[tuple[FunctionType, Any, Any]] = []
        self._loaded = loaded = dict(sys.modules)
        for name in _MODULES:
            if name in loaded:
                self._add(loaded[name], name, ours=False)
        for home, name in _CLASSES:
            if home in loaded:
                self._add(getattr(loaded[home], name), f"{home}.{name}", ours=True)
        for name, module in loaded.items():
            if name.partition(".")[0] in _SUITE and isinstance(module, ModuleType):
                self._add(module, name, ours=True)
                for value in [*vars(module).values()]:
                    if isinstance(value, type) and value.__module__ == name:
                        self._add(value, f"{name}.{value.__qualname__}", ours=True)
                        self._remember(value)
                self._remember(module)

    def _add(self, owner: Any, name: str, *, ours: bool) -> None:
        self._names.append((owner, name, dict(vars(owner)), ours))

    def _remember(self, owner: Any) -> None:
        self._code += [
            (value, value.__code__, value.__defaults__)
            for value in vars(owner).values()
            if type(value) is FunctionType
        ]

    def _hold(self) -> bool:
        """Return True if all names and all code are as they were, also in the same modules."""
        return (
            _identical(self._loaded, sys.modules)
            and all(_identical(old, owner.__dict__) for owner, _, old, _ in self._names)
            and next(self._recoded(), None) is None
        )

    def restore(self) -> list[str]:
        """Put replaced and removed names back, remove added ones, and return a phrase for each."""
        changed = []
        for name, put_back in self._replaced():
            put_back()
            changed.append(name)
        if not changed:
            return []
        return [f"{first_few([ascii(one)[1:-1] for one in changed])} was replaced, is put back"]

    def any(self) -> bool:
        """Return True if anything is replaced now."""
        return next(self._replaced(), None) is not None

    def _replaced(self) -> Iterator[tuple[str, Callable[[], None]]]:
        """Yield each name that is not what it was, and a function that puts it back."""
        for owner, name, old, ours in self._names:
            now = owner.__dict__
            if _identical(old, now):
                continue
            for key, value in old.items():
                if now.get(key, _MISSING) is not value and _counts(key, name, ours):
                    yield f"{name}.{key}", partial(setattr, owner, key, value)
            if len(now) > len(old):
                for key in [*now]:
                    if (
                        key not in old
                        and _counts(key, name, ours)
                        and type(now[key]) is not ModuleType
                    ):
                        yield f"{name}.{key}", partial(delattr, owner, key)
        for function, code, defaults in self._recoded():
            name = f"{function.__module__}.{function.__qualname__}"
            yield name, partial(_reset, function, code, defaults)

    def _recoded(self) -> Iterator[tuple[FunctionType, Any, Any]]:
        """Yield each function whose code or defaults are others now, with the old ones."""
        for function, code, defaults in self._code:
            if function.__code__ is not code or function.__defaults__ is not defaults:
                yield function, code, defaults


def _identical(old: dict[str, Any], now: Mapping[str, Any]) -> bool:
    """Return True if names and values are the same objects in the same order.

    Nearly always they are. Thousands of names are compared around each cell, here in C code.
    """
    return (
        len(old) == len(now)
        and all(map(is_, old, now))
        and all(map(is_, old.values(), now.values()))
    )


def _reset(function: FunctionType, code: Any, defaults: Any) -> None:
    function.__code__, function.__defaults__ = code, defaults


def _counts(key: str, owner: str, ours: bool) -> bool:
    """Return False for names that libraries set themselves."""
    if key in _LAZY or f"{owner}.{key}" in _OWN:
        return False
    return ours or not key.startswith("_") or key.startswith("__")
