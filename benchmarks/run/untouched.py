"""Tensors, modules and objects that methods share: what a method has changed in them, by name.

Torch counts changes in place, but not those through `.data`, `.numpy()` or a pointer. Contents are
therefore compared by their hashes (`digests.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, NamedTuple

from torch import Tensor, nn

from benchmarks.errors import first_few
from benchmarks.run.digests import digests
from benchmarks.run.setting import same


class _Watched(NamedTuple):
    """A tensor as it was."""

    tensor: Tensor
    form: tuple[Any, ...]
    gradients: tuple[bool, ...]
    digest: bytes


class Shared:
    """Tensors, modules and objects as they are now.

    Args:
        tensors: by the names that messages call them.
        modules: likewise; their parameters and buffers are watched, too.
        objects: likewise; their attributes may not be replaced. Their numbers may change, and so
            may the contents of private attributes.
    """

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        modules: Mapping[str, nn.Module] | None = None,
        objects: Mapping[str, Any] | None = None,
    ) -> None:
        modules = modules or {}
        self._tensors: dict[str, _Watched] = {}
        self._modules = dict(modules)
        self._parts = {name: _parts(module) for name, module in modules.items()}
        self._weights = {name: _watched(_tensors_of(module)) for name, module in modules.items()}
        self._objects = dict(objects or {})
        self._attributes = {name: _attributes(value) for name, value in self._objects.items()}
        self.add(tensors)

    def add(self, tensors: Mapping[str, Tensor]) -> None:
        """Watch further tensors, those of known names excepted."""
        self._tensors |= _watched({n: t for n, t in tensors.items() if n not in self._tensors})

    def changes(self, *, weights: bool = True) -> list[str]:
        """Return what has changed, such as "features" or "the backbone's mode (visual)".

        Args:
            weights: also compare the contents of modules, which takes a second for 10 GB.
        """
        found: dict[str, list[str]] = {}
        for tensor, part in _changed(self._tensors, contents=True):
            found[f"gradients of {tensor}" if part == "gradients" else tensor] = []
        for name, module in self._modules.items():
            places = [
                *_changed(self._weights[name], contents=weights),
                *_differences(self._parts[name], _parts(module)),
            ]
            for where, part in places:
                found.setdefault(f"{name}'s {part}", []).append(where or "as a whole")
        for name, value in self._objects.items():
            for key in _replaced(value, self._attributes[name]):
                found[f"{name}'s {key}"] = []
        found = {what: list(dict.fromkeys(places)) for what, places in found.items()}
        return [f"{what} ({first_few(at)})" if at else what for what, at in found.items()]


def _watched(tensors: Mapping[str, Tensor]) -> dict[str, _Watched]:
    hashes = digests(tensors.values())
    return {
        name: _Watched(tensor, _form(tensor), _gradients(tensor), digest)
        for (name, tensor), digest in zip(tensors.items(), hashes, strict=True)
    }


def _changed(watched: Mapping[str, _Watched], *, contents: bool) -> Iterator[tuple[str, str]]:
    """Yield the names of tensors that are not what they were, and what is different."""
    # Hashed together: a GPU is awaited once.
    hashes = digests(w.tensor for w in watched.values()) if contents else []
    for number, (name, was) in enumerate(watched.items()):
        if _form(was.tensor) != was.form or (contents and hashes[number] != was.digest):
            yield name, "weights"
        if _gradients(was.tensor) != was.gradients:
            yield name, "gradients"


def _form(tensor: Tensor) -> tuple[Any, ...]:
    """Return a tensor's form, and torch's count of changes in place."""
    version = 0 if tensor.is_inference() else tensor._version
    return (tensor.dtype, tensor.shape, tensor.device, version)


def _gradients(tensor: Tensor) -> tuple[bool, ...]:
    return (tensor.requires_grad, tensor.grad is None, bool(tensor._backward_hooks))


def _tensors_of(module: nn.Module) -> dict[str, Tensor]:
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def _parts(root: nn.Module) -> dict[str, dict[str, Any]]:
    """Return the attributes of a module and all modules in it; dictionaries and lists are copied.

    Parameters, buffers, modules and hooks are in dictionaries of their own.
    """
    return {
        where: {"class": type(module)} | {key: _copied(v) for key, v in vars(module).items()}
        for where, module in root.named_modules()
    }


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return dict(value)
    return tuple(value) if isinstance(value, list) else value


def _differences(
    old: dict[str, dict[str, Any]], new: dict[str, dict[str, Any]]
) -> Iterator[tuple[str, str]]:
    """Yield the place of each difference in a module, and what is different."""
    absent = object()
    for where in {**old, **new}:
        if where not in old or where not in new:
            yield where, "modules"
            continue
        was, now = old[where], new[where]
        for key in {**was, **now}:
            if not same(was.get(key, absent), now.get(key, absent)):
                part = _part_of(key)
                yield (f"{where}.{key}".strip(".") if part == "attributes" else where), part


def _attributes(value: Any) -> dict[str, Any]:
    return {
        key: one if key.startswith("_") else _copied(one)
        for key, one in vars(value).items()
        if not isinstance(one, int | float)
    }


def _replaced(value: Any, old: dict[str, Any]) -> Iterator[str]:
    """Yield the attributes of an object that are others now, or hide those of its class."""
    now = _attributes(value)
    for key in {**old, **now}:
        if key in old:
            if key not in now or not same(old[key], now[key]):
                yield key
        elif not isinstance(getattr(type(value), key, None), cached_property):
            yield key


def _part_of(key: str) -> str:
    """Return the name of the part of a module that an attribute belongs to."""
    if key == "training":
        return "mode"
    if key in ("_parameters", "_buffers"):
        return "weights"
    if key in ("_modules", "class"):
        return "modules"
    return "hooks" if "_hooks" in key else "attributes"
