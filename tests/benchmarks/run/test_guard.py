"""Changes of global state are reported and put back."""

import builtins
import decimal
import faulthandler
import gc
import json
import locale
import logging
import math
import multiprocessing
import os
import platform
import random
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from ctypes import CDLL
from ctypes.util import find_library
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks import randomness
from benchmarks.inputs.samples import SplitSamples
from benchmarks.run import guard
from benchmarks.run.guard import ProcessState
from benchmarks.run.guarded_python import SETTINGS as PYTHON
from benchmarks.run.setting import Setting, same
from methods.registry import METHODS

_leaked: list[Any] = []
"""Context managers that stay open, as a clumsy method leaves them."""


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    _leaked.clear()


def entered(manager: Any) -> None:
    """Enter a context manager and never leave it."""
    manager.__enter__()
    _leaked.append(manager)


class FunctionMode(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


class DispatchMode(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


def no_op(*args: Any, **kwargs: Any) -> None:
    return None


def other_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (1 if soft == 0 else 0, hard))


def hook(name: str) -> None:
    vars(torch.nn.modules.module)[f"_global_{name}"][0] = no_op


DOWNWARD = 0x800000 if platform.machine() in ("aarch64", "arm64") else 0x400
CHANGES: dict[str, Callable[[], Any]] = {
    # ---- Python
    "sys.setprofile": lambda: sys.setprofile(no_op),
    "threading.settrace": lambda: threading.settrace(no_op),
    "threading.setprofile": lambda: threading.setprofile(no_op),
    "sys.stdin": lambda: setattr(sys, "stdin", None),
    "sys.stdout": lambda: setattr(sys, "stdout", None),
    "sys.stderr": lambda: setattr(sys, "stderr", None),
    "sys.excepthook": lambda: setattr(sys, "excepthook", no_op),
    "sys.unraisablehook": lambda: setattr(sys, "unraisablehook", no_op),
    "sys.displayhook": lambda: setattr(sys, "displayhook", no_op),
    "sys.breakpointhook": lambda: setattr(sys, "breakpointhook", no_op),
    "threading.excepthook": lambda: setattr(threading, "excepthook", no_op),
    "sys.path": lambda: sys.path.insert(0, "/nowhere"),
    "sys.meta_path": lambda: sys.meta_path.append(no_op),  # type: ignore[arg-type]
    "sys.path_hooks": lambda: sys.path_hooks.clear(),
    "sys.argv": lambda: sys.argv.append("--quick"),
    "sys.modules": lambda: sys.modules.pop("json"),
    "sys.setrecursionlimit": lambda: sys.setrecursionlimit(5000),
    "sys.setswitchinterval": lambda: sys.setswitchinterval(0.5),
    "sys.set_int_max_str_digits": lambda: sys.set_int_max_str_digits(0),
    "sys.dont_write_bytecode": lambda: setattr(
        sys, "dont_write_bytecode", not sys.dont_write_bytecode
    ),
    "os.environ": lambda: os.environ.update(OMP_NUM_THREADS="7", TZ="Asia/Tokyo"),
    "os.getcwd": lambda: os.chdir("/"),
    "the processor's rounding": lambda: CDLL(find_library("m")).fesetround(DOWNWARD),
    "tempfile.tempdir": lambda: setattr(tempfile, "tempdir", "/nowhere"),
    "os.umask": lambda: os.umask(0o123),
    "resource.RLIMIT_CORE": other_limit,
    "signal.signal": lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN),
    "signal.setitimer": lambda: signal.setitimer(signal.ITIMER_VIRTUAL, 1000),
    "signal.pthread_sigmask": lambda: signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1]),
    "faulthandler": lambda: (
        faulthandler.disable() if faulthandler.is_enabled() else faulthandler.enable()
    ),
    "warnings.showwarning": lambda: setattr(warnings, "showwarning", no_op),
    "logging.root.level": lambda: logging.root.setLevel(logging.CRITICAL),
    "logging.disable": lambda: logging.disable(),
    "logging.root.handlers": lambda: logging.root.handlers.append(logging.NullHandler()),
    "logging.root.filters": lambda: logging.root.addFilter(no_op),  # type: ignore[arg-type]
    "logging.setLoggerClass": lambda: logging.setLoggerClass(type("Mine", (logging.Logger,), {})),
    "logging.setLogRecordFactory": lambda: logging.setLogRecordFactory(no_op),  # type: ignore
    "locale.setlocale": lambda: locale.setlocale(
        locale.LC_ALL, "C" if locale.setlocale(locale.LC_ALL) != "C" else "C.UTF-8"
    ),
    "decimal.getcontext": lambda: setattr(decimal.getcontext(), "prec", 3),
    "gc.isenabled": gc.disable,
    "gc.set_threshold": lambda: gc.set_threshold(1),
    "gc.set_debug": lambda: gc.set_debug(gc.DEBUG_UNCOLLECTABLE),
    "gc.callbacks": lambda: gc.callbacks.append(no_op),
    "socket.setdefaulttimeout": lambda: socket.setdefaulttimeout(3),
    "multiprocessing.set_start_method": lambda: multiprocessing.set_start_method(
        "spawn", force=True
    ),
    # ---- torch and NumPy
    "torch.get_default_device": lambda: torch.set_default_device("meta"),
    "the stack of TorchFunctionMode": lambda: entered(FunctionMode()),
    "the stack of TorchDispatchMode": lambda: entered(DispatchMode()),
    "torch.is_inference_mode_enabled": lambda: entered(torch.inference_mode()),
    "torch.is_grad_enabled": lambda: torch.set_grad_enabled(False),
    "torch.is_anomaly_enabled": lambda: torch.autograd.set_detect_anomaly(True),
    "torch's hooks on saved tensors": lambda: entered(
        torch.autograd.graph.saved_tensors_hooks(no_op, no_op)
    ),
    "torch.set_num_threads": lambda: torch.set_num_threads(torch.get_num_threads() + 1),
    "torch.get_default_dtype": lambda: torch.set_default_dtype(torch.float64),
    "torch's float32 matmul precision": lambda: torch.set_float32_matmul_precision("medium"),
    "torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction": lambda: setattr(
        torch.backends.cuda.matmul, "allow_fp16_reduced_precision_reduction", False
    ),
    "torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction": lambda: setattr(
        torch.backends.cuda.matmul, "allow_bf16_reduced_precision_reduction", False
    ),
    "torch.backends.cudnn.enabled": lambda: setattr(torch.backends.cudnn, "enabled", False),
    "torch.backends.cudnn.benchmark": lambda: setattr(torch.backends.cudnn, "benchmark", True),
    "torch.backends.cudnn.deterministic": lambda: setattr(
        torch.backends.cudnn, "deterministic", not torch.backends.cudnn.deterministic
    ),
    "torch.backends.mkldnn.enabled": lambda: setattr(torch.backends.mkldnn, "enabled", False),
    "torch.backends.cuda.flash_sdp_enabled": lambda: torch.backends.cuda.enable_flash_sdp(False),
    "torch.backends.cuda.mem_efficient_sdp_enabled": lambda: (
        torch.backends.cuda.enable_mem_efficient_sdp(False)
    ),
    "torch.backends.cuda.math_sdp_enabled": lambda: torch.backends.cuda.enable_math_sdp(False),
    "torch.backends.cuda.cudnn_sdp_enabled": lambda: torch.backends.cuda.enable_cudnn_sdp(False),
    "torch.backends.mha.get_fastpath_enabled": lambda: torch.backends.mha.set_fastpath_enabled(
        False
    ),
    "torch.is_autocast_enabled('cpu')": lambda: torch.set_autocast_enabled("cpu", True),
    "torch.is_autocast_enabled('cuda')": lambda: torch.set_autocast_enabled("cuda", True),
    "torch.get_autocast_dtype('cpu')": lambda: torch.set_autocast_dtype("cpu", torch.float16),
    "torch.get_autocast_dtype('cuda')": lambda: torch.set_autocast_dtype("cuda", torch.bfloat16),
    "torch.is_autocast_cache_enabled": lambda: torch.set_autocast_cache_enabled(False),
    "torch.use_deterministic_algorithms": lambda: torch.use_deterministic_algorithms(
        not torch.are_deterministic_algorithms_enabled(),
        warn_only=torch.is_deterministic_algorithms_warn_only_enabled(),
    ),
    "torch.use_deterministic_algorithms(warn_only)": lambda: torch.use_deterministic_algorithms(
        torch.are_deterministic_algorithms_enabled(),
        warn_only=not torch.is_deterministic_algorithms_warn_only_enabled(),
    ),
    "torch.utils.deterministic.fill_uninitialized_memory": lambda: setattr(
        torch.utils.deterministic,
        "fill_uninitialized_memory",
        not torch.utils.deterministic.fill_uninitialized_memory,
    ),
    "torch.set_flush_denormal": lambda: torch.set_flush_denormal(True),
    "torch.set_warn_always": lambda: torch.set_warn_always(True),
    "torch.multiprocessing.get_sharing_strategy": lambda: (
        torch.multiprocessing.set_sharing_strategy("file_system")
    ),
    "torch.set_printoptions": lambda: torch.set_printoptions(precision=1),
    "torch.serialization.get_safe_globals": lambda: torch.serialization.add_safe_globals([Setting]),
    "torch's hooks global_forward_hooks": lambda: (
        torch.nn.modules.module.register_module_forward_hook(no_op)
    ),
    "torch's hooks global_forward_pre_hooks": lambda: (
        torch.nn.modules.module.register_module_forward_pre_hook(no_op)
    ),
    **{
        f"torch's hooks global_{name}": lambda name=name: hook(name)
        for name in (
            *("buffer_registration_hooks", "module_registration_hooks", "backward_hooks"),
            *("parameter_registration_hooks", "backward_pre_hooks"),
            *("forward_hooks_always_called", "forward_hooks_with_kwargs"),
        )
    },
    "torch's hooks global_optimizer_pre_hooks": lambda: sys.modules[
        "torch.optim.optimizer"
    ].register_optimizer_step_pre_hook(no_op),
    "torch's hooks global_optimizer_post_hooks": lambda: sys.modules[
        "torch.optim.optimizer"
    ].register_optimizer_step_post_hook(no_op),
    "np.seterr": lambda: np.seterr(all="ignore"),
    "np.seterrcall": lambda: np.seterrcall(no_op),
    "np.setbufsize": lambda: np.setbufsize(16384),
    "np.set_printoptions": lambda: np.set_printoptions(precision=1),
    # ---- registries
    "METHODS": lambda: METHODS.entries().pop("lift"),
    "METHODS's classes": lambda: METHODS._classes.update(zero_shot=int),
}

