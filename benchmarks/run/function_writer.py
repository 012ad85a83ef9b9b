"""The function of a predictor as data: what it is made of in types of JSON, and its tensors.

`Predictor.logits` is a module, or a function inside `fit` with tensors of its own. What it leads to
is written as a list of nodes that refer to each other by their places: objects with their
attributes, functions with their cells, lists and so on. Code is named (`function_code`), tensors
are stored apart, and frozen parts of the backbone are named by their place in it. So the file needs
neither training images nor another fit. `function_reader` puts the parts together again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from types import FunctionType, MethodType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.backbones import Backbone
from benchmarks.run.function_code import Names, UnknownCode

Form = Any
"""A value in types of JSON: as it is, or {"node": place} of a node."""
SEQUENCES: dict[type, str] = {list: "list", tuple: "tuple", set: "set", torch.Size: "size"}
MAPPINGS: dict[type, str] = {dict: "dict", OrderedDict: "ordered"}
PLAIN = nn.Module().__dict__
"""Attributes of a module that has nothing of its own."""


class Unsaveable(ValueError):
    """A predictor that holds what a file cannot; the text says what."""


class FunctionWriter:
    """Collects the nodes and tensors of functions.

    Args:
        names: names of the code of the method.
        backbone: the backbone that the functions may refer to.
    """

    def __init__(self, names: Names, backbone: Backbone) -> None:
        self.nodes: list[dict[str, Form]] = []
        self.tensors: dict[str, Tensor] = {}
        self._names = names
        self._backbone = backbone
        model: Any = backbone.model
        self._modules = {id(module): name for name, module in model.named_modules()}
        self._weights = {id(tensor): name for name, tensor in state_of(model)}
        self._memory = {_memory(t): name for name, t in state_of(model) if t.numel()}
        self._places: dict[int, int] = {}
        self._alive: list[Any] = []

    def form(self, value: Any, path: tuple[str, ...] = ()) -> Form:
        """Return the form of a value.

        Args:
            value: any value.
            path: the attributes that lead to it, after which its tensors are named.

        Raises:
            Unsaveable: it holds what a file cannot.
        """
        if value is None or type(value) in (bool, int, str):
            return value
        if isinstance(value, float | np.floating | np.integer | np.bool_):
            number = value.item() if isinstance(value, np.generic) else value
            return number if number == number and abs(number) < np.inf else {"float": str(number)}
        if isinstance(value, torch.dtype):
            return {"dtype": str(value).removeprefix("torch.")}
        if isinstance(value, torch.device):
            return {"device": None}
        if id(value) not in self._places:
            self._places[id(value)] = place = len(self.nodes)
            self._alive.append(value)  # so that no other value gets its id
            self.nodes.append({})
            try:
                self.nodes[place] = self._node(value, path)
            except UnknownCode as error:
                raise Unsaveable(f"it holds {error}") from error
        return {"node": self._places[id(value)]}

    def _node(self, value: Any, path: tuple[str, ...]) -> dict[str, Form]:
        if value is self._backbone:
            return {"backbone": None}
        if isinstance(value, Tensor):
            return self._of_tensor(value, path)
        if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
            return {"array": self._stored(torch.from_numpy(value), path)}
        if isinstance(value, nn.Module) and id(value) in self._modules:
            return {"module": self._modules[id(value)]}
        if isinstance(value, FunctionType):
            return self._of_function(value, path)
        if isinstance(value, MethodType):
            owner = self.form(value.__self__, path)
            return {"method": value.__func__.__name__, "of": owner}
        if type(value) in SEQUENCES:
            items = [self.form(item, (*path, str(i))) for i, item in enumerate(value)]
            return {SEQUENCES[type(value)]: items}
        if type(value) in MAPPINGS:
            pairs = [[self.form(k), self.form(v, (*path, str(k)))] for k, v in value.items()]
            return {MAPPINGS[type(value)]: pairs}
        if isinstance(value, nn.Module) and (place := self._copied(value)) is not None:
            return self._of_copy(value, place, path)
        name = self._names.of_class(type(value))
        if isinstance(value, tuple):  # with names
            return {"named": name, "items": [self.form(item, path) for item in value]}
        state = {k: self.form(v, _longer(path, k)) for k, v in _attributes(value)}
        return {"object": name, "state": state}

    def _of_tensor(self, value: Tensor, path: tuple[str, ...]) -> dict[str, Form]:
        if id(value) in self._weights:
            return {"weight": self._weights[id(value)]}
        if _memory(value) in self._memory:  # without a gradient, for example
            return {"weight": self._memory[_memory(value)], "detached": True}
        if value.layout is not torch.strided or value.is_quantized:
            raise Unsaveable("it holds a tensor that is not dense")
        kind = "parameter" if isinstance(value, nn.Parameter) else "tensor"
        return {kind: self._stored(value, path)}

    def _stored(self, tensor: Tensor, path: tuple[str, ...]) -> str:
        """Store a tensor, and return its name."""
        name = base = ".".join(path) or "value"
        number = 1
        while name in self.tensors:
            number += 1
            name = f"{base} {number}"
        # A copy: tensors may share memory, which safetensors does not allow.
        self.tensors[name] = tensor.detach().cpu().clone().contiguous()
        return name

    def _of_function(self, function: FunctionType, path: tuple[str, ...]) -> dict[str, Form]:
        cells = []
        names = function.__code__.co_freevars
        for name, cell in zip(names, function.__closure__ or (), strict=True):
            try:
                content = cell.cell_contents
            except ValueError:
                raise Unsaveable(f"{name} of {function.__qualname__} has no value") from None
            cells.append(self.form(content, (*path, name)))
        if function.__kwdefaults__:
            raise Unsaveable(f"{function.__qualname__} has defaults of keywords")
        return {
            "function": self._names.of_function(function),
            "cells": cells,
            "defaults": self.form(function.__defaults__, (*path, "defaults")),
        }

    def _copied(self, module: nn.Module) -> str | None:
        """The part of the backbone that a module is a copy of, with other weights; None: of none.

        Its class is the backbone's library's, which no file may name.
        """
        name: str
        for name, own in self._backbone.model.named_modules():
            if type(own) is type(module) and not _is_layer(own) and _shape(own) == _shape(module):
                return name
        return None

    def _of_copy(self, module: nn.Module, place: str, path: tuple[str, ...]) -> dict[str, Form]:
        theirs = dict(state_of(self._backbone.model.get_submodule(place)))
        own = {
            name: self.form(tensor, (*path, *name.split(".")))
            for name, tensor in state_of(module)
            if tensor is not theirs[name]
        }
        return {"copy": place, "own": own}


def state_of(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield the names of the parameters and buffers of a module, with those not in its state."""
    yield from module.named_parameters(remove_duplicate=False)
    yield from module.named_buffers(remove_duplicate=False)


