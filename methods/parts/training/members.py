"""State of one training in the loop."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from torch import Tensor

from methods.base import Predictor
from methods.parts.training.averages import Average
from methods.parts.training.schedules import Training
from methods.parts.training.scoring import validation_score


def cloned(state: dict[str, Any]) -> dict[str, Any]:
    """Copy of a state, safe from later changes."""
    return {k: v.clone() if isinstance(v, Tensor) else v for k, v in state.items()}


class Member:
    """A training in the loop: first epoch, best validation state, result."""

    def __init__(self, request: Training) -> None:
        self.request = request
        self.module = request.module.to(request.task.device)
        self.parameters = [p for p in self.module.parameters() if p.requires_grad]
        self.optimiser_state: list[dict[str, Any]] = []
        """State to resume from, one entry per parameter; empty for a fresh training."""
        self.start = 0
        """The first epoch to train."""
        self.error: Exception | None = None
        self.group_size = 1
        """Number of trainings in turns, this one included."""
        self.micro_batch: tuple[int, int] | None = None
        """Samples per forward pass, planned and used, if memory forced a smaller one."""
        self._best: tuple[float, dict[str, Tensor]] | None = None
        decay = request.schedule.ema
        self._average = Average(self.parameters, decay) if decay else None
        stage, epochs = request.stage, request.schedule.epochs
        request.task.started(stage.index, self.module.state_dict())
        saved = request.task.checkpoint.load() or {"stage": 0, "finished": []}
        self._finished: list[dict[str, Tensor]] = saved["finished"]
        request.task.curves.update(saved.get("curves", {}))
        if saved["stage"] > stage.index:  # finished before an interruption
            if self._finished[stage.index]:
                self.module.load_state_dict(self._finished[stage.index])
            self.start = epochs
        elif saved["stage"] == stage.index and "module" in saved:
            self.module.load_state_dict(saved["module"])
            self.optimiser_state = saved["optimiser"]
            self.start, self._best = saved["epoch"], saved["best"]
            if self._average is not None:
                self._average.resume(saved["average"])

    def stepped(self) -> None:
        """Take in the parameters after a step."""
        if self._average is not None:
            self._average.stepped()

    def epoch_over(self, epoch: int, loss: float, optimiser_state: list[dict[str, Any]]) -> None:
        """Score the validation images and save the state, except after the last epoch.

        Args:
            epoch: the epoch that is over.
            loss: its mean loss.
            optimiser_state: one entry per parameter.
        """
        task, schedule = self.request.task, self.request.schedule
        trained = self.request.stage.epochs_before + epoch + 1
        task.log("loss", trained, loss)
        if task.validation is not None:
            with nullcontext() if self._average is None else self._average.in_place():
                micro, needs = schedule.micro_batch, self.request.needs
                score = validation_score(task, self.module, needs, micro)
                task.log("validation", trained, score)
                if self._best is None or score > self._best[0]:
                    self._best = (score, cloned(self.module.state_dict()))
        if epoch + 1 < schedule.epochs:
            average = {} if self._average is None else {"average": self._average.values}
            task.checkpoint.save(
                average
                | {
                    "stage": self.request.stage.index,
                    "finished": self._finished,
                    "module": self.module.state_dict(),
                    "optimiser": optimiser_state,
                    "epoch": epoch + 1,
                    "best": self._best,
                    "curves": task.curves,
                }
            )

    def ended(self) -> None:
        """Load the best state and tell the checkpoint that this training is over."""
        if self.micro_batch is not None:
            planned, used = self.micro_batch
            self.request.task.detail(f"out of memory at {planned}: micro-batch {used}")
        for parameter in self.parameters:
            parameter.grad = None
        if self._best is not None:
            self.module.load_state_dict(self._best[1])
        elif self._average is not None and self._average.values:  # not if resumed as finished
            self._average.put()
        self.module.eval()
        stage, task = self.request.stage, self.request.task
        state = self.module.state_dict()
        if stage.epochs_after:  # a later stage may change the module
            state = cloned(state)
        task.checkpoint.trained(stage.index, state)
        earlier: list[dict[str, Tensor]] = self._finished
        if stage.alone:
            earlier = [{} for _ in range(stage.index)]
            for index in range(stage.index):
                task.checkpoint.trained(index, {})
        if stage.epochs_after and self.start < self.request.schedule.epochs:
            finished = [*earlier, state]
            task.checkpoint.save(
                {"stage": stage.index + 1, "finished": finished, "curves": task.curves}
            )

    def predictor(self) -> Predictor:
        """The trained module with its cost.

        Raises:
            Exception: the error that ended this training.
        """
        if self.error is not None:
            raise self.error
        return Predictor(
            logits=self.module,
            trainable_params=sum(p.numel() for p in self.parameters),
            epochs=self.request.schedule.epochs,
            images_seen=self.request.schedule.epochs * len(self.request.task.train),
            fitted_together=self.group_size,
            uncalibrated=self.request.uncalibrated,
        )
