"""Methods that request their trainings, so that those of several seeds or grid points run together.

    class MyMethod(Learner):
        def learn(self, task: Task) -> Learning:
            module, loss = …
            predictor = yield Training(task, module, loss, schedule)
            return predictor                          # or yield more trainings first

`fit` and `fit_many` follow from `learn`. Trainings with equal numbers of epochs and steps run in
turns (see `training/loop.py`), so that the numbers of one do not depend on the others.
"""

from __future__ import annotations

import gc
from abc import abstractmethod
from collections.abc import Generator, Sequence

from benchmarks import memory, randomness
from methods.base import FitResult, Method, Predictor, Task
from methods.parts.training.groups import trained_together
from methods.parts.training.loop import run
from methods.parts.training.members import Member
from methods.parts.training.schedules import Training

Learning = Generator[Training, Predictor, Predictor]
"""Yields trainings, receives each as a predictor, returns the method's predictor."""


class Learner(Method):
    """A method on frozen features whose trainings all run in the shared loop."""

    @abstractmethod
    def learn(self, task: Task) -> Learning:
        """Learn from `task` as `fit` does, yielding a `Training` for each module to train."""

    def fit(self, task: Task) -> Predictor:
        (found,) = fit_learners([(self, task)])
        if isinstance(found, Exception):
            raise found
        return found

    def fit_many(self, tasks: Sequence[Task]) -> list[FitResult]:
        return fit_learners([(self, task) for task in tasks])


def fit_learners(pairs: Sequence[tuple[Learner, Task]]) -> list[FitResult]:
    """Fit several methods, each on its task, in lock-step.

    Tasks that run out of memory together are refitted one by one.

    Returns:
        For each pair its predictor or the exception that ended its fit. One failure does not stop
        the others.
    """
    found, short = _in_lock_step(pairs)
    for number in short:  # drop the traceback, which keeps the tensors of the batch alive
        found[number] = memory.OutOfMemory()
    if short:
        gc.collect()
    for number in short:
        method, task = pairs[number]
        memory.release(task.device)
        task.detail("out of memory when fitted with other cells: fitted alone")
        ((found[number],), _) = _in_lock_step([(method, task)])
    return found


def _in_lock_step(pairs: Sequence[tuple[Learner, Task]]) -> tuple[list[FitResult], list[int]]:
    """Result of each pair, and the positions of those that ran out of memory when batched."""
    found: dict[int, FitResult] = {}
    short: list[int] = []
    learnings: dict[int, Learning] = {}
    answers: dict[int, Predictor | None] = dict.fromkeys(range(len(pairs)))
    while answers:
        requested: dict[int, Member] = {}
        for number, answer in answers.items():
            method, task = pairs[number]
            try:
                # Seeded for each pair, so that its draws do not depend on the other pairs.
                with randomness.seeded("fit", task.seed, device=task.device):
                    if answer is None:
                        learnings[number] = method.learn(task)
                        requested[number] = Member(next(learnings[number]))
                    else:
                        requested[number] = Member(learnings[number].send(answer))
            except StopIteration as end:
                found[number] = end.value
            except Exception as error:
                found[number] = error
        for group in trained_together(list(requested.values())):
            try:
                run(group)
            except Exception as error:
                for member in group:
                    member.error = member.error or error
        answers = {}
        for number, member in requested.items():
            try:
                answers[number] = member.predictor()
            except Exception as error:
                found[number] = error
                if member.group_size > 1 and memory.is_out_of_memory(error):
                    short.append(number)
    return [found[number] for number in range(len(pairs))], short
