"""The protocol of modules that say how several of their kind are trained as one batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn

from methods.base import Batch


class Stackable(nn.Module):
    """A module with hints for `stacking.Stacked`; any other module runs under `torch.func.vmap`."""

    broadcasts: ClassVar[bool] = False
    """True if `forward` also accepts tensors with a leading axis of members, (S, …), so that it can
    be called without vmap."""
    of_the_data: ClassVar[frozenset[str]] = frozenset()
    """Names of attributes that are equal for equal training samples and backbone. They are not
    compared when members are grouped."""


class SelfStacked(Stackable):
    """A module that computes the logits of several members itself, because vmap cannot."""

    def stacked(self, tensors: Mapping[str, Tensor], batch: Batch) -> Tensor:
        """(S, B, C) logits of S members.

        Args:
            tensors: the tensors that differ between members, stacked, by name.
            batch: (S, B) samples.
        """
        raise NotImplementedError
