"""Names in modules and classes that are found and put back."""

from __future__ import annotations

import copyreg

import torch

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
