"""Changes of shared tensors and modules are named, whatever way they were made."""

import ctypes
from collections.abc import Callable
from functools import cached_property
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from benchmarks.run.untouched import Shared


def by_pointer(tensor: Tensor) -> None:
    ctypes.memset(tensor.data_ptr(), 0, 4)


def by_storage(tensor: Tensor) -> None:
    tensor.untyped_storage().fill_(0)


def centred(tensor: Tensor) -> None:
    array = tensor.detach().numpy()
    array -= array.mean(0)


WRITES: dict[str, Callable[[Tensor], Any]] = {
    "in place": lambda t: t.detach().add_(1),
    "numpy": lambda t: t.detach().numpy().__setitem__(0, 9),
    "numpy, centred": centred,
    "numpy and back": lambda t: torch.from_numpy(t.detach().numpy()).zero_(),
    "data": lambda t: t.data.mul_(2),
    "data replaced": lambda t: setattr(t, "data", torch.zeros(t.shape)),
    "pointer": by_pointer,
    "storage": by_storage,
    "a view": lambda t: t.data[1:].view(-1).neg_(),
    "two rows swapped": lambda t: t.data.copy_(t.data.flip(0)),
    "undone": lambda t: t.detach().add_(1).sub_(1),
}


@pytest.mark.parametrize("how", WRITES)
def test_a_write_to_a_tensor_is_named(how: str) -> None:
    tensors = {name: torch.arange(1.0, 7).view(3, 2) for name in ("features", "labels")}
    shared = Shared(tensors)
    assert shared.changes() == []
    WRITES[how](tensors["features"])
    assert shared.changes() == ["features"]


@pytest.mark.parametrize("how", WRITES)
def test_a_write_to_a_weight_is_named(how: str) -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    nn.init.uniform_(model[0].weight, 1, 2)
    shared = Shared({}, {"the backbone": model})
    WRITES[how](model[0].weight)
    assert shared.changes() == ["the backbone's weights (0.weight)"]


def test_contents_of_weights_are_left_out_on_request() -> None:
    model = nn.Linear(2, 3)
    shared = Shared({}, {"the backbone": model})
    model.weight.data.zero_()
    assert shared.changes(weights=False) == []
    assert shared.changes() == ["the backbone's weights (weight)"]


CHANGES: dict[str, Callable[[Any], Any]] = {
    "weights (1.running_mean)": lambda m: m[1].running_mean.data.add_(1),
    "weights (0)": lambda m: setattr(m[0], "weight", nn.Parameter(torch.zeros(3, 2))),
    "gradients (0.weight, 0.bias)": lambda m: m[0].requires_grad_(False),
    "gradients (0.weight)": lambda m: m[0].weight.sum().backward(),
    "gradients (0.bias)": lambda m: m[0].bias.register_hook(print),
    "mode (as a whole, 0, 1)": lambda m: m.eval(),
    "mode (1)": lambda m: m[1].eval(),
    "hooks (0)": lambda m: m[0].register_forward_hook(print),
    "hooks (as a whole)": lambda m: m.register_full_backward_pre_hook(print),
    "modules (as a whole, 0)": lambda m: m.__setitem__(0, nn.Identity()),
    "modules (as a whole, 2)": lambda m: m.append(nn.Identity()),
    "attributes (0.forward)": lambda m: setattr(m[0], "forward", print),
    "attributes (1.eps)": lambda m: setattr(m[1], "eps", 1.0),
    "attributes (tower)": lambda m: m.tower.append(2),
    "modules (0, 0.parametrizations, 0.parametrizations.weight, ": lambda m: (
        parametrizations.weight_norm(m[0])
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_of_a_module_is_named(what: str) -> None:
    model: Any = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    model.tower = [1]
    shared = Shared({}, {"the backbone": model})
    assert shared.changes() == []
    CHANGES[what](model)
    said = shared.changes()
    assert any(line.startswith(f"the backbone's {what}") for line in said), said
    assert Shared({}, {"the backbone": model}).changes() == []


def test_use_is_no_change() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.GELU()).requires_grad_(False).eval()
    rows = torch.ones(4, 2)
    shared = Shared({"features": rows}, {"the backbone": model})
    parameter = nn.Parameter(torch.ones(3))
    (model(rows) * parameter).sum().backward()
    assert shared.changes() == []


def test_flags_of_a_tensor_are_named() -> None:
    counts = torch.ones(3)
    shared = Shared({"the class counts": counts})
    counts.requires_grad_()
    assert shared.changes() == ["gradients of the class counts"]


def test_tensors_can_be_added_and_known_ones_keep_their_state() -> None:
    first, second = torch.ones(3), torch.ones(3)
    shared = Shared({"first": first})
    first.numpy()[0] = 2
    shared.add({"first": first, "second": second})
    second.numpy()[0] = 2
    assert shared.changes() == ["first", "second"]


class Split:
    def __init__(self) -> None:
        self.labels = torch.ones(3)
        self.sizes = {"side": 32}
        self.waited_s = 0.0
        self._seen = {"labels": 0}

    @cached_property
    def keys(self) -> Tensor:
        return self.labels + 1

    def features(self) -> Tensor:
        return self.labels


def test_use_of_an_object_is_no_change() -> None:
    split = Split()
    shared = Shared({}, {}, {"the split": split})
    assert len(split.keys) == 3
    split.waited_s += 1
    split._seen["features"] = 2
    assert shared.changes() == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: setattr(s, "labels", torch.ones(3)), "labels"),
        (lambda s: setattr(s, "features", lambda: torch.zeros(3)), "features"),
        (lambda s: setattr(s, "_seen", {}), "_seen"),
        (lambda s: delattr(s, "labels"), "labels"),
        (lambda s: s.sizes.update(side=1), "sizes"),
    ],
)
def test_a_replaced_attribute_of_an_object_is_named(
    change: Callable[[Split], Any], said: str
) -> None:
    split = Split()
    shared = Shared({}, {}, {"the split": split})
    change(split)
    assert shared.changes() == [f"the split's {said}"]
