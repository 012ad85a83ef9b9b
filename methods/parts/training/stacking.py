"""Trainings of one structure as one batched problem: several seeds or grid points in one pass.

What is trained is stacked along a leading axis, S members, and `torch.func.vmap` carries module and
loss over it, so that both are written for one. vmap costs as much per step as a small head, so two
things go without it: a module all of whose parts say `broadcasts = True` is called once, with its
tensors (S, ...) and features (S, B, D); and a loss that is neither coupled nor different between
members is given all their samples as one batch. A module that vmap cannot go through may have a
method `stacked(tensors, batch) -> (S, B, C)`, which gets the stacked tensors by their names and the
members' features (S, B, D). Parameters that stand still and buffers are stacked only where they
differ. Every member keeps its own order of samples, learning rate and decay. No
operation mixes members: one that diverges leaves the others as they are.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call, vmap

from methods.base import Batch
from methods.parts.training.members import Member
from methods.parts.training.problems import (
    Problem,
    full,
    labels_of,
    moved,
    one_a_sample,
    optimiser_of,
)
from methods.parts.training.schedules import Recipe

MEMORY = {"cpu": 2**26, "cuda": 2**31}
"""Bytes that what is trained in one problem may take with gradients and the optimiser's state. On a
CPU no more than its caches hold: beyond that five heads took seven times as long as one."""
_NOT_STATE = frozenset(vars(nn.Module()))


# ---- which trainings can be stacked --------------------------------------------------------------


def lots(members: Sequence[Member]) -> list[list[Member]]:
    """Members that can be trained as one problem, as many as memory may hold; others by themselves.

    Members of a lot whose learning rate and decay are the same stand beside each other.
    """
    alike: dict[Hashable, list[Member]] = {}
    for member in members:
        alike.setdefault(_likeness(member), []).append(member)
    found = []
    for group in alike.values():
        group.sort(key=lambda member: _rates(member.asked.recipe))
        trained = sum(p.numel() * p.element_size() for p in group[0].parameters)
        # The parameters, their gradients, two moments, and as much again on the way.
        room = MEMORY.get(group[0].asked.task.device.type, MEMORY["cpu"])
        size = max(1, room // max(1, 6 * trained))
        found += [group[i : i + size] for i in range(0, len(group), size)]
    return found


def _likeness(member: Member) -> Hashable:
    """Equal for members that can be stacked."""
    asked, task = member.asked, member.asked.task
    modules = [asked.module, *([asked.loss] if isinstance(asked.loss, nn.Module) else [])]
    parts = [part for module in modules for part in module.modules()]
    draws = any(isinstance(p, nn.modules.dropout._DropoutNd) and p.p > 0 for p in parts)
    if asked.alone or asked.needs != "features" or draws or not member.parameters:
        return id(member)
    recipe = asked.recipe
    loss: Any = asked.loss
    if isinstance(loss, nn.Module):
        loss = None  # compared by its structure
    of_the_data = any(getattr(part, "of_the_data", ()) for part in parts)
    return (
        task.train.keys.tobytes() if of_the_data else None,
        (task.kind, id(task.texts), id(task.backbone), task.device, len(task.train)),
        (recipe.epochs, recipe.batch_size, recipe.micro_batch, recipe.momentum),
        (recipe.optimiser, recipe.eps, recipe.sampler, asked.stage, member.start),
        bool(member.optimiser_state),
        loss if isinstance(loss, Hashable) else id(loss),
        tuple(_structure(module) for module in modules),
    )


def _rates(recipe: Recipe) -> tuple[float, float]:
    return recipe.lr, recipe.weight_decay


def _structure(module: nn.Module) -> Hashable:
    """Names, types, shapes and constants of a module and all within it."""
    tensors = itertools.chain(module.named_parameters(), module.named_buffers())
    return (
        tuple((name, t.shape, t.dtype, t.requires_grad) for name, t in tensors),
        tuple(
            (name, type(part), tuple((k, _constant(v)) for k, v in sorted(_attributes(part))))
            for name, part in module.named_modules()
        ),
    )


def _attributes(module: nn.Module) -> list[tuple[str, Any]]:
    """All but those that a module says are the same for every task on a data set and backbone."""
    left_out = _NOT_STATE | getattr(module, "of_the_data", frozenset())
    return [(name, value) for name, value in vars(module).items() if name not in left_out]


def _constant(value: Any) -> Hashable:
    """A constant as it is compared: plain values by value, all others only with themselves."""
    if isinstance(value, list | tuple):
        return tuple(map(_constant, value))
    if value is None or isinstance(value, bool | int | float | str):
        return type(value), value
    return id(value)


# ---- the stack -----------------------------------------------------------------------------------


class Stacked(Problem):
    """Several members as one problem.

    Their trained parameters become parts of the stack: modules always hold what is trained so far.

    Args:
        members: a lot, two or more.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        self._members = members
        for member in members:
            member.together = len(members)
        self._pairs = [_Pair(m.asked.module, m.asked.loss) for m in members]
        self._base = self._pairs[0]
        self._trained = self._adopted()
        groups = itertools.groupby(range(len(members)), key=lambda i: _rates(self._recipe(i)))
        self._groups = [list(numbers) for _, numbers in groups]
        # Views, which are leaves of their own where a group is not everyone.
        self._views = [
            [leaf.detach()[numbers[0] : numbers[-1] + 1] for leaf in self._trained.values()]
            for numbers in self._groups
        ]
        self.optimiser = optimiser_of(
            [
                (views, self._recipe(numbers[0]))
                for views, numbers in zip(self._views, self._groups, strict=True)
            ]
        )
        self._take_up_states()

    def _recipe(self, number: int) -> Recipe:
        return self._members[number].asked.recipe

    def _adopted(self) -> dict[str, Tensor]:
        """The trained parameters stacked, (S, ...) each; those of the members are parts of them.

        Those of the modules alone, as when they are trained apart: a loss is not trained.
        """
        trained = {id(p) for p in self._members[0].parameters}
        names = [n for n, p in self._base.named_parameters() if id(p) in trained]
        stacks = {}
        for name in names:
            own = [pair.get_parameter(name) for pair in self._pairs]
            stacks[name] = torch.stack([p.data for p in own]).requires_grad_()
            for parameter, part in zip(own, stacks[name].detach(), strict=True):
                parameter.data = part
        return stacks

    def _take_up_states(self) -> None:
        """Go on with what the optimiser kept for each member before an interruption."""
        for views, numbers in zip(self._views, self._groups, strict=True):
            states = [self._members[number].optimiser_state for number in numbers]
            for place, view in enumerate(views):
                if states[0]:
                    own = [moved(state[place], view.device) for state in states]
                    self.optimiser.state[view] = {
                        name: torch.stack([state[name] for state in own]) if _by_member(name) else v
                        for name, v in own[0].items()
                    }

    def refresh(self) -> None:
        """Stack what stands still and differs, also between epochs."""
        places = _places(self._base)  # two names may lead to one tensor now, or no longer
        stacks = dict(self._trained)
        for name in dict.fromkeys(name for _, name in places):
            if name not in stacks:
                tensor, *others = own = [_tensor(pair, name) for pair in self._pairs]
                if not all(other is tensor or torch.equal(other, tensor) for other in others):
                    stacks[name] = torch.stack(own).detach()
        self._tensors = {place: stacks[name] for place, name in places if name in stacks}
        stacked = {id(_tensor(self._base, name)) for name in stacks}
        loss = self._base.loss
        of_loss = _tensors_of(loss) if isinstance(loss, nn.Module) else ()
        differs = any(id(tensor) in stacked for tensor in of_loss)
        self._flat = not differs and not getattr(loss, "coupled", False)
        self._native = self._without_vmap()

    def _without_vmap(self) -> Callable[[Batch], Tensor] | None:
        """The module of all members as a function of a batch (S, B), where it can do that."""
        module: Any = self._base.module
        if hasattr(module, "stacked"):
            start = "module."
            tensors = {
                name.removeprefix(start): tensor
                for name, tensor in self._tensors.items()
                if name.startswith(start)
            }
            return partial(module.stacked, tensors)
        parts = module.modules()
        if all(isinstance(p, nn.Sequential) or getattr(p, "broadcasts", False) for p in parts):
            wide: Callable[[Batch], Tensor] = _widened(module, self._tensors, "module.")
            return wide
        return None

    def batches(
        self, parts: Sequence[NDArray[Any]], stream: tuple[Any, ...]
    ) -> Iterator[tuple[Batch, Tensor]]:
        splits = [member.asked.task.train for member in self._members]
        if all(split is splits[0] for split in splits):  # one look-up for all
            shape = (len(splits), -1)
            for batch in splits[0].loader([part.reshape(-1) for part in parts], needs="features"):
                assert batch.features is not None
                labels = labels_of(splits[0], batch).unflatten(0, shape)
                index, features = (t.unflatten(0, shape) for t in (batch.index, batch.features))
                yield Batch(index, features, None), labels
            return
        loaders = [
            split.loader([part[i] for part in parts], needs="features")
            for i, split in enumerate(splits)
        ]
        for several in zip(*loaders, strict=True):
            labels = torch.stack([labels_of(s, b) for s, b in zip(splits, several, strict=True)])
            index = torch.stack([batch.index for batch in several])
            yield Batch(index, torch.stack([batch.inputs for batch in several]), None), labels

    def part(self, batch: Batch, labels: Tensor, which: slice) -> tuple[Batch, Tensor]:
        return Batch(batch.index[:, which], batch.inputs[:, which], None), labels[:, which]

    def logits(self, batch: Batch) -> Tensor:
        if self._native is None:
            return self._mapped(batch)
        return full(self._native(batch))

    def losses(self, batch: Batch, labels: Tensor, logits: Tensor | None = None) -> Tensor:
        if logits is None and (self._native is not None or self._flat):
            logits = self.logits(batch)
        if logits is None:
            return self._mapped(batch, labels)
        if not self._flat:
            return self._mapped(batch, labels, logits)
        every = Batch(batch.index.flatten(), batch.inputs.flatten(0, 1), None)
        losses: Tensor = self._base.loss(logits.flatten(0, 1), labels.flatten(0, 1), every)
        found: Tensor = one_a_sample(losses, len(every)).unflatten(0, (len(self._members), -1))
        return found

    def _mapped(self, batch: Batch, *more: Tensor) -> Tensor:
        """A call of `_Pair` for every member, with labels and logits where there are any."""

        def call(
            tensors: dict[str, Tensor], index: Tensor, features: Tensor, *more: Tensor
        ) -> Tensor:
            given = (Batch(index, features, None), *more)
            # Ties are in `_places`; torch would set one tensor twice where two names lead to it.
            found: Tensor = functional_call(self._base, tensors, given, tie_weights=False)
            return found

        found: Tensor = vmap(call)(self._tensors, batch.index, batch.inputs, *more)
        return found

    def zero_grad(self) -> None:
        for leaf in self._trained.values():
            leaf.grad = None

    def step(self) -> None:
        for views, numbers in zip(self._views, self._groups, strict=True):
            for view, leaf in zip(views, self._trained.values(), strict=True):
                grad = leaf.grad
                view.grad = None if grad is None else grad[numbers[0] : numbers[-1] + 1]
        self.optimiser.step()

    def optimiser_state(self, number: int) -> list[dict[str, Any]]:
        which = next(i for i, numbers in enumerate(self._groups) if number in numbers)
        place = number - self._groups[which][0]
        return [
            {
                name: value[place] if _by_member(name) and value is not None else value
                for name, value in self.optimiser.state[view].items()
            }
            for view in self._views[which]
        ]


