"""The protocol of a loss: what the training loop may call and ask."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor, nn

from methods.base import Batch

LossFunction = Callable[[Tensor, Tensor, Batch], Tensor]
"""(logits (B, C), labels (B,) or (B, C), batch) -> (B,) losses, one per sample.

A plain function will do where the losses of a batch do not depend on each other and nothing changes
during training. Otherwise derive from `Loss`.
"""


class Loss(nn.Module):
    """Base class of losses that are modules.

    Every subclass sets `coupled`, or inherits it from another loss. It has no default on purpose: a
    coupled loss with a misspelt `coupled` would train on micro-batches, each with the wrong
    gradient, and report nothing. A missing `coupled` fails when the class is defined.
    """

    coupled: ClassVar[bool]
    """True if a sample's loss depends on the other samples of its batch. The loop then computes it
    on the logits of the whole batch, even where gradients are accumulated from micro-batches."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not isinstance(getattr(cls, "coupled", None), bool):
            raise TypeError(f"{cls.__name__}: a Loss must set `coupled` to True or False.")
        for name in set(vars(cls)) - {"at_epoch"}:
            if difflib.get_close_matches(name, ["at_epoch"], cutoff=0.7):
                raise TypeError(f"{cls.__name__}.{name} is never called: did you mean at_epoch?")

    def at_epoch(self, epoch: int, epochs: int) -> None:
        """Adapt the loss as epoch `epoch` of `epochs` begins, counted from 0."""

    def forward(self, logits: Tensor, labels: Tensor, batch: Batch) -> Tensor:
        """(B, C) logits, (B,) or (B, C) labels -> (B,) losses."""
        raise NotImplementedError


def is_coupled(loss: LossFunction) -> bool:
    """True if a sample's loss depends on the other samples of its batch."""
    return isinstance(loss, Loss) and loss.coupled


def refuse_undeclared(loss: LossFunction) -> None:
    """Refuse a loss that follows the protocol of `Loss` without deriving from it.

    Raises:
        TypeError: the loop would ignore its `coupled` or `at_epoch`.
    """
    if isinstance(loss, Loss):
        return
    if isinstance(loss, nn.Module) or hasattr(loss, "coupled") or hasattr(loss, "at_epoch"):
        name = type(loss).__name__
        raise TypeError(f"{name}: derive it from methods.parts.losses.base.Loss.")
