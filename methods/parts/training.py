"""The one training loop: optimiser, schedule, random state, accumulation, validation, checkpoints.

A method hands over a module that maps a batch to logits and a loss; only parameters that require a
gradient are trained. The state after each epoch goes to the task's checkpoint, and because order,
augmentation and torch's own random state are functions of (seed, stage, epoch), a run that was
interrupted and resumed ends at the same numbers as one that was not. A method that trains several
modules one after another calls `train` once for each, with a `Stage`.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks import randomness
from benchmarks.metrics import average_precisions
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
    optimiser: Literal["sgd", "adamw"] = "sgd"
    eps: float = 1e-8
    """Added to the root of AdamW's second moment."""
    sampler: Literal["natural", "balanced"] = "natural"
    """balanced: every class equally often, as many samples an epoch (Kang et al. 2020, p = 0)."""
    micro_batch: int = 128
    """Samples a forward pass; a batch larger than this is accumulated, with the same result."""


Loss = Callable[[Tensor, Tensor, Batch], Tensor]
"""(logits (B, C), labels (B,) or (B, C), batch) -> (B,) losses, one a sample.

A loss that changes during training has a method `at_epoch(epoch, epochs)`, called as each begins.
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


def train(
    task: Task,
    module: nn.Module,
    loss: Loss,
    recipe: Recipe,
    needs: str,
    stage: Stage = ONLY,
) -> Predictor:
    """Train `module` on the task's training samples and return it as a predictor.

    Args:
        task: what to train on.
        module: `module(batch) -> (B, C)` logits. The frozen backbone is not among its parameters.
        loss: one value a sample; the mean over the batch is minimised.
        recipe: see `Recipe`.
        needs: "features" or "images".
        stage: which of several trainings this is. A stage that was finished before an interruption
            is not trained again; its cost is not in the predictor of the next.

    Raises:
        ValueError: the loss became NaN or infinite.
    """
    if recipe.epochs < 1 or recipe.batch_size < 1:
        raise ValueError(
            f"epochs and batch_size must be 1 or more, got {recipe.epochs}, {recipe.batch_size}."
        )
    module.to(task.device)
    parameters = [p for p in module.parameters() if p.requires_grad]
    run = _Run(task, module, loss, recipe, needs, stage, _optimiser(parameters, recipe))
    saved = task.checkpoint.load() or {"stage": 0, "finished": []}
    best: tuple[float, dict[str, Tensor]] | None = None
    start = 0
    if saved["stage"] > stage.index:  # finished before an interruption
        module.load_state_dict(saved["finished"][stage.index])
        start = recipe.epochs
    elif saved["stage"] == stage.index and "module" in saved:
        module.load_state_dict(saved["module"])
        run.optimiser.load_state_dict(saved["optimiser"])
        start, best = saved["epoch"], saved["best"]

    for epoch in range(start, recipe.epochs):
        run.epoch(epoch)
        if task.validation is not None:
            score = validation_score(task, module, needs, recipe.micro_batch)
            if best is None or score > best[0]:
                best = (score, copy.deepcopy(module.state_dict()))
        if epoch + 1 < recipe.epochs:
            task.checkpoint.save(
                {
                    "stage": stage.index,
                    "finished": saved["finished"],
                    "module": module.state_dict(),
                    "optimiser": run.optimiser.state_dict(),
                    "epoch": epoch + 1,
                    "best": best,
                }
            )
    if best is not None:
        module.load_state_dict(best[1])
    if stage.epochs_after and start < recipe.epochs:
        finished = [*saved["finished"], copy.deepcopy(module.state_dict())]
        task.checkpoint.save({"stage": stage.index + 1, "finished": finished})
    module.eval()
    return Predictor(
        logits=module,
        trainable_params=sum(p.numel() for p in parameters),
        epochs=recipe.epochs,
        images_seen=recipe.epochs * len(task.train),
    )


def _optimiser(parameters: list[nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    decay = recipe.weight_decay
    if recipe.optimiser == "adamw":
        return torch.optim.AdamW(parameters, lr=recipe.lr, weight_decay=decay, eps=recipe.eps)
    return torch.optim.SGD(parameters, lr=recipe.lr, momentum=recipe.momentum, weight_decay=decay)


@dataclass
class _Run:
    """What an epoch of training needs."""

    task: Task
    module: nn.Module
    loss: Loss
    recipe: Recipe
    needs: str
    stage: Stage
    optimiser: torch.optim.Optimizer

    def epoch(self, epoch: int) -> None:
        """Train for one epoch."""
        task, recipe = self.task, self.recipe
        for group in self.optimiser.param_groups:  # cosine over epochs, as LIFT's scheduler steps
            group["lr"] = recipe.lr * 0.5 * (1 + math.cos(math.pi * epoch / recipe.epochs))
        if hasattr(self.loss, "at_epoch"):
            self.loss.at_epoch(epoch, recipe.epochs)
        before = self.stage.epochs_before
        epochs = before + recipe.epochs + self.stage.epochs_after
        order = _order(task, recipe.sampler, before + epoch)
        steps = math.ceil(len(order) / recipe.batch_size)
        total = torch.zeros((), device=task.device)
        self.module.train()
        with randomness.seeded(task.seed, "epoch", before + epoch, device=task.device):
            for step in range(steps):
                index = order[step * recipe.batch_size : (step + 1) * recipe.batch_size]
                self.optimiser.zero_grad(set_to_none=True)
                for low in range(0, len(index), recipe.micro_batch):
                    part = index[low : low + recipe.micro_batch]
                    total += self._backward(part, len(index), before + epoch)
                self.optimiser.step()
                task.progress(before + epoch, epochs, step + 1, steps)
        # Looked at once an epoch: a check at every step would make the host wait for the device.
        if not math.isfinite(float(total)):
            raise ValueError(
                f"the training loss became {float(total)} in epoch {epoch + 1}; "
                "lower the learning rate"
            )

    def _backward(self, part: NDArray[np.int64], batch_size: int, epoch: int) -> Tensor:
        """Add the gradient of a part of a batch; its share of the batch's mean loss."""
        task, augment = self.task, self.recipe.augment
        batch = task.train.batch(part, needs=self.needs, augment=augment, stream=(task.seed, epoch))
        labels = task.train.labels[torch.from_numpy(part).to(task.device)]
        with task.backbone.precision_for(self.needs):
            logits = self.module(batch)
        losses = self.loss(logits.float(), labels, batch)
        if losses.shape != (len(part),):
            raise ValueError(
                f"the loss must give one value a sample, ({len(part)},), "
                f"not {tuple(losses.shape)}: use reduction='none'"
            )
        value = losses.sum() / batch_size
        value.backward()
        return value.detach()


