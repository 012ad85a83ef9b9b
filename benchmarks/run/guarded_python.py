"""Global state of Python and of the process that a method could change, one line for each piece.

Functions that a method gave to `atexit` cannot be listed: Python keeps no public list of them.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import decimal
import faulthandler
import gc
import locale
import logging
import multiprocessing
import os
import random
import resource
import signal
import socket
import sys
import tempfile
import threading
import time
import warnings
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.plugins.catalog import Catalog
from benchmarks.run.setting import Setting, attribute, kept, listing, mapping, none_added

_STREAMS = ("stdin", "stdout", "stderr")
_HOOKS = ("excepthook", "unraisablehook", "displayhook", "breakpointhook")
_OWN_THREADS = "images"
"""Name of the threads of `benchmarks.loading`, which stay for later cells."""
_OWN_PROCESSES = (b"multiprocessing.resource_tracker", b"multiprocessing.forkserver")
_TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
_C = ctypes.CDLL(ctypes.util.find_library("m"))
_LIMITS = {n: v for n, v in vars(resource).items() if n.startswith("RLIMIT_")}


def _set_environment(values: dict[str, str]) -> None:
    zone = os.environ.get("TZ")
    for name in os.environ.keys() - values.keys():
        del os.environ[name]
    os.environ.update({n: v for n, v in values.items() if os.environ.get(n) != v})
    if zone != values.get("TZ"):
        time.tzset()


def _is_closed(stream: str) -> bool:
    return bool(getattr(sys, stream).closed)


def _umask() -> int:
    found = os.umask(0o077)  # reading sets it: another thread's file is private meanwhile
    os.umask(found)
    return found


def _decimal() -> tuple[Any, ...]:
    now = decimal.getcontext()
    traps = tuple(name for name, on in now.traps.items() if on)
    return (now.prec, now.rounding, now.Emin, now.Emax, now.capitals, now.clamp, traps)


def _set_decimal(value: tuple[Any, ...]) -> None:
    now = decimal.getcontext()
    now.prec, now.rounding, now.Emin, now.Emax, now.capitals, now.clamp, traps = value
    for name in now.traps:
        now.traps[name] = name in traps


def _set_signals(handlers: dict[int, Any]) -> None:
    for number, handler in handlers.items():
        if signal.getsignal(number) is not handler and handler is not None:
            signal.signal(number, handler)


def _timers() -> tuple[bool, ...]:
    return tuple(signal.getitimer(which)[0] > 0 for which in _TIMERS)


def _stop_timers(running: tuple[bool, ...]) -> None:
    for which, was in zip(_TIMERS, running, strict=True):
        if not was:
            signal.setitimer(which, 0)


def _set_filters(filters: tuple[Any, ...]) -> None:
    warnings.resetwarnings()  # tells Python that filters changed, which the list alone does not
    warnings.filters.extend(filters)  # type: ignore[attr-defined]  # a list, whatever the stub says


def _threads() -> dict[int, str]:
    """Return a phrase for each thread, other than the suite's own, by number."""
    return {
        thread.ident or 0: f"a thread ({thread.name}) still runs"
        for thread in threading.enumerate()
        if not thread.name.startswith(_OWN_THREADS)
    }


def _children() -> dict[int, str]:
    """Return a phrase for each child process, by number; none where /proc does not list them."""
    found = {}
    for task in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):  # a thread that ended meanwhile
            for child in task.read_bytes().split():
                command = Path(f"/proc/{child.decode()}/cmdline").read_bytes()
                if not any(own in command for own in _OWN_PROCESSES):
                    found[int(child)] = f"a process ({child.decode()}) still runs"
    return found


def _limit(name: str, which: int) -> Setting:
    return Setting(
        f"resource.{name}",
        lambda: resource.getrlimit(which),
        lambda value: resource.setrlimit(which, value),
    )


def registry(name: str, catalog: Catalog) -> list[Setting]:
    """Return the settings of a registry: its entries, and the classes that were imported."""
    return [
        mapping(name, lambda: catalog.entries(scan_only=True)),
        Setting(
            f"{name}'s classes",
            lambda: dict(catalog._classes),
            catalog._classes.update,
            same=kept,  # a built-in class is imported when it is first used
        ),
    ]


