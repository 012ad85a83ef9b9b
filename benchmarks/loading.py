"""Parallel and prefetched work in threads: images are loaded while the caller computes.

Threads instead of processes: the slow operations (reading files, decoding, resizing, copying
arrays) release Python's global lock, nothing has to be pickled, and errors keep their type and
traceback.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from itertools import islice
from typing import TypeVar

from benchmarks.limits import processors

A = TypeVar("A")
B = TypeVar("B")

AHEAD = 2
"""Results that are made before the caller requests them."""


THREADS = min(16, processors())
"""Size of the process's thread pool for images."""
_THREAD_NAME = "images"


def in_threads(function: Callable[[A], B], items: Iterable[A]) -> Generator[B, None, None]:
    """`map` by several threads, with results in order.

    The process has one thread pool for it; called from one of its threads, this is a plain `map`.
    At most four items per thread are submitted at a time, so that results do not pile up.
    """
    if threading.current_thread().name.startswith(_THREAD_NAME):
        return (function(item) for item in items)
    return _in_order(_pool(), function, items, 4 * THREADS)


def ahead(
    make: Callable[[A], B], parts: Iterable[A], *, depth: int = AHEAD
) -> Generator[B, None, None]:
    """`map(make, parts)` in order, prefetched while the caller works on earlier results.

    Meant for large parts such as batches; `make` may use `in_threads`. Nothing starts before the
    first result is requested. When the caller stops early, closes the iterator or raises, parts
    that were not started are skipped and the threads end after their current part. An error that
    `make` raises is raised in place of its result.

    Args:
        make: called in another thread, where torch's autocast and gradient modes are not the
            caller's.
        parts: arguments of `make`.
        depth: results in progress or waiting at a time; bounds the memory.

    Returns:
        The results; closing the generator ends the threads.
    """
    # Two threads: one part's images are decoded while another part is stacked.
    with ThreadPoolExecutor(min(2, depth), thread_name_prefix="ahead") as makers:
        yield from _in_order(makers, make, parts, depth)


def _in_order(
    pool: ThreadPoolExecutor, function: Callable[[A], B], items: Iterable[A], limit: int
) -> Generator[B, None, None]:
    """Results of a pool in the order of the items, at most `limit` submitted at a time."""
    remaining = iter(items)
    submitted: deque[Future[B]] = deque()
    try:
        submitted.extend(pool.submit(function, item) for item in islice(remaining, limit))
        while submitted:
            result = submitted.popleft().result()
            submitted.extend(pool.submit(function, item) for item in islice(remaining, 1))
            yield result
    finally:
        for future in submitted:
            future.cancel()


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, thread_name_prefix=_THREAD_NAME)


if hasattr(os, "register_at_fork"):  # a forked process inherits no threads
    os.register_at_fork(after_in_child=_pool.cache_clear)
