"""Cells in worker processes, with methods that harm the process that they run in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest

import run_benchmarks
from benchmarks.processes import staying_here
from results.schema import Record
from results.store import Store
from tests.benchmarks.small import DATA, forgetting_plugins, make_clip_folder

HARM = '''
    import ctypes, gc, os, signal, sys, threading
    from dataclasses import dataclass

    import numpy as np
    import torch

    from methods.base import Method, Predictor
    from methods.registry import register


    def predictor(task, **rest):
        weight = task.normal_per_class("weight", 16)
        return Predictor(lambda batch: batch.inputs @ weight.T, **rest)


    @register("harm", paper="-", needs="features")
    @dataclass(frozen=True)
    class Harm(Method):
        """Does what it is told."""

        how: str = "none"

        def fit(self, task):
            if task.seed == 0:  # the other seed is innocent
                eval(HOW[self.how])(task)
            return predictor(task)


    @register("seeds_at_once", paper="-", needs="features")
    @dataclass(frozen=True)
    class SeedsAtOnce(Method):
        """Fits its seeds together; seed 0 ends the process."""

        def fit(self, task):
            return self.fit_many([task])[0]

        def fit_many(self, tasks):
            if any(task.seed == 0 for task in tasks):
                os.kill(os.getpid(), signal.SIGKILL)
            return [predictor(task) for task in tasks]


    def labels_in_reach(task):
        """Look for arrays with a label for each of the 16 test images."""
        gc.unfreeze()
        seen, left, hits = set(), list(gc.get_objects()), 0
        for frame in sys._current_frames().values():
            while frame is not None:
                left += list(frame.f_locals.values())
                frame = frame.f_back
        while left:
            one = left.pop()
            if id(one) in seen or isinstance(one, (str, bytes, type)):
                continue
            seen.add(id(one))
            if type(one) in (np.ndarray, np.memmap, torch.Tensor) and tuple(one.shape) == (16,):
                hits += sorted(np.asarray(one).tolist()) == sorted([0, 1, 2, 3] * 4)
            elif type(one) not in (np.ndarray, np.memmap, torch.Tensor):
                left += gc.get_referents(one)
        print("labels in reach:", hits, "objects:", len(seen) > 1000)


    def threads(task):
        torch.set_num_threads(3)
        torch.set_float32_matmul_precision("medium")


    HOW = {
        "exit": "lambda task: sys.exit(0)",
        "os_exit": "lambda task: os._exit(0)",
        "crash": "lambda task: ctypes.string_at(0)",
        "interrupt": "lambda task: exec('raise KeyboardInterrupt')",
        "generator": "lambda task: exec('raise GeneratorExit')",
        "recursion": "lambda task: (lambda f: f(f))(lambda f: f(f))",
        "shout": "lambda task: exec('raise ValueError(\\"x\\" * 30_000_000)')",
        "close": "lambda task: sys.stdout.close() or os.close(1)",
        "features": "lambda task: task.train.features().numpy().__isub__(1)",
        "labels": "lambda task: task.train.labels.data.zero_()",
        "weights": "lambda task: next(task.backbone.model.parameters()).data.zero_()",
        "threads": "threads",
        "seek": "labels_in_reach",
        "hang": "lambda task: threading.Event().wait()",
        "none": "lambda task: None",
    }
'''

pytestmark = pytest.mark.children
ENDS = {
    "exit": "SystemExit: 0",
    "os_exit": "its process ended by itself, with exit status 0",
    "crash": "SIGSEGV",
    "interrupt": "KeyboardInterrupt",
    "generator": "GeneratorExit",
    "recursion": "RecursionError",
    "shout": "30,000,012 characters, shortened",
    "features": "the training features in place",
    "labels": "the training labels in place",
    "weights": "the backbone's weights",
}
"""Harm that fails the cell -> part of the reason."""
SPARES = ("close", "threads", "seek", "none")
"""Harm after which the cell is done."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., int]]:
    """Runs a command with the plug-in of this file in a folder of its own."""
    folder = tmp_path_factory.mktemp("workers")
    model = make_clip_folder(folder / "small_clip")
    (folder / "harm.py").write_text(dedent(HARM))

    def run(out: str, *words: str, here: bool = False) -> int:
        backbone = ["--backbone", f"local-dir:{model}", "--device", "cpu"]
        with forgetting_plugins(), staying_here(here):
            return run_benchmarks.main(
                [*words, *DATA, *backbone, "--out", str(folder / out),
                 "--plugin", str(folder / "harm.py")]
            )  # fmt: skip

    run.folder = folder  # type: ignore[attr-defined]
    yield run


