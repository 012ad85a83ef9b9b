"""Work that runs ahead of the loop that needs it, in threads.

Threads and not processes: what takes time (reading files, decoding, resizing, copying arrays) lets
go of Python's lock, nothing has to be pickled, and an error is the very exception that was raised.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from itertools import islice
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")

AHEAD = 2
"""Results that are made before they are asked for."""


def processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


THREADS = min(16, processors())
"""Items worked on at a time, by the whole process."""
_NAME = "images"
"""Of those threads."""


def in_threads(function: Callable[[A], B], items: Iterable[A]) -> Generator[B, None, None]:
    """`map` by several threads, results in order.

    The process has one pool of threads for it; called from one of them, this is a plain `map`. A
    few items more than there are threads are in the pool at a time: results do not pile up.
    """
    if threading.current_thread().name.startswith(_NAME):
        return (function(item) for item in items)
    return _in_order(_pool(), function, items, 4 * THREADS)


def ahead(
    make: Callable[[A], B], parts: Iterable[A], *, depth: int = AHEAD
) -> Generator[B, None, None]:
    """`map(make, parts)`, in order, made while the caller works on the results before.

    For parts of some size, batches for example; `make` may use `in_threads`. Nothing starts before
    the first result is asked for. When the caller stops early, closes the iterator or raises, what
    was not begun is never made and the threads end with what they are at. An error that `make`
    raises is raised at the place of its result.

    Args:
        make: called in another thread: torch's autocast and gradient modes are not the caller's.
        parts: what it is called with.
        depth: results that may be made or waiting at a time; memory is bounded by it.

    Returns:
        The results; closing it ends the threads.
    """
    # Two, so that one part's images are decoded while another's are put together.
    with ThreadPoolExecutor(min(2, depth), thread_name_prefix="ahead") as makers:
        yield from _in_order(makers, make, parts, depth)


def _in_order(
    pool: ThreadPoolExecutor, function: Callable[[A], B], items: Iterable[A], most: int
) -> Generator[B, None, None]:
    """Results of a pool in the order of the items, `most` of them in the pool at a time."""
    left = iter(items)
    begun: deque[Future[B]] = deque()
    try:
        begun.extend(pool.submit(function, item) for item in islice(left, most))
        while begun:
            result = begun.popleft().result()
            begun.extend(pool.submit(function, item) for item in islice(left, 1))
            yield result
    finally:
        for future in begun:
            future.cancel()


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, thread_name_prefix=_NAME)


if hasattr(os, "register_at_fork"):  # a forked process has none of its parent's threads
    os.register_at_fork(after_in_child=_pool.cache_clear)
