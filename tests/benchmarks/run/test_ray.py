"""A real Ray cluster of two nodes: the same numbers, whatever dies on the way."""

from __future__ import annotations

import os
import pickle
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest

import run_benchmarks
from benchmarks.datasets.base import ArrayImages, DataSet, Split, Texts
from benchmarks.errors import UserError
from benchmarks.plugins.origins import PluginFile
from benchmarks.run import ray_parcel
from benchmarks.run.ray_cluster import places
from benchmarks.run.ray_parcel import pack, portable, there
from benchmarks.sweep.memory_needs import Memory
from benchmarks.sweep.settings import Sweep
from results.schema import Record
from results.store import Store
from tests.benchmarks.small import DATA, make_clip_folder
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
    return re.sub(r"[0-9.]+ *(s|min|h)\b|[0-9.]+(?= *&)(?=[^&]*\\\\)", "", table)


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    printed, _ = process.communicate(timeout=LIMIT_S)
    return process.returncode, printed


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    found = World(tmp_path_factory.mktemp("ray"))
    make_clip_folder(found.folder / "small_clip")
    (found.folder / "told.py").write_text(dedent(PLUGIN))
    (found.folder / "beside_told.py").write_text("SCALE = 2.0\n")
    status, printed = found.run("one")
    assert status == 0, printed
    yield found
    for process in found.started:
        process.kill()


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


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    pytest.importorskip("ray", reason="the extra [ray] is not installed")
    process = subprocess.Popen(
        [sys.executable, "-c", dedent(CLUSTER)],
        env=os.environ | {MARK: str(os.getpid())},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert process.stdin is not None and process.stdout is not None
    address = next(line.split()[1] for line in process.stdout if line.startswith("at "))
    assert of_the_cluster()
    yield Nodes(address, process)
    process.stdin.close()
    process.stdout.close()
    assert process.wait(timeout=LIMIT_S) == 0
    until = time.monotonic() + 60
    while left := of_the_cluster():
        assert time.monotonic() < until, left
        time.sleep(0.2)


@pytest.mark.slow
def test_a_cluster_writes_what_one_process_writes(world: World, nodes: Nodes) -> None:
    process = world.start("two", "--ray", nodes.address, hold=True)
    # Two cells wait on different nodes until both run.
    world.wait("two", lambda: len({node for s, node, _ in world.fits("two") if s}) == 2, process)
    world.release("two")
    status, printed = ended(process)
    assert status == 0, printed
    assert "raylet" not in printed and "Traceback" not in printed
    world.same("two")
    assert Counter(seed for seed, *_ in world.fits("two")) == dict.fromkeys(range(4), 1)


@pytest.mark.slow
def test_a_method_that_kills_its_process_is_a_failed_cell_and_no_lost_node(
    world: World, nodes: Nodes
) -> None:
    status, printed = world.run("dead", "--ray", nodes.address, "--set", "told.how=kill")
    assert status == 1, printed
    found = world.records("dead")
    assert {s for (m, s), r in found.items() if r.status == "failed"} == set(range(4))
    assert "SIGKILL" in str(found["told", 0].error)
    assert found["ncm", 0].status == found["linear_probe", 3].status == "done"
    assert Counter(seed for seed, *_ in world.fits("dead")) == dict.fromkeys(range(4), 1)
    assert "run again" not in printed


@pytest.mark.slow
def test_an_actor_that_is_killed_loses_no_cell(world: World, nodes: Nodes) -> None:
    process = world.start("actor", "--ray", nodes.address, hold=True)
    world.wait("actor", lambda: any(seed for seed, *_ in world.fits("actor")), process)
    lost, _, actor = next(fit for fit in world.fits("actor") if fit[0])
    os.kill(actor, signal.SIGKILL)
    world.wait("actor", lambda: [s for s, *_ in world.fits("actor")].count(lost) == 2, process)
    world.release("actor")
    status, printed = ended(process)
    assert status == 0, printed
    assert "run again" in printed
    world.same("actor")


@pytest.mark.slow
def test_a_driver_that_is_killed_goes_on_with_the_same_command(world: World, nodes: Nodes) -> None:
    process = world.start("again", "--ray", nodes.address, hold=True)

    def waiting() -> bool:
        return bool(list((world.folder / "again").glob("records/*.json"))) and any(
            seed for seed, *_ in world.fits("again")
        )

    world.wait("again", waiting, process)
    process.kill()
    process.communicate()
    kept = world.records("again")
    before = Counter(seed for seed, *_ in world.fits("again"))
    status, printed = world.run("again", "--ray", nodes.address)
    assert status == 0, printed
    world.same("again")
    fits = Counter(seed for seed, *_ in world.fits("again"))
    for seed in range(4):  # what has a record is not fitted again
        expected = before[seed] if ("told", seed) in kept else before[seed] + 1
        assert fits[seed] == expected


@pytest.mark.slow
def test_arrays_travel_and_other_data_must_be_there(world: World, nodes: Nodes) -> None:
    file = world.folder / "data" / "elsewhere.py"
    file.parent.mkdir()
    file.write_text(dedent(DATA_SET))
    words = ["--plugin", str(file), "--datasets", "elsewhere", "--select", "val"]
    status, printed = world.run("arrays", *words)
    assert status == 0, printed
    status, printed = world.run("sent", *words, "--ray", nodes.address)
    assert status == 0, printed
    one, two = world.records("arrays"), world.records("sent")
    assert one.keys() == two.keys() and len(one) == 9
    for row, record in one.items():
        assert two[row].key == record.key and two[row].metrics == record.metrics
        assert record.provenance is not None and two[row].provenance is not None
        assert two[row].provenance.split_hash == record.provenance.split_hash
    status, printed = world.run(
        "absent", *words, "--ray", nodes.address, "--set", "elsewhere.files=true"
    )
    assert status == 2
    assert "its files are not here. (On the node " in " ".join(printed.split())
    assert world.records("absent") == {}


ON_GPUS = """
    import sys
    from dataclasses import replace
    from benchmarks.run import runner
    from benchmarks.run.display import Silent
    from benchmarks.run.options import RunOptions
    from benchmarks.run.ray_cluster import ray_slots
    from benchmarks.sweep import plan
    from benchmarks.sweep.settings import read_sweep

    folder, address, out = sys.argv[1:]
    sweep = read_sweep(None, {
        "methods": "told", "seeds": "1,2,3,4", "datasets": "glyphs100_lt", "device": "cpu",
        "plugin": [f"{folder}/told.py"], "out": out, "backbone": f"local-dir:{folder}/small_clip",
        "set": [f"glyphs100_lt.{x}" for x in ("classes=4", "n_max=35", "test_per_class=4")],
    })
    cells = plan.expand(sweep).cells
    options = RunOptions.of(sweep)  # of the processor, in places that GPUs make
    on_ray = replace(sweep, ray=address, per_gpu=2)
    options = replace(options, slots=tuple(ray_slots(on_ray, gpu=True)))
    assert {r.status for r in runner.run(cells, options, Silent())} == {"done"}
"""


@pytest.mark.slow
def test_a_worker_sees_the_gpu_of_its_place(world: World, nodes: Nodes) -> None:
    """Two places on each of two GPUs, in which Ray believes; four cells wait for each other."""
    out, log = world.folder / "gpus", world.folder / "gpus.log"
    log.touch()
    process = subprocess.Popen(
        [sys.executable, "-c", dedent(ON_GPUS), str(world.folder), nodes.address, str(out)],
        env=os.environ | {
            "LONGTAIL_VLM_TEST_LOG": str(log), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT),
            "LONGTAIL_VLM_TEST_HOLD": str(world.folder / "gpus.go"),
        },
        text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    world.wait("gpus", lambda: len(world.fits("gpus")) == 4, process)
    world.release("gpus")
    status, printed = ended(process)
    assert status == 0, printed
    seen = [line.split()[3] for line in log.read_text().splitlines()]
    assert sorted(seen) == ["0", "0", "1", "1"]


@pytest.mark.slow
def test_a_cluster_with_another_version_is_refused(world: World, nodes: Nodes) -> None:
    code = (
        "import sys, ray; ray.__version__ = '1.0'; import run_benchmarks; "
        "sys.exit(run_benchmarks.main(sys.argv[1:]))"
    )
    words = ["--methods", "ncm", *DATA, "--backbone", f"local-dir:{world.folder / 'small_clip'}"]
    found = subprocess.run(
        [sys.executable, "-c", code, *words, "--device", "cpu", "--ray", nodes.address,
         "--out", str(world.folder / "none")],
        cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S,
    )  # fmt: skip
    assert found.returncode == 2, found
    assert found.stderr.count("\n") == 1 and "Version mismatch" in found.stderr
    assert not list(world.folder.glob("none/records/*"))


@pytest.mark.slow
def test_the_cells_of_a_node_that_dies_are_run_elsewhere(world: World, nodes: Nodes) -> None:
    """Runs last: the cluster has one node afterwards."""
    process = world.start("node", "--ray", nodes.address, hold=True)
    world.wait("node", lambda: len({n for s, n, _ in world.fits("node") if s}) == 2, process)
    nodes.lose_one()
    world.release("node")
    status, printed = ended(process)
    assert status == 0, printed
    assert "raylet" not in printed and "Traceback" not in printed
    world.same("node")
    assert max(Counter(seed for seed, *_ in world.fits("node")).values()) <= 2


@pytest.mark.children
@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--ray", "127.0.0.1:1"], "--ray 127.0.0.1:1: nothing answers there"),
        (["--ray", "local", "--debug"], "leave --jobs, --gpus and --ray out"),
        (["--ray", "local", "--gpus", "0"], "--ray and --gpus"),
        (["--ray", "nowhere"], "neither auto, local nor the address"),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_begins(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], says: str
) -> None:
    words = ["--methods", "ncm", *DATA, "--device", "cpu", "--out", str(tmp_path / "none"), *flags]
    if "--debug" in flags:
        with pytest.raises(UserError, match=says):
            run_benchmarks.main(words)
    else:
        assert run_benchmarks.main(words) == 2
        assert says in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "none").exists()