def _by_member(name: str) -> bool:
    """Whether a part of the optimiser's state is stacked: all but AdamW's count of steps."""
    return name != "step"


def _places(module: nn.Module) -> list[tuple[str, str]]:
    """Where the tensors are, each with the name that it has in `named_parameters` or `_buffers`."""
    first: dict[int, str] = {}
    found = []
    for path, part in module.named_modules():
        for own, tensor in itertools.chain(part._parameters.items(), part._buffers.items()):
            if tensor is not None:
                place = f"{path}.{own}" if path else own
                found.append((place, first.setdefault(id(tensor), place)))
    return found


def _widened(module: nn.Module, tensors: dict[str, Tensor], path: str) -> nn.Module:
    """A module like this one that holds the stacked tensors; what is not stacked is shared."""
    wide = copy.copy(module)
    for kind in ("_parameters", "_buffers"):
        held = vars(module)[kind].items()
        vars(wide)[kind] = {name: tensors.get(path + name, tensor) for name, tensor in held}
    vars(wide)["_modules"] = {
        name: None if part is None else _widened(part, tensors, f"{path}{name}.")
        for name, part in module._modules.items()
    }
    return wide


def _tensors_of(module: nn.Module) -> Iterable[Tensor]:
    return itertools.chain(module.parameters(), module.buffers())


def _tensor(module: nn.Module, name: str) -> Tensor:
    """A parameter or buffer by its name."""
    path, _, last = name.rpartition(".")
    found: Tensor = getattr(module.get_submodule(path), last)
    return found


class _Pair(nn.Module):
    """A module and its loss as one, so that what both hold is one tensor."""

    def __init__(self, module: nn.Module, loss: Any) -> None:
        super().__init__()
        self.module = module
        self.loss = loss

    def forward(
        self, batch: Batch, labels: Tensor | None = None, logits: Tensor | None = None
    ) -> Tensor:
        """Logits (b, C), or losses (b,) where there are labels."""
        logits = full(self.module(batch)) if logits is None else logits
        if labels is None:
            return logits
        return one_a_sample(self.loss(logits, labels, batch), len(batch))
