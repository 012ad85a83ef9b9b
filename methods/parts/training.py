"""The one training loop: optimiser, schedule, random state, accumulation, validation, checkpoints.

A method hands over a module that maps a batch to logits and a loss; only parameters that require a
gradient are trained. The state after each epoch goes to the task's checkpoint, and because order,
augmentation and torch's own random state are functions of (seed, epoch), a run that was interrupted
and resumed ends at the same numbers as one that was not.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmarks import randomness
from methods.base import Batch, Predictor, Task


@dataclass(frozen=True)
class Recipe:
    """How to train: SGD, cosine over epochs, no warm-up, as LIFT and most prompt tuners do."""

    epochs: int
    batch_size: int
    lr: float
    momentum: float = 0.9
    weight_decay: float = 5e-4
    augment: str = "none"
    micro_batch: int = 128
    """Samples a forward pass; a batch larger than this is accumulated, with the same result."""


Loss = Callable[[Tensor, Tensor, Batch], Tensor]
"""(logits (B, C), labels (B,) or (B, C), batch) -> (B,) losses, one a sample."""


def train(task: Task, module: nn.Module, loss: Loss, recipe: Recipe, needs: str) -> Predictor:
    """Train `module` on the task's training samples and return it as a predictor.

    Args:
        task: what to train on.
        module: `module(batch) -> (B, C)` logits. The frozen backbone is not among its parameters.
        loss: one value a sample; the mean over the batch is minimised.
        recipe: see `Recipe`.
        needs: "features" or "images".

    Raises:
        ValueError: the loss became NaN or infinite.
    """
    if recipe.epochs < 1 or recipe.batch_size < 1:
        raise ValueError(
            f"epochs and batch_size must be 1 or more, got {recipe.epochs}, {recipe.batch_size}."
        )
    module.to(task.device)
    parameters = [p for p in module.parameters() if p.requires_grad]
    optimiser = torch.optim.SGD(
        parameters, lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay
    )
    steps = math.ceil(len(task.train) / recipe.batch_size)
    best: tuple[float, dict[str, Tensor]] | None = None
    start = 0
    if (state := task.checkpoint.load()) is not None:
        module.load_state_dict(state["module"])
        optimiser.load_state_dict(state["optimiser"])
        start, best = state["epoch"], state["best"]

    for epoch in range(start, recipe.epochs):
        for group in optimiser.param_groups:  # cosine over epochs, as LIFT's scheduler steps
            group["lr"] = recipe.lr * 0.5 * (1 + math.cos(math.pi * epoch / recipe.epochs))
        _train_epoch(task, module, loss, recipe, needs, optimiser, epoch, steps)
        if task.validation is not None:
            score = balanced_accuracy(task, module, needs, recipe.micro_batch)
            if best is None or score > best[0]:
                best = (score, copy.deepcopy(module.state_dict()))
        if epoch + 1 < recipe.epochs:
            task.checkpoint.save(
                {
                    "module": module.state_dict(),
                    "optimiser": optimiser.state_dict(),
                    "epoch": epoch + 1,
                    "best": best,
                }
            )
    if best is not None:
        module.load_state_dict(best[1])
    module.eval()
    return Predictor(
        logits=module,
        trainable_params=sum(p.numel() for p in parameters),
        epochs=recipe.epochs,
        images_seen=recipe.epochs * len(task.train),
    )


def _train_epoch(
    task: Task,
    module: nn.Module,
    loss: Loss,
    recipe: Recipe,
    needs: str,
    optimiser: torch.optim.Optimizer,
    epoch: int,
    steps: int,
) -> None:
    order = task.epoch_order(epoch)
    module.train()
    total = torch.zeros((), device=task.device)
    with randomness.seeded(task.seed, "epoch", epoch, device=task.device):
        for step in range(steps):
            index = order[step * recipe.batch_size : (step + 1) * recipe.batch_size]
            optimiser.zero_grad(set_to_none=True)
            for low in range(0, len(index), recipe.micro_batch):
                part = index[low : low + recipe.micro_batch]
                batch = task.train.batch(
                    part, needs=needs, augment=recipe.augment, stream=(task.seed, epoch)
                )
                labels = task.train.labels[torch.from_numpy(part).to(task.device)]
                with task.backbone.precision_for(needs):
                    logits = module(batch)
                losses = loss(logits.float(), labels, batch)
                if losses.shape != (len(part),):
                    raise ValueError(
                        f"the loss must give one value a sample, ({len(part)},), "
                        f"not {tuple(losses.shape)}: use reduction='none'"
                    )
                value = losses.sum() / len(index)
                value.backward()
                total += value.detach()
            optimiser.step()
            task.progress(epoch, recipe.epochs, step + 1, steps)
    # Looked at once an epoch: a check at every step would make the host wait for the device.
    if not math.isfinite(float(total)):
        raise ValueError(
            f"the training loss became {float(total)} in epoch {epoch + 1}; lower the learning rate"
        )


@torch.no_grad()
def balanced_accuracy(task: Task, module: nn.Module, needs: str, batch_size: int) -> float:
    """Mean over the validation classes of their accuracy, in [0, 1]."""
    assert task.validation is not None
    module.eval()
    hits = torch.zeros(task.num_classes, dtype=torch.float64)
    seen = torch.zeros(task.num_classes, dtype=torch.float64)
    for batch, labels in task.batches(task.validation, needs, batch_size):
        with task.backbone.precision_for(needs):
            right = module(batch).argmax(1) == labels
        hits.index_add_(0, labels.cpu(), right.cpu().double())
        seen.index_add_(0, labels.cpu(), torch.ones(len(labels), dtype=torch.float64))
    there = seen > 0
    return float((hits[there] / seen[there]).mean())
