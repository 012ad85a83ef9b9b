"""Trainings that run through the loop together."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from methods.parts.training.members import Member

MEMORY = {"cpu": 2**26, "cuda": 2**31}
"""Bytes for the trained parameters of a group with gradients and optimiser state. On a CPU they
must fit into its caches: beyond that, five heads took seven times as long as one."""


def trained_together(members: Sequence[Member]) -> list[list[Member]]:
    """Group trainings with equal numbers of epochs and steps, as many as `MEMORY` allows."""
    alike: dict[Hashable, list[Member]] = {}
    for member in members:
        alike.setdefault(_likeness(member), []).append(member)
    found = []
    for group in alike.values():
        trained = max(sum(p.numel() * p.element_size() for p in m.parameters) for m in group)
        # Parameters, gradients, two moments, and about as much for temporaries: 6 in all.
        room = MEMORY.get(group[0].request.task.device.type, MEMORY["cpu"])
        size = max(1, room // max(1, 6 * trained))
        found += [group[i : i + size] for i in range(0, len(group), size)]
    return found


def _likeness(member: Member) -> Hashable:
    """Key that is equal for trainings that can take their steps in turns."""
    request = member.request
    if request.needs != "features" or not member.parameters:
        return id(member)
    schedule = request.schedule
    return (
        (request.task.device, len(request.task.train), request.stage, member.start),
        (schedule.epochs, schedule.batch_size),
        (schedule.optimiser, schedule.momentum, schedule.eps),
        (schedule.anneal, schedule.warmup),
    )
