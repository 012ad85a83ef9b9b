"""Tasks of a scheduler: what is put together, and how a run finds its part."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.errors import UserError
from benchmarks.run.tasks import SHORTEST_S, Task, part_named, tasks_of, write_tasks
from benchmarks.run.units import Unit
from benchmarks.sweep import plan
from benchmarks.sweep.cell import Cell
from benchmarks.sweep.memory_needs import Memory
from benchmarks.sweep.settings import read_sweep
from tests.benchmarks.small import FIELDS


@pytest.fixture(scope="module")
def cells() -> list[Cell]:
    """Four cells on each of two data sets."""
    fields = [f"glyphs100_lt.{name}={value}" for name, value in FIELDS.items()]
    flags = {"methods": "linear_probe", "datasets": "glyphs100_lt,glyphscenes_lt", "set": fields}
    return plan.expand(read_sweep(None, flags | {"seeds": "0,1,2,3"})).cells


def units(cells: Sequence[Cell], memory: float = 1.0) -> list[Unit]:
    return [Unit((cell,), 0.0, Memory(memory, 0)) for cell in cells]


def seeds(tasks: Sequence[Task]) -> list[list[tuple[str, int]]]:
    return [[(cell.dataset[:8], cell.seed) for cell in task.cells] for task in tasks]


def test_units_of_a_bench_are_put_together_until_they_take_some_minutes(cells: list[Cell]) -> None:
    each = 0.6 * SHORTEST_S
    some = [cell for cell in cells if cell.seed < 3]
    tasks = tasks_of(units(some), lambda some: each * len(some))
    a, b = "glyphs10", "glyphsce"
    assert seeds(tasks) == [[(a, 0), (a, 1)], [(b, 0), (b, 1)], [(a, 2)], [(b, 2)]]
    assert [task.seconds for task in tasks] == [2 * each, 2 * each, each, each]


def test_the_longest_task_comes_first_and_one_of_unknown_length_is_alone(
    cells: list[Cell],
) -> None:
    known = {0: 1.0, 1: None, 2: 2.0, 3: 5 * SHORTEST_S}

    def seconds(some: Sequence[Cell]) -> float | None:
        found = [known[cell.seed] for cell in some]
        return None if None in found else math.fsum(s for s in found if s is not None)

    tasks = tasks_of(units(cells[:4]), seconds)
    assert [[cell.seed for cell in task.cells] for task in tasks] == [[1], [2, 3], [0]]
    assert [task.seconds for task in tasks] == [None, 2 + 5 * SHORTEST_S, 1.0]


def test_a_task_needs_the_memory_of_its_largest_unit(cells: list[Cell]) -> None:
    some = [Unit((cell,), 0.0, Memory(size, 9e9)) for cell, size in zip(cells, (3.0, 8.0, 5.0))]  # noqa: B905
    (task,) = tasks_of(some, lambda _: 1.0)
    assert task.memory == 8.0


def test_each_part_of_a_file_is_found_again(tmp_path: Path, cells: list[Cell], cache: Path) -> None:
    tasks = tasks_of(units(cells), lambda some: SHORTEST_S)
    file = write_tasks(tmp_path, tasks)
    assert file.parent.parent == tmp_path / "slurm"
    for number, task in enumerate(tasks):
        part = part_named(f"{file}:{number}")
        assert not part.reports
        assert part.of(cells) == task.cells
    report = part_named(f"{file}:report")
    assert report.reports
    assert report.of(cells) == cells
    assert write_tasks(tmp_path, tasks) == file
    assert write_tasks(tmp_path, tasks[1:]) != file


def test_what_is_no_part_is_one_line(tmp_path: Path, cells: list[Cell]) -> None:
    file = write_tasks(tmp_path, tasks_of(units(cells[:2]), lambda some: SHORTEST_S))
    with pytest.raises(UserError, match=r"there are 2 tasks, from 0"):
        part_named(f"{file}:2")
    for text in ("", "7", str(file), f"{file}:-1", f"{file}:x", f"{file}:²"):
        with pytest.raises(UserError, match=r"write FILE:I"):
            part_named(text)
    with pytest.raises(UserError, match=r"none/tasks.json is not on .*: .* storage that all nodes"):
        part_named("none/tasks.json:0")
    with pytest.raises(UserError, match=r"1 of the 1 cells are not in this sweep: .* it again"):
        part_named(f"{file}:0").of(cells[1:])
    for content in ("", "[]", "{}", '{"tasks": 3}', '{"tasks": [3]}'):
        file.write_text(content)
        with pytest.raises(UserError, match=r"cannot be read as a file of tasks"):
            part_named(f"{file}:0")


def test_a_cache_that_is_not_shared_is_said(
    tmp_path: Path,
    cells: list[Cell],
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    file = write_tasks(tmp_path, tasks_of(units(cells), lambda some: SHORTEST_S))
    part_named(f"{file}:0")
    assert not caplog.records
    monkeypatch.setenv("LONGTAIL_VLM_CACHE", str(tmp_path / "of a node"))
    part_named(f"{file}:0")
    assert "is not the one of the machine that submitted" in caplog.text
    monkeypatch.setenv("LONGTAIL_VLM_CACHE", str(cache))
    part_named(f"{file}:report").forget()
    assert list(cache.iterdir()) == []
