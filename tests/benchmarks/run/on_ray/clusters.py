"""Real Ray clusters of two nodes, and a world whose cells say where they run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from results.schema import Record
from results.store import Store
from tests.benchmarks.small import DATA
from tests.conftest import ROOT

LIMIT_S = 300
"""Seconds that a command may take on a busy machine, where Ray starts for a minute."""
MARK = "CLUSTER_OF_THE_TESTS"

CLUSTER = """
    import os, sys
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    one = {"num_cpus": 1, "object_store_memory": 100 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args={
        **one, "num_gpus": 2, "include_dashboard": False  # Ray believes it
    })
    second = cluster.add_node(**one)
    print("at", cluster.address, flush=True)
    for line in sys.stdin:  # until the test ends, however it does
        cluster.remove_node(second, allow_graceful=False)
        print("removed", flush=True)
    cluster.shutdown()
"""

PLUGIN = '''
    import os, signal, sys, time
    from dataclasses import dataclass
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).parent))
    from beside_told import SCALE
    from methods.base import Method, Predictor
    from methods.registry import register


    def parent(pid):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]


    @register("told", paper="-", needs="features")
    @dataclass(frozen=True)
    class Told(Method):
        """Says that it runs, and does what it is told."""

        how: str = "none"

        def fit(self, task):
            hold = os.environ["LONGTAIL_VLM_TEST_HOLD"]
            with open(os.environ["LONGTAIL_VLM_TEST_LOG"], "a") as log:
                node, actor = os.environ.get("RAY_RAYLET_PID"), parent(os.getppid())
                gpu = os.environ.get("CUDA_VISIBLE_DEVICES")
                log.write(f"{task.seed} {node} {actor} {gpu}\\n")
            if self.how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            while hold and task.seed and not os.path.exists(hold):
                time.sleep(0.05)
            weight = SCALE * task.normal_per_class("weight", 16)
            return Predictor(lambda batch: batch.inputs @ weight.T)
'''


DATA_SET = '''
    import os
    from dataclasses import dataclass

    import numpy as np

    from benchmarks.datasets.base import ArrayImages, DataSet, Family, Split, Texts
    from benchmarks.datasets.registry import register
    from benchmarks.errors import DataMissing


    class OnDisk:
        def __init__(self, images):
            self.images = images

        def __len__(self):
            return len(self.images)

        def read(self, index):
            return self.images.read(index)

        def digest(self):
            return self.images.digest()


    @register("elsewhere", task="single")
    @dataclass(frozen=True)
    class Elsewhere(Family):
        """Images that no node has."""

        files: bool = False

        published = False

        def load(self, root, split_seed):
            if "RAY_RAYLET_PID" in os.environ:
                raise DataMissing("elsewhere: its files are not here.")
            rng = np.random.default_rng(0)

            def split(name, count):
                images = ArrayImages(rng.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8))
                ids = tuple(f"{name} {i}" for i in range(count))
                return Split(OnDisk(images) if self.files else images, np.arange(count) % 2, ids)

            texts = Texts(("a", "b"), ("a {}.",))
            return DataSet(
                "elsewhere", "single", "1", "none", texts, split("train", 20), split("test", 8)
            )

        def card(self):
            return {}
'''


@dataclass
class World:
    """Runs commands with the plug-in of this file in a folder of its own."""

    folder: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, out: str, *words: str, hold: bool = False) -> subprocess.Popen[str]:
        """Start a sweep; with `hold`, seeds above 0 wait for `release`."""
        log = self.folder / f"{out}.log"
        log.touch()
        data = [] if "--datasets" in words else DATA
        flags = [
            *("--methods", "ncm,linear_probe,told", "--seeds", "0,1,2,3"),
            *("--set", "linear_probe.epochs=2", "--device", "cpu"),
            *("--backbone", f"local-dir:{self.folder / 'small_clip'}"),
            *("--plugin", str(self.folder / "told.py"), "--out", str(self.folder / out)),
        ]
        variables = {
            "OMP_NUM_THREADS": "1",
            # Variables with this beginning travel to the nodes.
            "LONGTAIL_VLM_TEST_LOG": str(log),
            "LONGTAIL_VLM_TEST_HOLD": str(self.folder / f"{out}.go") if hold else "",
        }
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "run_benchmarks.py"), *data, *flags, *words],
            env=os.environ | variables,
            cwd=self.folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.started.append(process)
        return process

    def release(self, out: str) -> None:
        (self.folder / f"{out}.go").touch()

    def run(self, out: str, *words: str) -> tuple[int, str]:
        return ended(self.start(out, *words))

    def fits(self, out: str) -> list[tuple[int, int, int]]:
        """Seed, node and actor of each time that the plug-in has fitted."""
        lines = (self.folder / f"{out}.log").read_text().splitlines()
        return [
            (int(seed), int(node) if node.isdecimal() else 0, int(actor))
            for seed, node, actor, *_ in map(str.split, lines)
        ]

    def records(self, out: str) -> dict[tuple[str, int], Record]:
        found, problems = Store(self.folder / out).all()
        assert problems == []
        return {(r.method, r.seed): r for r in found}

    def wait(self, out: str, running: Callable[[], bool], process: subprocess.Popen[str]) -> None:
        until = time.monotonic() + LIMIT_S
        while not running():
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < until
            time.sleep(0.05)

    def same(self, out: str) -> None:
        """Assert that records, predictions and tables are those of one process."""
        one, two = self.records("one"), self.records(out)
        assert one.keys() == two.keys() and len(one) == 9
        for row, record in one.items():
            assert two[row].status == "done" and two[row].key == record.key
            assert two[row].metrics == record.metrics and two[row].notes == record.notes
            a, b = (Store(self.folder / name).predictions(record.key) for name in ("one", out))
            assert a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)
        names = sorted(file.name for file in (self.folder / "one" / "report").glob("*.tex"))
        assert names
        for name in names:
            tables = [(self.folder / o / "report" / name).read_text() for o in ("one", out)]
            assert without_times(tables[0]) == without_times(tables[1])


def without_times(table: str) -> str:
    """A table without times, the spaces that depend on their width, and the name of its folder."""
    rest = r"\\hspace\{[^}]*\}|(?<=tab:)\w+(?=:)"
    return re.sub(rf"{rest}|[0-9.]+ *(s|min|h)\b|[0-9.]+(?= *&)(?=[^&]*\\\\)", "", table)


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    printed, _ = process.communicate(timeout=LIMIT_S)
    return process.returncode, printed


@dataclass
class Nodes:
    """A cluster of two nodes with one CPU each."""

    address: str
    process: subprocess.Popen[str]

    def lose_one(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write("remove\n")
        self.process.stdin.flush()
        while "removed" not in self.process.stdout.readline():
            assert self.process.poll() is None


def of_the_cluster() -> list[str]:
    """Names of the processes that the cluster of this file has started, and of all below them."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"{MARK}={os.getpid()}\0".encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_text())
    return found