if hasattr(os, "sched_getaffinity") and len(os.sched_getaffinity(0)) > 1:
    CHANGES["os.sched_setaffinity"] = lambda: os.sched_setaffinity(
        0, [min(os.sched_getaffinity(0))]
    )

# What a test process cannot undo, what only the user root can do, and what is tried below.
NOT_TRIED = {
    *("sys.settrace", "os.nice", "torch.set_num_interop_threads", "torch.library"),
    *("os.sched_setaffinity", "sys.stdin.closed", "sys.stdout.closed", "sys.stderr.closed"),
    *("threads", "processes", "DATASETS", "DATASETS's classes"),
}


def test_every_setting_is_tried() -> None:
    names = {s.name for s in guard.SETTINGS if not s.quiet}
    limits = {name for name in names if name.startswith("resource.")}
    assert names - CHANGES.keys() - NOT_TRIED <= limits


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_reported_and_put_back(name: str) -> None:
    METHODS.get("zero_shot")
    (setting,) = (s for s in guard.SETTINGS if s.name == name)
    before = setting.read()
    CHANGES[name]()
    assert not setting.same(before, setting.read())
    phrase, is_back = setting.restored(before)
    assert phrase.startswith(f"{name} ") and phrase.endswith((" again", " put back"))
    assert is_back and setting.same(before, setting.read())
    assert setting.restored(before) == ("", True)


