"""The function of a predictor from its parts in a file (see `function_writer`)."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from types import CellType
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.backbones import Backbone
from benchmarks.run.function_code import Names, UnknownCode
from benchmarks.run.function_writer import Form, state_of

Node = Mapping[str, Form]


class FunctionReader:
    """Puts functions together.

    Args:
        nodes: the parts.
        tensors: the tensors of the file by name.
        names: names of the code of the method.
        backbone: the backbone that the functions refer to, with the weights that they had.
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        tensors: Mapping[str, Tensor],
        names: Names,
        backbone: Backbone,
    ) -> None:
        self._nodes = nodes
        self._tensors = tensors
        self._names = names
        self._backbone = backbone
        self._weights = dict(state_of(backbone.model))
        self._made: dict[int, Any] = {}
        self._makers: dict[str, Callable[[int, Node], Any]] = {
            "backbone": lambda _, node: self._backbone,
            "module": lambda _, node: self._backbone.model.get_submodule(node["module"]),
            "weight": lambda _, node: self._weight(node),
            "tensor": lambda _, node: self._tensor(node["tensor"]),
            "parameter": lambda _, node: nn.Parameter(
                self._tensor(node["parameter"]), requires_grad=False
            ),
            "array": lambda _, node: self._tensors[node["array"]].numpy(),
            "function": self._function,
            "method": lambda _, node: self._method(node),
            "list": self._list,
            "tuple": lambda _, node: tuple(map(self.value, node["tuple"])),
            "set": lambda _, node: set(map(self.value, node["set"])),
            "size": lambda _, node: torch.Size(node["size"]),
            "dict": self._dict,
            "ordered": self._dict,
            "copy": lambda _, node: self._copy(node),
            "named": lambda _, node: tuple.__new__(
                self._names.class_of(node["named"]), map(self.value, node["items"])
            ),
            "object": self._object,
        }

    def value(self, form: Form) -> Any:
        """Return the value of a form.

        Raises:
            UnknownCode: it names code that is not there.
            KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError: it is no
                form that `FunctionWriter` writes.
        """
        if not isinstance(form, dict):
            return form
        ((kind, content),) = form.items()
        if kind == "float":
            return float(content)
        if kind == "dtype":
            found = getattr(torch, content)
            if not isinstance(found, torch.dtype):
                raise UnknownCode(content)
            return found
        if kind == "device":
            return self._backbone.device
        place = int(content)
        if place not in self._made:
            node = self._nodes[place]
            made = self._makers[next(iter(node))](place, node)
            self._made.setdefault(place, made)
        return self._made[place]

    def _tensor(self, name: str) -> Tensor:
        return self._tensors[name].to(self._backbone.device)

    def _weight(self, node: Node) -> Tensor:
        tensor = self._weights[node["weight"]]
        return tensor.detach() if node.get("detached") else tensor

    def _function(self, place: int, node: Node) -> Any:
        cells = tuple(CellType() for _ in node["cells"])
        made = self._names.function_of(node["function"], cells, self.value(node["defaults"]))
        self._made[place] = made  # it may be in a cell of its own
        for cell, form in zip(cells, node["cells"], strict=True):
            cell.cell_contents = self.value(form)
        return made

    def _method(self, node: Node) -> Any:
        owner = self.value(node["of"])
        self._names.of_class(type(owner))  # raises UnknownCode for objects of other code
        return getattr(owner, node["method"])

    def _list(self, place: int, node: Node) -> list[Any]:
        made: list[Any] = []
        self._made[place] = made
        made += map(self.value, node["list"])
        return made

    def _dict(self, place: int, node: Node) -> dict[Any, Any]:
        made: dict[Any, Any] = {} if "dict" in node else OrderedDict()
        self._made[place] = made
        for key, form in node.get("dict", node.get("ordered")):
            made[self.value(key)] = self.value(form)
        return made

    def _object(self, place: int, node: Node) -> Any:
        cls = self._names.class_of(node["object"])
        made: Any = object.__new__(cls)
        self._made[place] = made
        if isinstance(made, nn.Module):
            nn.Module.__init__(made)
        for name, form in node["state"].items():
            made.__dict__[name] = self.value(form)
        return made

    def _copy(self, node: Node) -> nn.Module:
        original = self._backbone.model.get_submodule(node["copy"])
        own = {name: self.value(form) for name, form in node["own"].items()}
        theirs = dict(state_of(original))
        # deepcopy takes what its memory holds in place of a copy.
        memory = {id(tensor): own.get(name, tensor) for name, tensor in theirs.items()}
        return copy.deepcopy(original, memory)
