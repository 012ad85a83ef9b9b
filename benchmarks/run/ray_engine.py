"""The engine of a place on a Ray cluster: worker processes as on this machine, behind an actor.

A worker that dies is lost, as it is here. If the actor or its node is gone, the cells have vanished
with it, and the next actor, wherever Ray starts it, gets them again.
"""

from __future__ import annotations

import dataclasses
import os
import pickle
import threading
import time
from collections import deque
from collections.abc import Hashable
from tempfile import NamedTemporaryFile
from typing import Any
from weakref import WeakValueDictionary

from benchmarks.errors import DataError, UserError
from benchmarks.plugins.origins import Origin
from benchmarks.processes import Ended, Message, Overdue
from benchmarks.run.border import Facts, clean
from benchmarks.run.data_sets import DataSets
from benchmarks.run.display import Display
from benchmarks.run.engines import Lost, Process, Stopped, Vanished, Workers
from benchmarks.run.options import RunOptions
from benchmarks.run.ray_cluster import RaySlot, folders_of_plugins
from benchmarks.run.ray_host import About, Answers, Host
from benchmarks.run.ray_parcel import portable, there
from benchmarks.run.versions import versions
from benchmarks.run.worker import Open, Use, serve, shared
from benchmarks.sweep.cell import Cell

POLL_S = 0.5
"""Seconds after which the actor answers without the end of an answer: progress, or nothing."""
PATIENCE_S = 3.0
"""Seconds that an actor takes to start before the display says that it waits for one."""


class RayWorkers(Workers):
    """Fits in worker processes on a node of a Ray cluster.

    Args:
        options: of the run.
        slot: the place.
        display: shows the progress.
        data_sets: those that are arrays travel.
    """

    def __init__(
        self, options: RunOptions, slot: RaySlot, display: Display, data_sets: DataSets
    ) -> None:
        super().__init__(options, slot, display)
        self._slot = slot
        self._data_sets = data_sets
        self._node: Node | None = None
        self._memory = 0.0
        """Bytes that the actor has."""

    def open(self, cells: list[Cell]) -> Facts:
        """See `Engine.open`."""
        if self._node is not None and self._slot.memory > self._memory:
            self.close()
        parcel = _parcel(cells[0], self._data_sets)
        node = self._node = self._node or self._hired()
        node.parcel = parcel
        try:
            return super().open(cells)
        except DataError as error:
            where = f"(On the node {node.name}: each node needs data and weights at the same path.)"
            raise type(error)(f"{error} {where}") from error

    def stop(self) -> None:
        """See `Engine.stop`."""
        super().stop()
        if (node := self._node) is not None:
            node.strike()

    def close(self) -> None:
        """See `Engine.close`."""
        super().close()
        if self._node is not None:
            self._node.strike()
            self._node = None

    def _started(self, data_plugins: tuple[Origin, ...]) -> Process:
        node = self._node
        assert node is not None
        try:
            about = self._about(node)
            # Without shared storage, training states lie beside the code that Ray removes.
            out = self._options.out if about.shares else about.root / "out"
            options = dataclasses.replace(self._options, out=out)
            node.start((serve, (options, tuple(map(there, data_plugins)))))
        except Ended as error:
            raise self._lost(str(error)) from None
        return node

    def _hired(self) -> Node:
        self._memory = self._slot.memory
        return Node(self._slot, self._memory, self._display)

    def _about(self, node: Node) -> About:
        """Return facts about a node that has what it needs.

        Raises:
            Ended: it is gone.
            UserError: it lacks something.
        """
        if node.about is None:
            out = self._options.out
            out.mkdir(parents=True, exist_ok=True)
            with NamedTemporaryFile(dir=out, prefix=".ray-") as marker:
                node.about = node.ask("about", marker.name)
        about: About = node.about
        node.name = about.name
        other = [
            f"{name} {about.versions.get(name, 'missing')} instead of {version}"
            for name, version in versions().items()
            if about.versions.get(name) != version
        ]
        if other:
            raise UserError(f"--ray: the node {node.name} has {', '.join(other)}.")
        if self._options.save_model and not about.shares:
            raise UserError(
                f"--save-model: the node {node.name} does not see {self._options.out}, and models "
                "are written there; choose an --out on storage that all nodes share."
            )
        return about

    def _lost(self, reason: str) -> Lost | Stopped:
        """End the worker and return the error that says so."""
        node = self._node
        found = super()._lost(reason)
        if node is None or not node.gone:
            return found
        self.close()
        return found if isinstance(found, Stopped) else Vanished(reason)