def _order(task: Task, sampler: str, epoch: int) -> NDArray[np.int64]:
    """The samples of an epoch in their order."""
    if sampler == "natural":
        return task.epoch_order(epoch)
    if task.kind != "single":
        raise ValueError("the balanced sampler is for single-label data")
    # Every class sends its samples, in an order of its own, round after round. Keyed by sample, so
    # that neither the order of the classes nor other classes matter.
    labels = task.train.labels.cpu().numpy()
    natural = task.epoch_order(epoch)
    present = np.unique(labels)
    each = math.ceil(len(labels) / len(present))
    drawn = np.concatenate([np.resize(natural[labels[natural] == c], each) for c in present])
    rounds = np.tile(np.arange(each, dtype=np.uint64), len(present))
    keys = task.train.keys[drawn] ^ randomness.sample_keys(tuple(map(str, range(each))))[rounds]
    order: NDArray[np.int64] = drawn[randomness.shuffled(keys, task.seed, "balanced", epoch)]
    return order[: len(labels)]


@torch.no_grad()
def validation_score(task: Task, module: nn.Module, needs: str, batch_size: int) -> float:
    """What `--select val` selects by, in [0, 1]: balanced accuracy, or mAP for multi-label."""
    if task.kind == "single":
        return balanced_accuracy(task, module, needs, batch_size)
    assert task.validation is not None
    module.eval()
    scores = []
    for batch, _ in task.batches(task.validation, needs, batch_size):
        with task.backbone.precision_for(needs):
            scores.append(module(batch).float().cpu().numpy())
    precisions = average_precisions(np.concatenate(scores), task.validation.labels.cpu().numpy())
    return float(np.nanmean(precisions))


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
