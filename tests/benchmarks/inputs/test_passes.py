"""A pass is computed by one process: who owns it, who waits, and who takes it over."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import Tensor

from benchmarks import claims
from benchmarks.inputs import passes
from benchmarks.inputs.feature_files import read_rows, write_rows
from benchmarks.inputs.passes import computed_once, stored_rows
from benchmarks.safe_files import this_process

BLOCKS = [range(0, 4), range(4, 8), range(8, 10)]
ROWS = torch.arange(30, dtype=torch.float32).view(10, 3)


class Computing:
    """Computes rows and notes the blocks; may wait before one of them."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.blocks: list[int] = []
        self._stop_at = stop_at
        self.there, self.go = threading.Event(), threading.Event()

    def __call__(self, blocks: Sequence[range]) -> Iterator[Tensor]:
        for block in blocks:
            if block.start == self._stop_at and not self.go.is_set():
                self.there.set()
                assert self.go.wait(60)
            self.blocks.append(block.start)
            yield ROWS[block.start : block.stop]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "image-1.safetensors"


def claim(file: Path, number: int, process: str) -> Path:
    """A claim on the pass by another process."""
    made = file.parent / "claims" / f"{file.stem}.{number}"
    made.parent.mkdir(exist_ok=True)
    made.write_text(json.dumps({"process": process, "token": "x"}))
    return made


ELSEWHERE = "00000000-1-1"
"""A process of another machine."""


def dead_here() -> str:
    """A process of this machine that has ended."""
    machine, pid, started = this_process().split("-")
    return f"{machine}-{pid}-{int(started) + 1}"


@contextmanager
def background(
    file: Path, compute: Computing, report: Callable[[int], None] = lambda _: None
) -> Iterator[Future[tuple[Tensor, bool]]]:
    with ThreadPoolExecutor(1) as pool:
        try:
            yield pool.submit(computed_once, file, BLOCKS, compute, report)
        finally:
            compute.go.set()


def checked(result: tuple[Tensor, bool], file: Path) -> None:
    rows, stored = result
    assert stored and torch.equal(rows, ROWS)
    assert torch.equal(read_rows(file), ROWS)  # type: ignore[arg-type]


def test_those_who_wait_see_how_far_the_owner_is(file: Path) -> None:
    owner, waiter = Computing(stop_at=8), Computing()
    seen: list[int] = []

    def report(rows: int) -> None:
        seen.append(rows)
        owner.go.set()

    with background(file, owner) as one:
        assert owner.there.wait(60)
        checked(computed_once(file, BLOCKS, waiter, report), file)
        checked(one.result(60), file)
    assert seen[0] == 8  # two blocks are stored, the third one is not
    assert (owner.blocks, waiter.blocks) == ([0, 4, 8], [])
    assert [f.name for f in file.parent.iterdir()] == [file.name]


def test_a_dead_owners_pass_goes_on_at_the_first_missing_block(file: Path) -> None:
    claim(file, 0, dead_here())
    parts = file.with_suffix(".parts")
    parts.mkdir()
    write_rows(parts / "0.safetensors", 4, [ROWS[:4]])
    (parts / "4.safetensors").write_bytes(b"half of it")
    write_rows(parts / "8.safetensors", 1, [ROWS[8:9]])
    compute = Computing()
    checked(computed_once(file, BLOCKS, compute, lambda _: None), file)
    assert compute.blocks == [4, 8]
    assert [f.name for f in file.parent.iterdir()] == [file.name]


def test_a_silent_owner_elsewhere_is_succeeded(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    claim(file, 0, ELSEWHERE)
    compute, seen = Computing(), []

    def report(rows: int) -> None:
        seen.append(rows)
        assert compute.blocks == []
        if len(seen) == 3:
            monkeypatch.setattr(claims, "SILENT_S", 0.0)

    checked(computed_once(file, BLOCKS, compute, report), file)
    assert compute.blocks == [0, 4, 8] and len(seen) >= 3


def test_an_owner_that_was_stopped_leaves_the_pass_to_its_successor(file: Path) -> None:
    stopped = Computing(stop_at=4)
    with background(file, stopped) as one:
        assert stopped.there.wait(60)
        successor = claim(file, 1, ELSEWHERE)
        stopped.go.set()
        with pytest.raises(TimeoutError):
            one.result(0.3)
        assert stopped.blocks == [0, 4]
        assert [f.name for f in file.with_suffix(".parts").iterdir()] == ["0.safetensors"]
        write_rows(file, 10, [ROWS])
        checked(one.result(60), file)
    assert stopped.blocks == [0, 4]
    assert [f.name for f in (file.parent / "claims").iterdir()] == [successor.name]


def test_what_the_last_owner_has_stored_is_not_computed_again(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = passes.look_again

    def stored_meanwhile(folder: Path) -> None:
        write_rows(file, 10, [ROWS])
        look(folder)

    monkeypatch.setattr(passes, "look_again", stored_meanwhile)
    compute = Computing()
    checked(computed_once(file, BLOCKS, compute, lambda _: None), file)
    assert compute.blocks == []


def test_without_claims_all_compute_from_the_blocks_that_there_are(file: Path) -> None:
    (file.parent / "claims").write_text("in the way")
    parts = file.with_suffix(".parts")
    parts.mkdir()
    write_rows(parts / "0.safetensors", 4, [ROWS[:4]])
    file.mkdir()  # nor can the rows be stored
    compute = Computing()
    rows, stored = computed_once(file, BLOCKS, compute, lambda _: None)
    assert torch.equal(rows, ROWS) and not stored
    assert compute.blocks == [4, 8]
    assert sorted(f.name for f in parts.iterdir()) == [f"{n}.safetensors" for n in (0, 4, 8)]


@pytest.mark.parametrize("owner", [None, "dead", "alive"])
def test_blocks_beside_stored_rows_are_removed_unless_somebody_works_on_them(
    file: Path, owner: str | None
) -> None:
    """The process that stored the rows was killed while it removed its blocks."""
    write_rows(file, 10, [ROWS])
    parts = file.with_suffix(".parts")
    parts.mkdir()
    write_rows(parts / "0.safetensors", 4, [ROWS[:4]])
    if owner is not None:
        claim(file, 0, dead_here() if owner == "dead" else ELSEWHERE)
    rows = stored_rows(file)
    assert rows is not None and torch.equal(rows, ROWS)
    assert parts.exists() == (owner == "alive")
    assert (file.parent / "claims").exists() == (owner == "alive")


def test_blocks_without_rows_are_kept(file: Path) -> None:
    parts = file.with_suffix(".parts")
    parts.mkdir()
    assert stored_rows(file) is None
    assert parts.is_dir()
