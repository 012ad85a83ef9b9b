"""A Ray cluster to run on: the connection to it, and the places that its nodes make.

Ray is imported in functions only, because it is an extra and takes a second.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.errors import UserError
from benchmarks.limits import processors
from benchmarks.packages import missing
from benchmarks.run.ray_parcel import pack, plugin_files
from benchmarks.run.slots import SHARE, Pool, Slot, chosen_threads
from benchmarks.sweep.memory_needs import Memory
from benchmarks.sweep.settings import MOST_JOBS, Sweep

ANSWER_S = 5.0
"""Time for a cluster's address to answer. Ray itself waits for a minute."""
_VARIABLES = "LONGTAIL_VLM_"
"""Beginning of the variables that workers on the nodes have as well."""
_state: dict[str, Any] = {}
"""The cluster that this process is connected to, and the folders of plug-ins on its nodes."""


@dataclass(frozen=True)
class RaySlot(Slot):
    """A place on whichever node of a Ray cluster has room for it."""

    cpus: float = 1.0
    """CPUs that it occupies, which may be fewer than its threads beside a GPU."""
    gpus: float = 0.0
    """GPUs that it occupies; a fraction for several places on each."""
    largest: float = math.inf
    """Bytes of the largest node."""
    unit: Pool = field(default_factory=lambda: Pool(math.inf))
    """Main memory of the unit that runs here alone; `host` is that of all places."""

    @property
    def memory(self) -> float:
        """Bytes to ask for: what the unit needs, if any node has so much."""
        return min(self.unit.used, self.largest)

    def take(self, need: Memory) -> None:
        """Count a unit that starts here."""
        super().take(need)
        self.unit.take(need.host)

    def give_back(self, need: Memory) -> None:
        """Count a unit that has ended here."""
        super().give_back(need)
        self.unit.give_back(need.host)


def require(sweep: Sweep) -> None:
    """Refuse what can be refused before anything begins.

    Raises:
        UserError: Ray is not installed, or nothing listens at the address.
    """
    if missing(["ray"]):
        raise UserError("--ray needs the package ray: `pip install -e '.[ray]'`.")
    if sweep.ray != "local":
        _address(sweep.ray)


def ray_slots(sweep: Sweep, *, gpu: bool) -> list[RaySlot]:
    """Connect to the cluster of a sweep, and return the places there.

    Args:
        sweep: with `ray`.
        gpu: True if cells run on a GPU.

    Raises:
        UserError: there is no such cluster, it does not fit, or it has no place.
    """
    require(sweep)
    _connect(sweep)
    import ray

    return places(sweep, [node["Resources"] for node in ray.nodes() if node["Alive"]], gpu=gpu)


def places(sweep: Sweep, nodes: list[dict[str, float]], *, gpu: bool) -> list[RaySlot]:
    """Return the places that the resources of some nodes make.

    Args:
        sweep: with `ray`.
        nodes: what each has, as Ray names it: CPU, GPU and memory in bytes.
        gpu: True if cells run on a GPU.

    Raises:
        UserError: there is none.
    """
    if gpu:
        return _on_gpus(sweep, [node for node in nodes if node.get("GPU", 0) >= 1])
    if sweep.device == "auto" and any(node.get("GPU") for node in nodes):
        raise UserError(
            f"--ray {sweep.ray}: the cluster has GPUs, and this machine sees none. Start the "
            "command on a machine with a GPU, or leave them unused with --device cpu."
        )
    return _on_processors(sweep, nodes)


def folders_of_plugins() -> tuple[str, ...]:
    """Return the folders of plug-ins that nodes import modules from, below the code there."""
    return tuple(_state["folders"])


def close() -> None:
    """Leave the cluster; one that was started for this process ends."""
    if _state:
        import ray

        ray.shutdown()
        _state.clear()


def _on_gpus(sweep: Sweep, nodes: list[dict[str, float]]) -> list[RaySlot]:
    if not nodes:
        raise UserError(
            f"--ray {sweep.ray}: no node of the cluster has a GPU; --device cpu runs on processors."
        )
    counts = [int(node["GPU"]) * sweep.per_gpu for node in nodes]
    share = min(node.get("CPU", 0.0) / n for node, n in zip(nodes, counts, strict=True))
    threads = chosen_threads() or max(1, int(share))
    cpus = min(threads, math.floor(100 * share) / 100)
    return _slots(sweep, nodes, sum(counts), threads=threads, cpus=cpus, gpus=1 / sweep.per_gpu)


