"""What a training is: module, loss and recipe, and its place among others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from methods.base import Batch, Task


@dataclass(frozen=True)
class Recipe:
    """How to train: SGD, cosine over epochs, no warm-up, as LIFT and most prompt tuners do."""

    epochs: int
    batch_size: int
    lr: float
    momentum: float = 0.9
    weight_decay: float = 5e-4
    augment: str = "none"
    optimiser: Literal["sgd", "adamw"] = "sgd"
    eps: float = 1e-8
    """Added to the root of AdamW's second moment."""
    sampler: Literal["natural", "balanced"] = "natural"
    """balanced: every class equally often, as many samples an epoch (Kang et al. 2020, p = 0)."""
    micro_batch: int = 128
    """Samples a forward pass; a batch larger than this is accumulated, with the same result.
    Halved where memory does not suffice."""


Loss = Callable[[Tensor, Tensor, Batch], Tensor]
"""(logits (B, C), labels (B,) or (B, C), batch) -> (B,) losses, one a sample.

A loss that changes during training has a method `at_epoch(epoch, epochs)`, called as each begins.
One whose values depend on the other samples of the batch has `coupled = True`: where a batch is
accumulated, it still sees all of its logits. What a loss holds that differs between seeds or
grid points has to be a buffer of an `nn.Module` for them to be trained together.
"""


@dataclass(frozen=True)
class Stage:
    """One of several trainings that follow each other in one `fit`."""

    index: int = 0
    epochs_before: int = 0
    """Epochs of the earlier stages."""
    epochs_after: int = 0
    """Epochs of the later ones."""


ONLY = Stage()


@dataclass(frozen=True, eq=False)
class Training:
    """Train `module` on a task's training samples, minimising the mean of `loss` over the batch.

    Raises:
        ValueError: no epochs or empty batches.
    """

    task: Task
    module: nn.Module
    """`module(batch) -> (B, C)` logits. The frozen backbone is not among its parameters."""
    loss: Loss
    recipe: Recipe
    needs: str = "features"
    stage: Stage = ONLY
    alone: bool = False
    """Never stacked with others: `torch.func.vmap` cannot go through the module or the loss."""

    def __post_init__(self) -> None:
        if self.recipe.epochs < 1 or self.recipe.batch_size < 1:
            raise ValueError(
                "epochs and batch_size must be 1 or more, got "
                f"{self.recipe.epochs}, {self.recipe.batch_size}."
            )
