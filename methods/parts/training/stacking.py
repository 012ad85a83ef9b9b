"""Trainings of one structure as one batched problem: several seeds or grid points in one pass.

Trained parameters are stacked along a leading axis of S members, and `torch.func.vmap` maps module
and loss over it, so that both are written for one member. vmap costs as much per step as a small
head, so two cases avoid it: a module all of whose parts set `broadcasts` is called once, with
tensors (S, …) and features (S, B, D); a loss that is neither coupled nor different between members
gets the samples of all members as one batch. A module that vmap cannot trace is a `SelfStacked`.
Frozen parameters and buffers are stacked only where they differ. Every member keeps its own sample
order, learning rate and decay. No operation mixes members: if one diverges, the others do not
change.
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
from methods.parts.losses.base import is_coupled
from methods.parts.stackable import SelfStacked, Stackable
from methods.parts.training.members import Member
from methods.parts.training.problems import (
    Problem,
    full,
    labels_of,
    moved,
    one_per_sample,
    optimiser_of,
)
from methods.parts.training.schedules import Schedule

MEMORY = {"cpu": 2**26, "cuda": 2**31}
"""Bytes for the trained parameters of one problem with gradients and optimiser state. On a CPU they
must fit into its caches: beyond that, five heads took seven times as long as one."""
_NOT_STATE = frozenset(vars(nn.Module()))


# ---- which trainings can be stacked --------------------------------------------------------------


def batchable_groups(members: Sequence[Member]) -> list[list[Member]]:
    """Group members that can be trained as one problem, as many as `MEMORY` allows.

    Members of a group with the same learning rate and decay are adjacent.
    """
    alike: dict[Hashable, list[Member]] = {}
    for member in members:
        alike.setdefault(_likeness(member), []).append(member)
    found = []
    for group in alike.values():
        group.sort(key=lambda member: _rates(member.request.schedule))
        trained = sum(p.numel() * p.element_size() for p in group[0].parameters)
        # Parameters, gradients, two moments, and about as much for temporaries: 6 in all.
        room = MEMORY.get(group[0].request.task.device.type, MEMORY["cpu"])
        size = max(1, room // max(1, 6 * trained))
        found += [group[i : i + size] for i in range(0, len(group), size)]
    return found


def _likeness(member: Member) -> Hashable:
    """Key that is equal for members that can be stacked."""
    request, task = member.request, member.request.task
    modules = [request.module, *([request.loss] if isinstance(request.loss, nn.Module) else [])]
    parts = [part for module in modules for part in module.modules()]
    draws = any(isinstance(p, nn.modules.dropout._DropoutNd) and p.p > 0 for p in parts)
    if request.alone or request.needs != "features" or draws or not member.parameters:
        return id(member)
    schedule = request.schedule
    loss: Any = request.loss
    if isinstance(loss, nn.Module):
        loss = None  # compared by its structure
    of_the_data = any(isinstance(part, Stackable) and part.of_the_data for part in parts)
    return (
        task.train.keys.tobytes() if of_the_data else None,
        (task.kind, id(task.texts), id(task.backbone), task.device, len(task.train)),
        (schedule.epochs, schedule.batch_size, schedule.micro_batch, schedule.momentum),
        (schedule.optimiser, schedule.eps, schedule.sampler, request.stage, member.start),
        bool(member.optimiser_state),
        loss if isinstance(loss, Hashable) else id(loss),
        tuple(_structure(module) for module in modules),
    )


def _rates(schedule: Schedule) -> tuple[float, float]:
    return schedule.lr, schedule.weight_decay


def _structure(module: nn.Module) -> Hashable:
    """Names, types, shapes and constants of a module and its submodules."""
    tensors = itertools.chain(module.named_parameters(), module.named_buffers())
    return (
        tuple((name, t.shape, t.dtype, t.requires_grad) for name, t in tensors),
        tuple(
            (name, type(part), tuple((k, _constant(v)) for k, v in sorted(_attributes(part))))
            for name, part in module.named_modules()
        ),
    )


def _attributes(module: nn.Module) -> list[tuple[str, Any]]:
    """Attributes to compare: all but those in `of_the_data`."""
    left_out = _NOT_STATE
    if isinstance(module, Stackable):
        left_out |= module.of_the_data
    return [(name, value) for name, value in vars(module).items() if name not in left_out]


def _constant(value: Any) -> Hashable:
    """Key of a constant: plain values compare by value, all others by identity."""
    if isinstance(value, list | tuple):
        return tuple(map(_constant, value))
    if value is None or isinstance(value, bool | int | float | str):
        return type(value), value
    return id(value)


# ---- the stack -----------------------------------------------------------------------------------


class Stacked(Problem):
    """Several members as one problem.

    The members' trained parameters become views of the stack, so that their modules are always up
    to date.

    Args:
        members: two or more, a group from `batchable_groups`.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        self._members = members
        for member in members:
            member.group_size = len(members)
        self._pairs = [_Pair(m.request.module, m.request.loss) for m in members]
        self._base = self._pairs[0]
        self._trained = self._adopted()
        groups = itertools.groupby(range(len(members)), key=lambda i: _rates(self._schedule(i)))
        self._groups = [list(numbers) for _, numbers in groups]
        # One view per group of equal rates, each a leaf that the optimiser can update.
        self._views = [
            [leaf.detach()[numbers[0] : numbers[-1] + 1] for leaf in self._trained.values()]
            for numbers in self._groups
        ]
        self.optimiser = optimiser_of(
            [
                (views, self._schedule(numbers[0]))
                for views, numbers in zip(self._views, self._groups, strict=True)
            ]
        )
        self._take_up_states()

    def _schedule(self, number: int) -> Schedule:
        return self._members[number].request.schedule

    def _adopted(self) -> dict[str, Tensor]:
        """Stack the trained parameters, (S, …) each; the members' parameters become views of them.

        Only parameters of the modules, as in unstacked training: a loss is not trained.
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
        """Resume from the optimiser states that the members saved before an interruption."""
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
        """Stack frozen tensors that differ between members; losses change them between epochs."""
        places = _places(self._base)  # ties between names may change with an epoch
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
        self._flat = not differs and not is_coupled(loss)
        self._native = self._without_vmap()

    def _without_vmap(self) -> Callable[[Batch], Tensor] | None:
        """The modules of all members as one function of a batch (S, B), if vmap is not needed."""
        module = self._base.module
        if isinstance(module, SelfStacked):
            start = "module."
            tensors = {
                name.removeprefix(start): tensor
                for name, tensor in self._tensors.items()
                if name.startswith(start)
            }
            return partial(module.stacked, tensors)
        parts = module.modules()
        if all(isinstance(p, nn.Sequential) or _broadcasts(p) for p in parts):
            wide: Callable[[Batch], Tensor] = _widened(module, self._tensors, "module.")
            return wide
        return None

    def batches(
        self, parts: Sequence[NDArray[Any]], stream: tuple[Any, ...]
    ) -> Iterator[tuple[Batch, Tensor]]:
        splits = [member.request.task.train for member in self._members]
        if all(split is splits[0] for split in splits):  # one look-up serves all members
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
        found: Tensor = one_per_sample(losses, len(every)).unflatten(0, (len(self._members), -1))
        return found

    def _mapped(self, batch: Batch, *more: Tensor) -> Tensor:
        """Call `_Pair` for every member under vmap, with labels and logits if given."""

        def call(
            tensors: dict[str, Tensor], index: Tensor, features: Tensor, *more: Tensor
        ) -> Tensor:
            given = (Batch(index, features, None), *more)
            # `_places` resolves ties; torch would set a tied tensor once per name.
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


def _broadcasts(module: nn.Module) -> bool:
    return isinstance(module, Stackable) and module.broadcasts


def _by_member(name: str) -> bool:
    """True if a part of the optimiser's state is stacked: all but AdamW's step count."""
    return name != "step"


def _places(module: nn.Module) -> list[tuple[str, str]]:
    """(place, name) of every tensor; the name is its first place, the same for tied tensors."""
    first: dict[int, str] = {}
    found = []
    for path, part in module.named_modules():
        for own, tensor in itertools.chain(part._parameters.items(), part._buffers.items()):
            if tensor is not None:
                place = f"{path}.{own}" if path else own
                found.append((place, first.setdefault(id(tensor), place)))
    return found


def _widened(module: nn.Module, tensors: dict[str, Tensor], path: str) -> nn.Module:
    """Copy of a module with the stacked tensors; tensors that are not stacked are shared."""
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
    """The parameter or buffer with this name."""
    path, _, last = name.rpartition(".")
    found: Tensor = getattr(module.get_submodule(path), last)
    return found


class _Pair(nn.Module):
    """A module and its loss as one module, so that a tensor they share is stacked once."""

    def __init__(self, module: nn.Module, loss: Any) -> None:
        super().__init__()
        self.module = module
        self.loss = loss

    def forward(
        self, batch: Batch, labels: Tensor | None = None, logits: Tensor | None = None
    ) -> Tensor:
        """Logits (b, C), or losses (b,) if labels are given."""
        logits = full(self.module(batch)) if logits is None else logits
        if labels is None:
            return logits
        return one_per_sample(self.loss(logits, labels, batch), len(batch))