def _shape(module: nn.Module) -> list[Any]:
    """Parts and shapes that a copy of a module has in common with it."""
    parts = [(name, type(part)) for name, part in module.named_modules()]
    return [parts, [(name, tensor.shape) for name, tensor in state_of(module)]]


def _is_layer(module: nn.Module) -> bool:
    return type(module).__module__.startswith("torch.nn.modules")


def _memory(tensor: Tensor) -> tuple[Any, ...]:
    return tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype


def _attributes(value: Any) -> Iterator[tuple[str, Any]]:
    """The attributes of an object; of a module those that it does not have from the start."""
    if not hasattr(value, "__dict__"):
        raise Unsaveable(f"it holds a {type(value).__module__}.{type(value).__qualname__}")
    plain: Mapping[str, Any] = PLAIN if isinstance(value, nn.Module) else {}
    for name, part in vars(value).items():
        if name not in plain or not _same(part, plain[name]):
            yield name, part


def _same(part: Any, plain: Any) -> bool:
    return type(part) is type(plain) and not isinstance(part, Tensor) and bool(part == plain)


def _longer(path: tuple[str, ...], name: str) -> tuple[str, ...]:
    """The path to an attribute, without the dictionaries in which modules keep their parts."""
    return path if name in ("_parameters", "_buffers", "_modules") else (*path, name)