def test_ray_is_an_extra(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert run_benchmarks.main(["--ray", "local", "--out", str(tmp_path / "none")]) == 2
    assert "--ray needs the package ray: `pip install -e '.[ray]'`" in capsys.readouterr().err


def test_places_are_made_of_cpus_and_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    nodes = [{"CPU": 8.0, "memory": 4e9}, {"CPU": 5.0, "GPU": 2.0, "memory": 9e9}]
    sweep = Sweep(ray="auto", device="cpu")

    def made(gpu: bool = False, **flags: Any) -> tuple[int, int | None, float, float]:
        found = places(replace(sweep, **flags), nodes, gpu=gpu)
        assert {slot.largest for slot in found} == {9e9}
        return len(found), found[0].threads, found[0].cpus, found[0].gpus

    assert made() == (13, 1, 1, 0.0)
    assert made(jobs="3") == (3, 4, 4, 0.0)  # 5 would leave two places
    assert made(jobs="20") == (13, 1, 1, 0.0)
    assert made(gpu=True) == (2, 2, 2, 1.0)
    # All 8 places find a part of the 5 CPUs.
    assert made(gpu=True, per_gpu=4) == (8, 1, 0.62, 0.25)
    assert made(gpu=True, per_gpu=4, jobs="3") == (3, 1, 0.62, 0.25)
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert made() == (2, 5, 5, 0.0)
    monkeypatch.setenv("OMP_NUM_THREADS", "9")
    with pytest.raises(UserError, match="no node of the cluster has 9 CPUs"):
        made()
    with pytest.raises(UserError, match="no node of the cluster has a GPU"):
        places(sweep, nodes[:1], gpu=True)
    with pytest.raises(UserError, match="the cluster has GPUs, and this machine sees none"):
        made(device="auto")
    with pytest.raises(UserError, match="--per-gpu: the cells of this run use no GPU"):
        made(per_gpu=2)


def test_a_place_asks_for_the_memory_of_its_unit() -> None:
    one, two = places(
        Sweep(ray="auto", device="cpu", jobs="2"), [{"CPU": 2, "memory": 1e9}], gpu=False
    )
    small, large = Memory(host=4e8, gpu=0), Memory(host=5e9, gpu=0)
    one.take(small)
    assert one.memory == 4e8 and two.memory == 0
    assert two.fits(small) and not two.fits(large)
    one.give_back(small)
    two.take(large)  # alone, and no node has so much
    assert two.memory == 1e9


def test_what_fits_cells_travels_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    (folder / "package").mkdir(parents=True)
    for name in ("told.py", "beside.py", "package/__init__.py", "package/table.csv", "big.bin"):
        (folder / name).write_text("x = 1")
    plugin = PluginFile.at(folder / "told.py")
    copy = tmp_path / "copy"
    copy.mkdir()
    assert pack(copy, [plugin]) == []
    sent = there(plugin)
    assert isinstance(sent, PluginFile)
    assert sent.module == plugin.module and sent.typed == plugin.typed
    beside = copy / sent.path.parent
    names = {str(p.relative_to(beside)) for p in beside.rglob("*") if p.is_file()}
    assert names == {"told.py", "beside.py", "package/__init__.py", "package/table.csv"}
    assert {p.name for p in copy.iterdir()} == {"benchmarks", "methods", "results", "plugins"}
    assert (copy / "results" / "published.yaml").is_file()
    assert sum(p.stat().st_size for p in copy.rglob("*")) < 20 * 2**20


def test_a_folder_to_import_from_is_one_on_the_nodes_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "told.py").touch()
    plugin = PluginFile.at(tmp_path / "mine" / "told.py")
    monkeypatch.syspath_prepend(tmp_path / "mine")
    (tmp_path / "copy").mkdir()
    sent = there(plugin)
    assert isinstance(sent, PluginFile)
    assert pack(tmp_path / "copy", [plugin]) == [str(sent.path.parent)]