class Node:
    """An actor, and the worker process that it keeps; other threads may call `strike`."""

    def __init__(self, slot: RaySlot, memory: float, display: Display) -> None:
        import ray

        self._display = display
        self._messages: deque[Message] = deque()
        self._over: str | None = None
        self._opened: Hashable = None
        self._ready = self._struck = False
        self.gone = False
        """True if the actor or its node ended by itself."""
        self.parcel: Parcel | None = None
        """Data set for the next bench, if it travels."""
        self.about: About | None = None
        self.name = "that Ray chose"
        self._actor: Any = (
            ray.remote(Host)
            .options(
                num_cpus=slot.cpus,
                num_gpus=slot.gpus,
                memory=int(memory),
                max_restarts=0,
                scheduling_strategy="SPREAD",
            )
            .remote(os.path.abspath(os.curdir), folders_of_plugins())
        )

    def start(self, call: Any) -> None:
        """Start a worker in place of the one before."""
        self._messages.clear()
        self._over = self._opened = None
        self._post("start", pickle.dumps(call))

    def send(self, request: Any) -> None:
        """See `Child.send`; a worker that is gone shows when an answer is read."""
        first: list[Any] = []
        if isinstance(request, Open):
            request = dataclasses.replace(request, foreign=tuple(map(there, request.foreign)))
            if self._opened != shared(request.cell):
                self._opened = shared(request.cell)
                first = [] if self.parcel is None else [self.parcel.ref]
        self._post("send", *first, pickle.dumps(request))

    def receive(self, seconds: float | None = None) -> Message:
        """See `Child.receive`."""
        until = None if seconds is None else time.monotonic() + seconds
        while not self._messages:
            if self._over is not None:
                raise Ended(self._over)
            left = POLL_S if until is None else min(POLL_S, until - time.monotonic())
            if left <= 0:
                raise Overdue
            answers: Answers = self.ask("receive", left)
            self._messages.extend(answers.messages)
            self._over = answers.over
        return self._messages.popleft()

    def output(self) -> str:
        """See `Child.output`; empty if the node is gone."""
        if self.gone or self._struck:
            return ""
        try:
            found: str = self.ask("output")
        except Ended:
            return ""
        return found

    def kill(self) -> None:
        """Kill the worker; the actor waits for the next."""
        self._post("end")

    def strike(self) -> None:
        """End the actor, and its worker with it."""
        import ray

        self._struck = True
        ray.kill(self._actor)

    def ask(self, method: str, *arguments: Any) -> Any:
        """Call the actor and return its answer.

        Raises:
            Ended: it is gone.
            UserError: it cannot be started anywhere.
        """
        import ray
        from ray.exceptions import RayError, RayTaskError

        started = time.monotonic()
        try:
            reference = self._post(method, *arguments)
            while not ray.wait([reference], timeout=POLL_S)[0]:
                if self._struck:
                    raise Ended("")
                if not self._ready and time.monotonic() - started > PATIENCE_S:
                    self._display.preparing("waiting for a place in the Ray cluster")
            answer = ray.get(reference)
        except RayError as error:
            if isinstance(error, RayTaskError) and not isinstance(error.cause, RayError):
                raise  # of the actor's own code
            raise self._ended(error) from None
        self._ready = True
        return answer

    def _post(self, method: str, *arguments: Any) -> Any:
        return getattr(self._actor, method).remote(*arguments)

    def _ended(self, error: Any) -> Ended | UserError:
        """Return what an error of Ray means."""
        from ray import exceptions

        text = clean(str(error), 400)
        never = exceptions.RuntimeEnvSetupError, exceptions.ActorUnschedulableError
        if isinstance(error, never) or getattr(error, "actor_init_failed", False):
            return UserError(f"--ray: no worker can be started: {text}")
        self.gone = True
        return Ended(f"Ray lost the node {self.name} or its actor there ({text})")


class Parcel:
    """A data set in the object store of a cluster, as long as any place holds this object."""

    def __init__(self, data: bytes) -> None:
        import ray

        self.ref = ray.put(data)


_parcels: WeakValueDictionary[Hashable, Parcel] = WeakValueDictionary()
_packing = threading.Lock()


def _parcel(cell: Cell, data_sets: DataSets) -> Parcel | None:
    """Return the data set of a cell for nodes without its files; None if it cannot travel."""
    if not cell.family.on_disk:
        return None  # drawn anew in less time
    key = (cell.family, cell.split_seed, cell.select)
    with _packing:
        found = _parcels.get(key)
        if found is None:
            data = portable(data_sets.for_fitting(cell))
            if data is None:
                return None
            found = _parcels[key] = Parcel(pickle.dumps(Use(data)))
        return found
