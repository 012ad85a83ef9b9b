"""Methods that ask for their trainings, so that those of several seeds or grid points are one.

    class MyMethod(Learner):
        def learn(self, task: Task) -> Learning:
            module, loss = …
            predictor = yield Training(task, module, loss, recipe)
            return predictor                          # or more of the like before

`fit` and `fit_many` come from that. Trainings are stacked where their modules and losses have the
same structure: the same types, shapes and plain constants, tensors among the buffers. What differs
between grid points, a temperature for example, has to be a buffer; otherwise they are trained one
after another. See `parts/stacking.py`.
"""

from __future__ import annotations

import gc
from abc import abstractmethod
from collections.abc import Generator, Sequence

from benchmarks import memory, randomness
from methods.base import FitResult, Method, Predictor, Task
from methods.parts.training.loop import run
from methods.parts.training.members import Member
from methods.parts.training.problems import Alone
from methods.parts.training.schedules import Training
from methods.parts.training.stacking import Stacked, lots

Learning = Generator[Training, Predictor, Predictor]
"""Yields what is to be trained, is sent it as a predictor, returns the predictor of the method."""


class Learner(Method):
    """A method on frozen features that leaves its trainings to the shared loop."""

    @abstractmethod
    def learn(self, task: Task) -> Learning:
        """Learn from `task`, as `fit` says, asking for trainings on the way."""

    def fit(self, task: Task) -> Predictor:
        (found,) = together([(self, task)])
        if isinstance(found, Exception):
            raise found
        return found

    def fit_many(self, tasks: Sequence[Task]) -> list[FitResult]:
        return together([(self, task) for task in tasks])


def together(pairs: Sequence[tuple[Learner, Task]]) -> list[FitResult]:
    """Fit several methods, each on its task, in lock-step; alike trainings as one problem.

    Those that memory does not suffice for together are fitted once more, one by one.

    Returns:
        For each pair a predictor, or what its fit ended with: that of one does not stop the others.
    """
    found, short = _in_lock_step(pairs)
    for number in short:  # let go of what the error, the same for all, holds by its traceback
        found[number] = memory.OutOfMemory()
    if short:
        gc.collect()
    for number in short:
        method, task = pairs[number]
        memory.release(task.device)
        task.note("out of memory with others at a time: fitted alone")
        ((found[number],), _) = _in_lock_step([(method, task)])
    return found


def _in_lock_step(pairs: Sequence[tuple[Learner, Task]]) -> tuple[list[FitResult], list[int]]:
    """What became of each, and which of them memory did not suffice for in company."""
    found: dict[int, FitResult] = {}
    short: list[int] = []
    learnings: dict[int, Learning] = {}
    answers: dict[int, Predictor | None] = dict.fromkeys(range(len(pairs)))
    while answers:
        asked: dict[int, Member] = {}
        for number, answer in answers.items():
            method, task = pairs[number]
            try:
                # Seeded for each, so that what is drawn does not depend on the company.
                with randomness.seeded("fit", task.seed, device=task.device):
                    if answer is None:
                        learnings[number] = method.learn(task)
                        asked[number] = Member(next(learnings[number]))
                    else:
                        asked[number] = Member(learnings[number].send(answer))
            except StopIteration as end:
                found[number] = end.value
            except Exception as error:
                found[number] = error
        for lot in lots(list(asked.values())):
            try:
                run(lot, Stacked(lot) if len(lot) > 1 else Alone(lot[0]))
            except Exception as error:
                for member in lot:
                    member.error = member.error or error
        answers = {}
        for number, member in asked.items():
            try:
                answers[number] = member.predictor()
            except Exception as error:
                found[number] = error
                if member.together > 1 and memory.is_out_of_memory(error):
                    short.append(number)
    return [found[number] for number in range(len(pairs))], short