SETTINGS: list[Setting] = [
    # First: it changes how other numbers are read.
    Setting("the processor's rounding", _C.fegetround, _C.fesetround),
    Setting("sys.settrace", sys.gettrace, sys.settrace),
    Setting("sys.setprofile", sys.getprofile, sys.setprofile),
    Setting("threading.settrace", threading.gettrace, threading.settrace),
    Setting("threading.setprofile", threading.getprofile, threading.setprofile),
    *(attribute(sys, name, f"sys.{name}") for name in (*_STREAMS, *_HOOKS)),
    attribute(threading, "excepthook", "threading.excepthook"),
    *(
        Setting(f"sys.{name}.closed", partial(_is_closed, name))
        for name in _STREAMS
        if getattr(sys, name) is not None
    ),
    *(
        listing(f"sys.{name}", partial(getattr, sys, name))
        for name in ("path", "meta_path", "path_hooks", "argv")
    ),
    Setting("sys.modules", lambda: dict(sys.modules), sys.modules.update, same=kept),
    Setting("sys.setrecursionlimit", sys.getrecursionlimit, sys.setrecursionlimit),
    Setting("sys.setswitchinterval", sys.getswitchinterval, sys.setswitchinterval),
    Setting("sys.set_int_max_str_digits", sys.get_int_max_str_digits, sys.set_int_max_str_digits),
    attribute(sys, "dont_write_bytecode", "sys.dont_write_bytecode"),
    Setting("os.environ", lambda: dict(os.environ), _set_environment),
    Setting("os.getcwd", os.getcwd, os.chdir),
    Setting("os.umask", _umask, os.umask),
    Setting(
        "os.sched_setaffinity",
        lambda: dict.fromkeys(os.sched_getaffinity(0)) if sys.platform == "linux" else None,
        lambda value: os.sched_setaffinity(0, value),
    ),
    Setting("os.nice", lambda: os.nice(0), lambda value: os.nice(value - os.nice(0))),
    *(_limit(name, which) for name, which in _LIMITS.items()),
    Setting(
        "signal.signal",
        lambda: {number: signal.getsignal(number) for number in signal.valid_signals()},
        _set_signals,
    ),
    Setting("signal.setitimer", _timers, _stop_timers),
    Setting(
        "signal.pthread_sigmask",
        lambda: tuple(sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ()))),
        lambda value: signal.pthread_sigmask(signal.SIG_SETMASK, value),
    ),
    Setting(
        "faulthandler",
        faulthandler.is_enabled,
        lambda on: faulthandler.enable() if on else faulthandler.disable(),
    ),
    # Quiet, because libraries add filters when a method first imports them.
    Setting("warnings.filters", lambda: tuple(warnings.filters), _set_filters, quiet=True),
    attribute(warnings, "showwarning", "warnings.showwarning"),
    Setting("logging.root.level", lambda: logging.root.level, logging.root.setLevel),
    Setting("logging.disable", lambda: logging.root.manager.disable, logging.disable),
    listing("logging.root.handlers", lambda: logging.root.handlers),
    listing("logging.root.filters", lambda: logging.root.filters),
    Setting("logging.setLoggerClass", logging.getLoggerClass, logging.setLoggerClass),
    Setting(
        "logging.setLogRecordFactory", logging.getLogRecordFactory, logging.setLogRecordFactory
    ),
    Setting(
        "locale.setlocale",
        lambda: locale.setlocale(locale.LC_ALL),
        lambda value: locale.setlocale(locale.LC_ALL, value),
    ),
    Setting("decimal.getcontext", _decimal, _set_decimal),
    Setting("gc.isenabled", gc.isenabled, lambda on: gc.enable() if on else gc.disable()),
    Setting("gc.set_threshold", gc.get_threshold, lambda value: gc.set_threshold(*value)),
    Setting("gc.set_debug", gc.get_debug, gc.set_debug),
    listing("gc.callbacks", lambda: gc.callbacks),
    Setting("tempfile.tempdir", tempfile.gettempdir, partial(setattr, tempfile, "tempdir")),
    Setting("socket.setdefaulttimeout", socket.getdefaulttimeout, socket.setdefaulttimeout),
    Setting(
        "multiprocessing.set_start_method",
        lambda: multiprocessing.get_start_method(allow_none=True),
        lambda method: multiprocessing.set_start_method(method, force=True),
    ),
    Setting("threads", _threads, same=none_added),
    Setting("processes", _children, same=none_added),
    Setting("random.getstate", random.getstate, random.setstate, quiet=True),
]