def test_all_changes_at_once_are_put_back() -> None:
    METHODS.get("zero_shot")
    state = ProcessState.taken()
    # When torch deletes a guard of inference mode, it goes back to the modes it was opened in.
    changes = {n: c for n, c in CHANGES.items() if n != "torch.is_inference_mode_enabled"}
    for change in changes.values():
        change()
    said = state.restore()
    assert [n for n in changes if not any(line.startswith(f"{n} ") for line in said)] == []
    assert state.lasting == []
    assert state.restore() == []


def test_filters_of_warnings_are_put_back_without_a_word() -> None:
    before = list(warnings.filters)  # type: ignore[call-overload]
    state = ProcessState.taken()
    warnings.simplefilter("ignore")
    assert state.restore() == []
    assert list(warnings.filters) == before  # type: ignore[call-overload]


def test_a_phrase_has_both_values() -> None:
    torch.set_num_threads(1)
    state = ProcessState.taken()
    torch.set_num_threads(2)
    torch.set_default_dtype(torch.float64)
    os.environ["A_PLUG_IN"] = "1"
    assert state.restore() == [
        "os.environ (A_PLUG_IN) changed, is put back",
        "torch.set_num_threads was 2, is 1 again",
        "torch.get_default_dtype was torch.float64, is torch.float32 again",
    ]
    assert "A_PLUG_IN" not in os.environ


