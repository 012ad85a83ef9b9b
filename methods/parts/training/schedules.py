"""Specification of a training: module, loss, schedule, and its place among other trainings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from methods.base import Batch, Task
from methods.parts.losses.base import LossFunction, refuse_undeclared


@dataclass(frozen=True)
class Schedule:
    """Optimiser settings: SGD, cosine, no warm-up, as LIFT and most prompt tuners."""

    epochs: int
    batch_size: int
    lr: float
    momentum: float = 0.9
    weight_decay: float = 5e-4
    augment: str = "none"
    """See `benchmarks.augment`; it may change over the epochs of this schedule."""
    optimiser: Literal["sgd", "nesterov", "adam", "adamw"] = "sgd"
    """nesterov: SGD with Nesterov's momentum; adam: its decay is part of the gradient, as SGD's."""
    eps: float = 1e-8
    """Added to the root of Adam's and AdamW's second moment."""
    anneal: Literal["epoch", "step"] = "epoch"
    """Steps of the cosine: the learning rate falls before each epoch (LIFT, CoOp) or each step
    (Tip-Adapter)."""
    floor: float = 0.0
    """Learning rate at the end of the cosine."""
    warmup: int = 0
    """Steps in which the learning rate rises along a line before the cosine, with anneal=step."""
    ema: float = 0.0
    """Decay of a moving average of the parameters over the steps, which takes their place in
    validation and at the end; 0 for none."""
    sampler: Literal["natural", "balanced"] = "natural"
    """balanced: every class equally often, as many samples per epoch (Kang et al. 2020, p = 0)."""
    micro_batch: int = 128
    """Samples per forward pass; a larger batch is accumulated, with the same result. Halved when
    memory runs out."""


@dataclass(frozen=True)
class Stage:
    """Position of a training among several that follow each other in one `fit`."""

    index: int = 0
    epochs_before: int = 0
    """Epochs of the earlier stages."""
    epochs_after: int = 0
    """Epochs of the later stages."""
    alone: bool = False
    """True if the module holds all that the stages before left behind: their states are dropped,
    and a run that resumes later finds modules of these stages as they started."""


ONLY = Stage()


@dataclass(frozen=True, eq=False)
class Training:
    """Train `module` on a task's training samples, minimising the mean of `loss` over the batch.

    Raises:
        ValueError: no epochs or empty batches.
        TypeError: the loss declares `coupled` or `at_epoch` without being a `Loss`.
    """

    task: Task
    module: nn.Module
    """`module(batch) -> (B, C)` logits. The frozen backbone is not among its parameters."""
    loss: LossFunction
    schedule: Schedule
    needs: str = "features"
    stage: Stage = ONLY
    uncalibrated: Callable[[Batch], Tensor] | None = None
    """The module's logits without their calibration, see `Predictor.uncalibrated`."""

    def __post_init__(self) -> None:
        if self.schedule.epochs < 1 or self.schedule.batch_size < 1:
            raise ValueError(
                "epochs and batch_size must be 1 or more, got "
                f"{self.schedule.epochs}, {self.schedule.batch_size}."
            )
        refuse_undeclared(self.loss)
