"""LT-Soups (Aminbeidokhti et al. 2025, arXiv 2511.10683): towers of many imbalance ratios, merged.

For k = 0, 1, 2, … the whole image tower is fine-tuned from its pre-trained weights on a subset of
imbalance ratio 2^k, which has at most 2^k times the images of the rarest class of every class, and
this twice, with the same images in another order. The two are averaged, and the result goes into a
running interpolation that starts at the pre-trained weights: soup = 0.3 * soup + 0.7 * new, tower
and head alike. In the end the head alone is trained on all images, from the head of the soup.

Values are those of the authors' code (github.com/Masseeh/LT-Soups, 6c028fd, scripts/run_lt_soups.sh
for CIFAR-100-LT of ratio 100): 7 ratios up to 64, AdamW, cosine with warm-up down to a tenth,
moving averages of the weights. A loss of logit adjustment by the counts of the subset becomes plain
cross-entropy at ratio 1. What differs: their subset of ratio 2^k is drawn by a seed of its own for
each k, ours also by the run's seed; they take the best of five states on validation images, we the
last one unless `--select val` is given; trainings have whole epochs, where theirs end after 100
steps; ratios beyond the data set's own are left out, where theirs would train on all images again.
Their head may be the average over the steps or the best single state; ours is the average. They
evaluate with `--transform lift`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from benchmarks.augment import Augmentation
from benchmarks.plugins.ranges import Count, NonNegative, Range, Share
from methods.base import Batch, Method, Predictor, Task, TextSource
from methods.parts.image.finetune import text_head, unfrozen
from methods.parts.image.vit import AdaptedClassifier
from methods.parts.losses.single_label.la import LogitAdjusted
from methods.parts.merging import copied, interpolated
from methods.parts.training.loop import Schedule, Stage, train
from methods.parts.training.subsets import limited, restricted
from methods.registry import register
from methods.space import Distribution, LogUniform


@register("lt_soups", paper="Aminbeidokhti et al. 2025, arXiv 2511.10683", needs="images")
@dataclass(frozen=True)
class LTSoups(Method):
    """Towers fine-tuned on subsets of imbalance ratio 1, 2, 4, …, merged; then the head alone."""

    ratios: Annotated[int, Range(1, 30)] = 7
    """Subsets of ratio 2^0 to 2^(ratios - 1), without those above the data set's own ratio."""
    branches: Annotated[int, Count] = 2
    """Trainings on each subset."""
    merge: Annotated[float, Share] = 0.7
    """Share of each ratio's tower and head when it is merged into those before it."""
    lr: Annotated[float, NonNegative] = 3e-5
    """Peak of AdamW's learning rate, for towers and for the head."""
    epochs: Annotated[int, Count] = 10
    """Epochs of every training, on its own subset."""
    steps: Annotated[int, NonNegative] = 100
    """A training on a small subset goes on for whole epochs until it has had as many steps."""
    batch_size: Annotated[int, Count] = 128
    weight_decay: Annotated[float, NonNegative] = 0.01
    ema: Annotated[float, Range(0, 1)] = 0.99
    """Decay of the average of the weights over the steps; 0 takes the last weights."""
    text: TextSource = "names"
    """Texts that initialise the head (with the first template only)."""
    augment: Augmentation = "crop_flip"

    space: ClassVar[Mapping[str, Distribution]] = {"lr": LogUniform(3e-6, 1e-3)}
    quick: ClassVar[Mapping[str, Any]] = {"ratios": 2, "steps": 0}

    def fit(self, task: Task) -> Predictor:
        tasks = [
            part
            for k in range(self._ratios(task))
            for part in [self._subset(task, k)] * self.branches
        ]
        schedules = [self._schedule(part) for part in [*tasks, task]]
        epochs = [schedule.epochs for schedule in schedules]
        places = [
            Stage(i, sum(epochs[:i]), sum(epochs[i + 1 :]), alone=True) for i in range(len(epochs))
        ]
        pot = Pot(AdaptedClassifier(unfrozen(task), text_head(task, self.text))).to(task.device)
        costs = []
        for part, schedule, place in zip(tasks, schedules, places, strict=False):
            pot.restart()
            costs.append(_trained(part, pot, schedule, place))
            branch = place.index % self.branches
            pot.add(1 / (branch + 1))
            if branch + 1 == self.branches:
                pot.stir(self.merge)
        task.note(f"{len(tasks)} fine-tunings of the tower are merged, and the head trained again")
        pot.serve()
        costs.append(_trained(task, pot, schedules[-1], places[-1]))
        return dataclasses.replace(
            costs[-1],
            logits=pot.classifier.eval(),
            trainable_params=costs[0].trainable_params,
            epochs=sum(epochs),
            images_seen=sum(cost.images_seen for cost in costs),
        )

    def _ratios(self, task: Task) -> int:
        """Number of ratios 2^k that the data set itself reaches."""
        present = task.counts[task.counts > 0]
        return min(self.ratios, 1 + int(math.log2(float(present.max() / present.min()))))

    def _subset(self, task: Task, k: int) -> Task:
        rarest = int(task.counts[task.counts > 0].min())
        return restricted(task, limited(task, rarest << k, "soup", k))

    def _schedule(self, task: Task) -> Schedule:
        steps = -(-len(task.train) // self.batch_size)  # of an epoch
        epochs = max(self.epochs, -(-self.steps // steps))
        rise = min(max(20, epochs * steps // 100), epochs * steps // 5)
        return Schedule(
            epochs, self.batch_size, self.lr,
            weight_decay=self.weight_decay, augment=self.augment, optimiser="adamw",
            anneal="step", warmup=rise, floor=0.1 * self.lr, ema=self.ema,
        )  # fmt: skip


def _trained(task: Task, pot: Pot, schedule: Schedule, place: Stage) -> Predictor:
    return train(task, pot, LogitAdjusted(task.log_prior, 1.0), schedule, "images", place)


class Pot(nn.Module):
    """A classifier, the soup so far, and the mean of the present ratio's trainings.

    All are in the state, so that an interrupted run needs that of the last training alone.

    Args:
        classifier: with the weights that every training starts from.
    """

    def __init__(self, classifier: AdaptedClassifier) -> None:
        super().__init__()
        self.classifier = classifier
        self._start = copied(classifier.state_dict())
        self.soup, self.mean = (nn.ParameterList(self._frozen()) for _ in range(2))

    def _frozen(self) -> list[nn.Parameter]:
        return [nn.Parameter(v.clone(), requires_grad=False) for v in self._start.values()]

    def forward(self, batch: Batch) -> Tensor:
        """B images -> (B, C)."""
        logits: Tensor = self.classifier(batch)
        return logits

    def restart(self) -> None:
        """Give the classifier the weights that every training starts from."""
        self.classifier.load_state_dict(self._start)

    def add(self, share: float) -> None:
        """Merge the classifier's weights into the mean of this ratio."""
        self._merge(self.mean, self.classifier.state_dict(), share)

    def stir(self, share: float) -> None:
        """Merge the mean of this ratio into the soup."""
        self._merge(self.soup, self._named(self.mean), share)

    def serve(self) -> None:
        """Give the classifier the weights of the soup, and train its head alone from now on."""
        self.classifier.load_state_dict(self._named(self.soup))
        self.classifier.tower.requires_grad_(False)

    def _named(self, values: nn.ParameterList) -> dict[str, Tensor]:
        return dict(zip(self._start, values, strict=True))

    @torch.no_grad()
    def _merge(self, into: nn.ParameterList, state: Mapping[str, Tensor], share: float) -> None:
        merged = interpolated(self._named(into), state, share)
        for place, name in zip(into, self._start, strict=True):
            place.copy_(merged[name])
