"""One training on its way through the loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from methods.base import Predictor
from methods.parts.training.schedules import Training
from methods.parts.training.scoring import validation_score


def cloned(state: dict[str, Any]) -> dict[str, Any]:
    """A state that what comes later does not change."""
    return {k: v.clone() if isinstance(v, Tensor) else v for k, v in state.items()}


class Member:
    """A training on its way: where it starts, how well it does, and how it ends."""

    def __init__(self, asked: Training) -> None:
        self.asked = asked
        self.module = asked.module.to(asked.task.device)
        self.parameters = [p for p in self.module.parameters() if p.requires_grad]
        self.optimiser_state: list[dict[str, Any]] = []
        """What to start with, one entry a parameter; empty at the beginning."""
        self.start = 0
        """The first epoch to train."""
        self.error: Exception | None = None
        self.together = 1
        """How many were trained with it, itself included."""
        self.micro_batch: tuple[int, int] | None = None
        """Samples a forward pass as planned and as memory allowed, where these differ."""
        self._best: tuple[float, dict[str, Tensor]] | None = None
        stage, epochs = asked.stage, asked.recipe.epochs
        saved = asked.task.checkpoint.load() or {"stage": 0, "finished": []}
        self._finished: list[dict[str, Tensor]] = saved["finished"]
        if saved["stage"] > stage.index:  # finished before an interruption
            self.module.load_state_dict(self._finished[stage.index])
            self.start = epochs
        elif saved["stage"] == stage.index and "module" in saved:
            self.module.load_state_dict(saved["module"])
            self.optimiser_state = saved["optimiser"]
            self.start, self._best = saved["epoch"], saved["best"]

    def epoch_over(self, epoch: int, optimiser_state: Callable[[], list[dict[str, Any]]]) -> None:
        """Look at the validation images and keep the state, all but after the last epoch."""
        task, recipe = self.asked.task, self.asked.recipe
        if task.validation is not None:
            score = validation_score(task, self.module, self.asked.needs, recipe.micro_batch)
            if self._best is None or score > self._best[0]:
                self._best = (score, cloned(self.module.state_dict()))
        if epoch + 1 < recipe.epochs:
            task.checkpoint.save(
                {
                    "stage": self.asked.stage.index,
                    "finished": self._finished,
                    "module": self._own(self.module.state_dict()),
                    "optimiser": [self._own(state) for state in optimiser_state()],
                    "epoch": epoch + 1,
                    "best": self._best,
                }
            )

    def _own(self, state: dict[str, Any]) -> dict[str, Any]:
        """A state in memory of its own: stacked parameters are parts of larger tensors."""
        return state if self.together == 1 else cloned(state)

    def ended(self) -> None:
        """Take the best state, and let the checkpoint know that this training is over."""
        if self.micro_batch is not None:
            planned, used = self.micro_batch
            self.asked.task.note(f"out of memory at {planned}: micro-batch {used}")
        for parameter in self.parameters:
            parameter.grad = None
            parameter.data = self._own({"": parameter.data})[""]
        if self._best is not None:
            self.module.load_state_dict(self._best[1])
        self.module.eval()
        stage, checkpoint = self.asked.stage, self.asked.task.checkpoint
        state = self.module.state_dict()
        if stage.epochs_after:  # what comes next may go on changing it
            state = cloned(state)
        checkpoint.trained(stage.index, state)
        if stage.epochs_after and self.start < self.asked.recipe.epochs:
            checkpoint.save({"stage": stage.index + 1, "finished": [*self._finished, state]})

    def predictor(self) -> Predictor:
        """The trained module with its cost.

        Raises:
            Exception: what this training ended with.
        """
        if self.error is not None:
            raise self.error
        return Predictor(
            logits=self.module,
            trainable_params=sum(p.numel() for p in self.parameters),
            epochs=self.asked.recipe.epochs,
            images_seen=self.asked.recipe.epochs * len(self.asked.task.train),
            together=self.together,
        )