def _on_processors(sweep: Sweep, nodes: list[dict[str, float]]) -> list[RaySlot]:
    if sweep.per_gpu > 1:
        raise UserError("--per-gpu: the cells of this run use no GPU.")
    counts = [int(node.get("CPU", 0)) for node in nodes]
    threads = chosen_threads() or 1
    if not chosen_threads() and sweep.jobs not in ("", "auto"):
        fitting = (n for n in range(max(counts, default=1), 1, -1))
        wanted = int(sweep.jobs)
        threads = next((n for n in fitting if sum(c // n for c in counts) >= wanted), 1)
    number = sum(count // threads for count in counts)
    if not number:
        raise UserError(
            f"--ray {sweep.ray}: no node of the cluster has {threads} CPUs (OMP_NUM_THREADS)."
        )
    return _slots(sweep, nodes, number, threads=threads, cpus=threads, gpus=0.0)


def _slots(
    sweep: Sweep,
    nodes: list[dict[str, float]],
    number: int,
    *,
    threads: int,
    cpus: float,
    gpus: float,
) -> list[RaySlot]:
    most = int(sweep.jobs) if sweep.jobs not in ("", "auto") else MOST_JOBS
    memory = [node.get("memory", math.inf) for node in nodes]
    host = Pool(SHARE * sum(memory))
    return [
        RaySlot(host, threads=threads, cpus=cpus, gpus=gpus, largest=max(memory))
        for _ in range(min(number, most))
    ]


# ---- the connection ------------------------------------------------------------------------------


def _connect(sweep: Sweep) -> None:
    """Connect this process to the cluster, unless it is; the code and the plug-ins travel there."""
    plugins = plugin_files()
    wanted = (sweep.ray, sweep.jobs, tuple(plugins))
    if _state.get("wanted") == wanted:
        return
    close()
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    with suppress(AttributeError):  # it prints the state of every node that ends
        ray._private.worker.print_worker_logs = lambda *_: None
    if sweep.ray == "local":
        jobs = int(sweep.jobs) if sweep.jobs not in ("", "auto") else 1
        cpus = max(processors(), jobs * (chosen_threads() or 1))
        where: dict[str, Any] = {"address": "local", "num_cpus": cpus, "include_dashboard": False}
    else:
        where = {"address": _address(sweep.ray)}
    try:
        with TemporaryDirectory(prefix="longtail-vlm-ray-") as name, _own_handler():
            folders = pack(Path(name), plugins)
            _init(where | {"runtime_env": {"working_dir": name, "env_vars": _variables()}})
    except UserError:
        raise
    except Exception as error:  # of many types, Exception itself among them
        raise UserError(f"--ray {sweep.ray}: {' '.join(str(error).split())}") from error
    _state.update(wanted=wanted, folders=folders)


def _init(arguments: dict[str, Any]) -> None:
    """Start or join a cluster; on a busy machine Ray gives up too early and gets another try."""
    import ray

    for last in (False, True):
        try:
            ray.init(**arguments, log_to_driver=False, logging_level=logging.CRITICAL)
            return
        except Exception as error:
            ray.shutdown()
            if last or "timed out during startup" not in str(error):
                raise


def _address(wanted: str) -> str:
    """Return the address of a cluster that listens.

    Raises:
        UserError: there is none.
    """
    if wanted != "auto":
        _refuse_silent(wanted, wanted)
    from ray._private.services import canonicalize_bootstrap_address_or_die

    try:
        # In place of localhost, Ray uses the address of this machine in its network.
        found = str(canonicalize_bootstrap_address_or_die(wanted))
    except (ConnectionError, ValueError) as error:
        raise UserError(
            f"--ray {wanted}: no Ray cluster was found here: start one with `ray start --head`, "
            "name one with --ray HOST:PORT, or use --ray local."
        ) from error
    if found != wanted:
        _refuse_silent(found, f"{wanted} ({found})")
    return found


def _refuse_silent(address: str, shown: str) -> None:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_S).close()
    except (OSError, ValueError) as error:
        raise UserError(
            f"--ray {shown}: nothing answers there ({error}). `ray status` on the head node shows "
            "whether its cluster runs."
        ) from error


def _variables() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(_VARIABLES)}


@contextmanager
def _own_handler() -> Iterator[None]:
    """Keep this process's answer to SIGTERM, which Ray replaces."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread() and before is not None:
            signal.signal(signal.SIGTERM, before)
