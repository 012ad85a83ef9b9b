"""Work in threads, parallel and ahead of the caller."""

from __future__ import annotations

import os
import runpy
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from benchmarks import loading
from benchmarks.loading import THREADS, ahead, in_threads

WAIT_S = 20


def _settles(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + WAIT_S
    while not condition() and time.monotonic() < end:
        time.sleep(0.001)
    return condition()


def _makers() -> int:
    return sum(thread.name.startswith("ahead") for thread in threading.enumerate())


def test_results_come_in_order() -> None:
    def slow_first(i: int) -> int:
        time.sleep(0.02 if i == 0 else 0)
        return i * i

    squares = [i * i for i in range(100)]
    assert list(in_threads(slow_first, range(100))) == squares
    assert list(ahead(slow_first, range(100))) == squares
    assert list(ahead(slow_first, [])) == []


def test_threads_are_reused() -> None:
    def thread(_: int) -> str:
        return threading.current_thread().name

    names = {name for _ in range(20) for name in in_threads(thread, range(20))}
    assert len(names) <= THREADS


def test_a_limited_number_of_results_is_prefetched() -> None:
    made: list[int] = []
    results = ahead(lambda i: made.append(i) or i, range(100), depth=3)
    time.sleep(0.01)
    assert made == []  # none was requested yet
    for i, result in enumerate(results):
        assert result == i
        assert _settles(lambda i=i: len(made) == min(i + 4, 100))
    assert sorted(made) == list(range(100))


def test_items_are_consumed_as_needed() -> None:
    taken = []

    def items() -> Iterator[int]:
        for i in range(10_000):
            taken.append(i)
            yield i

    results = in_threads(lambda i: i, items())
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    assert len(taken) <= 4 * THREADS + 3
    results.close()


def test_an_error_is_raised_in_place_of_its_result() -> None:
    def fails_at_two(i: int) -> int:
        if i == 2:
            raise KeyError("two")
        return i

    for several in (in_threads, ahead):
        results = several(fails_at_two, range(50))
        assert [next(results), next(results)] == [0, 1]
        with pytest.raises(KeyError, match="two"):
            next(results)
        with pytest.raises(StopIteration):
            next(results)
    assert _makers() == 0
    assert list(in_threads(abs, [-1])) == [1]  # the pool still works


@pytest.mark.parametrize("ending", ["closed", "forgotten", "raises"])
def test_stopping_early_leaves_no_thread_running(ending: str) -> None:
    made: list[int] = []
    results = ahead(lambda i: made.append(i) or i, range(1000))
    assert next(results) == 0
    assert _makers() > 0
    if ending == "closed":
        results.close()
    elif ending == "raises":
        with pytest.raises(ValueError, match="thrown"):
            results.throw(ValueError("thrown"))
    del results
    assert _makers() == 0
    assert len(made) <= 3


def test_parts_that_were_not_started_are_never_made() -> None:
    made: list[int] = []

    def slow(i: int) -> int:
        time.sleep(0.02)
        made.append(i)
        return i

    results = ahead(slow, range(1000), depth=30)
    assert next(results) == 0
    results.close()
    assert len(made) < 20


def test_make_may_use_in_threads() -> None:
    def total(n: int) -> int:
        return sum(in_threads(lambda i: i, range(n)))

    assert list(ahead(total, range(60))) == [n * (n - 1) // 2 for n in range(60)]


def test_in_threads_may_be_nested() -> None:
    def total(n: int) -> int:
        return sum(in_threads(lambda i: i, range(n)))

    assert list(in_threads(total, range(60))) == [n * (n - 1) // 2 for n in range(60)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_starts_its_own_threads() -> None:
    assert list(in_threads(abs, [-2])) == [2]
    child = os.fork()
    if child == 0:
        os._exit(0 if list(in_threads(abs, [-3])) == [3] else 1)
    end = time.monotonic() + WAIT_S
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < end:
        time.sleep(0.01)
    if ended == (0, 0):
        os.kill(child, 9)
        os.waitpid(child, 0)
    assert ended == (child, 0)


def test_threads_follow_the_share_of_a_container(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.limits.processors", lambda: 1)
    assert runpy.run_path(loading.__file__)["THREADS"] == 1