def test_nothing_is_reported_of_a_cell_that_changes_nothing() -> None:
    state = ProcessState.taken()
    torch.nn.functional.relu(torch.nn.Linear(2, 2)(torch.ones(1, 2))).sum().backward()
    with torch.no_grad(), warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
    assert state.restore() == []


def test_drawn_random_numbers_are_put_back_silently() -> None:
    state = ProcessState.taken()
    drawn = random.random(), np.random.rand(), torch.rand(1).item()  # noqa: NPY002
    assert state.restore() == []
    assert (random.random(), np.random.rand(), torch.rand(1).item()) == drawn  # noqa: NPY002


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (math, "sqrt"),
        (json, "dumps"),
        (time, "perf_counter"),
        (torch, "softmax"),
        (torch.nn.functional, "normalize"),
        (torch.Tensor, "backward"),
        (torch.nn.Linear, "forward"),
        (torch.nn.Module, "__call__"),
        (np, "argsort"),
        (randomness, "key"),
        (SplitSamples, "features"),
        (guard, "METHODS"),
        (builtins, "sum"),
    ],
)
def test_replaced_functions_are_put_back(owner: Any, name: str) -> None:
    state, was = ProcessState.taken(), vars(owner)[name]
    setattr(owner, name, no_op)
    (line,) = state.restore()
    assert line.endswith(f".{name} was replaced, is put back")
    assert vars(owner)[name] is was


def test_code_that_is_replaced_inside_a_function_is_put_back() -> None:
    state = ProcessState.taken()
    was = randomness.key.__code__
    randomness.key.__code__ = no_op.__code__
    assert state.restore() == ["benchmarks.randomness.key was replaced, is put back"]
    assert randomness.key.__code__ is was


def test_names_that_hide_a_builtin_are_removed_and_removed_ones_put_back() -> None:
    state = ProcessState.taken()
    randomness.len = no_op  # type: ignore[attr-defined]
    del math.sqrt
    (line,) = state.restore()
    assert line == "math.sqrt, benchmarks.randomness.len was replaced, is put back"
    assert not hasattr(randomness, "len")
    assert math.sqrt(4) == 2


def test_imported_modules_are_no_change() -> None:
    state = ProcessState.taken()
    try:
        sys.modules["benchmarks.imported"] = randomness.imported = ModuleType("x")  # type: ignore
        assert state.restore() == []
        assert hasattr(randomness, "imported")
    finally:
        del sys.modules["benchmarks.imported"], randomness.imported  # type: ignore[attr-defined]


def test_threads_and_processes_left_behind_are_named() -> None:
    state, end = ProcessState.taken(), threading.Event()
    thread = threading.Thread(target=end.wait, name="mine\x1b[31m", daemon=True)
    thread.start()
    child = subprocess.Popen(["sleep", "60"])
    try:
        said = state.restore()
        assert said == state.lasting
        assert said == [
            "a thread (mine\\x1b[31m) still runs",
            f"a process ({child.pid}) still runs",
        ]
    finally:
        end.set()
        child.kill()
        child.wait()
        thread.join()
    assert state.restore() == []


def test_a_deleted_working_folder_is_no_error(tmp_path: Any) -> None:
    state, here = ProcessState.taken(), os.getcwd()
    gone = tmp_path / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    (line,) = state.restore()
    assert line.startswith("os.getcwd was unset, is ")
    assert os.getcwd() == here


def test_what_cannot_be_put_back_is_lasting() -> None:
    def refuse(value: Any) -> None:
        raise PermissionError

    values = [1]
    for write, end in (
        (refuse, "cannot be put back (PermissionError)"),
        (no_op, "cannot be put back"),
    ):
        stubborn = Setting("it", lambda: values[-1], write)
        values.append(2)
        assert stubborn.restored(1) == (f"it was 2 and {end}", False)
    assert Setting("it", lambda: values[-1]).restored(1) == ("it was 2", False)


def test_values_are_compared_without_running_their_code() -> None:
    class Sly:
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = None  # type: ignore[assignment]

    assert not same((Sly(),), (Sly(),))
    assert not same({"a": 1}, {"a": Sly()})
    assert not same((1, 2), (1,))
    assert same({"a": (1, "x")}, {"a": (1, "x")})


def test_settings_have_different_names() -> None:
    names = [s.name for s in guard.SETTINGS]
    assert len(names) == len(set(names))
    assert all(s.name in CHANGES for s in PYTHON if s.name.startswith("logging"))
