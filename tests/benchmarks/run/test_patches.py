"""Names in modules and classes that are found and put back."""

from __future__ import annotations

import copyreg
import sys
from collections.abc import Callable
from types import FunctionType, ModuleType

import pytest
import torch

from benchmarks import head_tail
from benchmarks.run.patches import Patches


def test_a_copied_object_is_no_change_of_its_class() -> None:
    """Python keeps the names of a class's slots in the class when an object is first copied."""
    if "__slotnames__" in vars(torch.nn.Linear):
        del torch.nn.Linear.__slotnames__
    patches = Patches()
    copyreg._slotnames(torch.nn.Linear)  # type: ignore[attr-defined]
    assert "__slotnames__" in vars(torch.nn.Linear)
    assert patches.restore() == []
    torch.nn.Linear.mine = 1
    assert patches.restore() == ["torch.nn.Linear.mine was replaced, is put back"]
    assert not hasattr(torch.nn.Linear, "mine")


def test_names_are_taken_anew_once_anything_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    before = Patches.now()
    assert Patches.now() is before
    function = next(f for f in vars(head_tail).values() if type(f) is FunctionType)
    changes: list[Callable[[pytest.MonkeyPatch], None]] = [
        lambda patch: patch.setattr(torch.nn.Linear, "mine", 1, raising=False),
        lambda patch: patch.setattr(torch.nn.Linear, "forward", print),
        lambda patch: patch.setattr(function, "__code__", (lambda: 1).__code__),
        lambda patch: patch.setitem(sys.modules, "of_mine", ModuleType("of_mine")),
    ]
    for change in changes:
        with monkeypatch.context() as patch:
            change(patch)
            now = Patches.now()
            assert now is not before
            assert now.restore() == []  # what was changed before counts as it is
        before = Patches.now()