def test_too_much_beside_a_plugin_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_parcel, "LARGEST_COMPANY", 5)
    (tmp_path / "told.py").write_text("x = 12345")
    with pytest.raises(UserError, match="move the plug-in to a folder of its own"):
        pack(tmp_path / "copy", [PluginFile.at(tmp_path / "told.py")])


def arrays(count: int, validation: bool = False) -> DataSet:
    def split(name: str) -> Split:
        pixels = np.arange(count * 12, dtype=np.uint8).reshape(count, 2, 2, 3)
        labels = np.arange(count) % 3
        ids = tuple(f"{name} {i}" for i in range(count))
        # Made when it is read, under the digest of a file: neither can be pickled.
        return Split(ArrayImages(lambda: pixels, count, lambda: f"file {name}"), labels, ids)

    held_out = split("held out")
    return DataSet(
        "three", "single", "1", "none", Texts(("a", "b", "c"), ("{}",)),
        split("train"), split("test"), validation=(lambda: held_out) if validation else None,
    )  # fmt: skip


@pytest.mark.parametrize("validation", [False, True])
def test_arrays_travel_without_test_labels(validation: bool) -> None:
    data = arrays(9, validation)
    sent = portable(data)
    assert sent is not None
    got: DataSet = pickle.loads(pickle.dumps(sent))
    assert got.split_hash == data.split_hash
    assert got.test.withheld and set(got.test.labels) == {-1} and "test 3" not in got.test.ids
    pairs: Sequence[tuple[Split, Split]] = [(data.train, got.train), (data.test, got.test)]
    if validation:
        assert data.validation is not None and got.validation is not None
        pairs = [*pairs, (data.validation(), got.validation())]
        assert np.array_equal(pairs[-1][0].labels, pairs[-1][1].labels)
    for a, b in pairs:
        assert a.images.digest() == b.images.digest()
        assert all(np.array_equal(a.images.read(i), b.images.read(i)) for i in range(9))
    assert np.array_equal(got.train.labels, data.train.labels)


def test_images_in_files_do_not_travel() -> None:
    class Files:
        def __len__(self) -> int:
            return 3

        def read(self, index: int) -> np.ndarray:
            raise AssertionError("it is not read")

        def digest(self) -> str:
            return "files"

    files = Split(Files(), np.arange(3), ("x", "y", "z"))
    data = arrays(3)
    assert portable(DataSet("f", "single", "1", "none", data.texts, files, data.test)) is None