def sweep(folder: Path, name: str, hows: tuple[str, ...]) -> Path:
    """Write a sweep with a suite method before and after every kind of harm."""
    rows = ["  - ncm", *(f"  - harm: {{how: {how}}}" for how in hows), "  - linear_probe"]
    file = folder / f"{name}.yaml"
    file.write_text("\n".join(["methods:", *rows, "seeds: [0, 1]", "set:",
                               "  linear_probe: {epochs: 1}"]))  # fmt: skip
    return file


def by_row(out: Path) -> dict[tuple[str, int], Record]:
    found, problems = Store(out).all()
    assert problems == []
    return {(str(r.config.get("how", r.method)), r.seed): r for r in found}


def test_harm_stays_with_its_cell(
    world: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    folder: Path = world.folder  # type: ignore[attr-defined]
    hows = ("os_exit", "features", "threads", "seek")
    assert world("harmed", "--config", str(sweep(folder, "harm", hows))) == 1
    printed = capsys.readouterr()
    assert "Traceback" not in printed.out + printed.err
    assert world("peace", "--methods", "ncm,linear_probe", "--seeds", "0,1",
                 "--set", "linear_probe.epochs=1", here=True) == 0  # fmt: skip
    check(folder, "harmed", hows)


@pytest.mark.slow
def test_every_harm_stays_with_its_cell(world: Callable[..., int]) -> None:
    folder: Path = world.folder  # type: ignore[attr-defined]
    hows = (*ENDS, *SPARES)
    assert world("all", "--config", str(sweep(folder, "all", hows))) == 1
    assert world("peace", "--methods", "ncm,linear_probe", "--seeds", "0,1",
                 "--set", "linear_probe.epochs=1") == 0  # fmt: skip
    check(folder, "all", hows)


def check(folder: Path, out: str, hows: tuple[str, ...]) -> None:
    """Check that the harmful cells failed with their reasons, and no other cell differs."""
    records, peace = by_row(folder / out), by_row(folder / "peace")
    assert len(records) == 2 * len(hows) + 3  # ncm runs once
    for how in hows:
        record = records[how, 0]
        assert record.status == ("failed" if how in ENDS else "done"), (how, record.error)
        if how in ENDS:
            assert ENDS[how] in (record.error or "")
            assert len(record.error or "") < 2100
        assert records[how, 1].status == "done", (how, records[how, 1].error)
    for row, expected in peace.items():
        assert records[row].metrics == expected.metrics
        ones, others = (Store(folder / name).predictions(expected.key) for name in (out, "peace"))
        assert all(np.array_equal(ones[name], others[name]) for name in ones)
    if "threads" in hows:
        (remark,) = records["threads", 0].details
        assert remark.startswith("put back") and "threads" in remark and "matmul" in remark
    if "seek" in hows:
        log = (folder / out / "logs" / f"{records['seek', 0].key}.txt").read_text()
        assert "labels in reach: 0 objects: True" in log


@pytest.mark.slow
def test_a_cell_that_hangs_fails_and_its_batch_goes_on(world: Callable[..., int]) -> None:
    folder: Path = world.folder  # type: ignore[attr-defined]
    file = sweep(folder, "hang", ("hang",))
    # The others have ended long before; the limit is only waited for by the one that hangs.
    assert world("hang", "--config", str(file), "--cell-timeout", "5") == 1
    records = by_row(folder / "hang")
    assert records["hang", 0].error == "no result after 5 s a cell (--cell-timeout)"
    assert {r.status for row, r in records.items() if row != ("hang", 0)} == {"done"}


@pytest.mark.slow
def test_seeds_fitted_together_are_tried_alone_if_their_process_ends(
    world: Callable[..., int],
) -> None:
    folder: Path = world.folder  # type: ignore[attr-defined]
    assert world("together", "--methods", "seeds_at_once", "--seeds", "0,1") == 1
    records = by_row(folder / "together")
    assert "SIGKILL, as the system does when memory runs out" in (
        records["seeds_at_once", 0].error or ""
    )
    assert records["seeds_at_once", 1].status == "done"


def test_a_record_that_vanishes_is_said(
    world: Callable[..., int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder: Path = world.folder  # type: ignore[attr-defined]
    write = Store.write

    def vanishing(self: Store, record: Record, predictions: object) -> None:
        write(self, record, predictions)  # type: ignore[arg-type]
        if record.method == "ncm":
            (self.folder / f"{record.key}.json").unlink()

    monkeypatch.setattr(Store, "write", vanishing)
    assert world("gone", "--methods", "ncm,zero_shot", here=True) == 1
    assert "1 of 2 cells left no record" in " ".join(capsys.readouterr().out.split())
    assert [r.method for r in Store(folder / "gone").all()[0]] == ["zero_shot"]
