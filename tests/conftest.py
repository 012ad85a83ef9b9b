"""Shared setup of all tests: isolated home and cache, no network, few threads, fixed seeds."""

from __future__ import annotations

import gc
import os
import random
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cache as cached
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

from benchmarks import starting
from benchmarks.processes import staying_here

ROOT = Path(__file__).resolve().parent.parent

# Set before torch is imported anywhere: several test workers on few cores are slower with more
# threads. Commands that tests start inherit these variables.
_HOME = tempfile.mkdtemp(prefix="longtail-vlm-tests-")
os.environ.update(
    OMP_NUM_THREADS=(
        "1" if "PYTEST_XDIST_WORKER" in os.environ else os.environ.get("OMP_NUM_THREADS", "2")
    ),
    HOME=_HOME,
    LONGTAIL_VLM_CACHE=f"{_HOME}/cache",
    HF_HOME=f"{_HOME}/huggingface",
    TORCH_HOME=f"{_HOME}/torch",
    XDG_CACHE_HOME=f"{_HOME}/xdg",
    MPLBACKEND="agg",
    # Kept between runs: building Matplotlib's font list takes seconds in each worker.
    MPLCONFIGDIR=str(Path(tempfile.gettempdir()) / "longtail-vlm-tests-matplotlib"),
    # A proxy that refuses at once, for the commands that tests start.
    http_proxy="http://127.0.0.1:9",
    https_proxy="http://127.0.0.1:9",
    no_proxy="localhost,127.0.0.1",
)
for _variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy", "NO_PROXY"):
    os.environ.pop(_variable, None)

# A shell's background jobs ignore Ctrl-C, and so would everything that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# One server forks the children of all tests here, so it imports what those need that fit methods.
starting.LIGHT[:] = starting.PRELOADED

# A time limit for each example fails on a busy machine.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Collect no garbage while modules are imported: nothing is found in a fifth of the time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_unconfigure() -> None:
    gc.unfreeze()  # compiled libraries complain of objects that are not collected at the end
    shutil.rmtree(_HOME, ignore_errors=True)


def _is_local(host: Any) -> bool:
    return host is None or str(host) in {"localhost", "127.0.0.1", "::1", "0.0.0.0", ""}


@pytest.fixture(scope="session", autouse=True)
def _no_network() -> Iterator[None]:
    """Every connection to another machine fails at once, as on a machine without network."""

    def refusing(original: Callable[..., Any], host_of: Callable[[Any], Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if not _is_local(host_of(args)):
                raise OSError("the tests do not use the network")
            return original(*args, **kwargs)

        return call

    def address(args: Any) -> Any:  # (socket, address); a local path is not a pair
        return args[1][0] if isinstance(args[1], tuple) else None

    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "connect_ex"):
            patch.setattr(socket.socket, name, refusing(getattr(socket.socket, name), address))
        patch.setattr(socket, "getaddrinfo", refusing(socket.getaddrinfo, lambda args: args[0]))
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_power_cut() -> Iterator[None]:
    """Do not wait until files are on the disk: milliseconds for each of thousands."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: None)
        yield


@pytest.fixture(autouse=True)
def _quick_and_seeded(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Set up every test; one fixture, because each takes time before thousands of tests.

    Plug-ins are imported and methods fitted in the test's process, as --debug does. Tests marked
    `children` use child processes as users' runs do.

    Reports are without figures, which take nearly all of their time. Tests marked `figures` draw
    two of each table and those of sweeps, with few pixels and letters as outlines, which is
    quicker. Tests marked `real_figures` draw and save all as users' runs do.
    """
    marked = {mark.name for mark in request.node.iter_markers()}
    # The runner collects garbage after each cell. Imported libraries are millions of objects, and
    # a collection of them takes longer than a cell.
    gc.freeze()
    if "real_figures" not in marked:
        _reduce_figures(monkeypatch, drawn="figures" in marked)
    _share_tokenizer()
    _seed()
    with staying_here("children" not in marked):
        yield


def _reduce_figures(patch: pytest.MonkeyPatch, *, drawn: bool) -> None:
    style, report = (sys.modules.get(f"reports.{name}") for name in ("figures.style", "report"))
    if style is not None:
        patch.setattr(style, "DPI", 40)
        patch.setitem(style.STYLE, "pdf.fonttype", 3)
    if report is not None:
        names = ("__groups", "__head_tail") if drawn else ()
        patch.setattr(report, "TABLE_FIGURES", {name: report.TABLE_FIGURES[name] for name in names})
        if not drawn:
            patch.setattr(report, "SWEEP_FIGURES", {})


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any]) -> Iterator[None]:
    """Set up fixtures of whole files as tests run: in this process and without figures."""
    if fixturedef.scope == "function":
        return (yield)
    with staying_here(), pytest.MonkeyPatch.context() as patch:
        _reduce_figures(patch, drawn=False)
        return (yield)


def _share_tokenizer() -> None:
    """Read CLIP's vocabulary once: open_clip reads it, in 0.1 s, for each model that it loads."""
    factory = sys.modules.get("open_clip.factory")
    if factory is not None and isinstance(factory.SimpleTokenizer, type):
        factory.SimpleTokenizer = cached(factory.SimpleTokenizer)


def _seed() -> None:
    """Seed every test equally, independent of the tests that ran before."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - third-party code draws from it
    torch = sys.modules.get("torch")
    if torch is not None:
        for device in (torch.cuda, torch.xpu, torch.mtia):
            _keep_no_seeds(device)
        torch.manual_seed(0)


def _keep_no_seeds(device: Any) -> None:
    """Keep torch from storing each seed with a traceback, in milliseconds, for an absent device."""
    if device.manual_seed_all.__name__ != "<lambda>" and not device.is_available():
        # A function of its own, or torch's table of functions fails.
        device.manual_seed_all = lambda seed: None


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A private cache folder for the test."""
    monkeypatch.setenv("LONGTAIL_VLM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder `shared` next to the checkout with real data; the test is skipped without it."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("needs ../shared (real data for development), which is not here")
    return folder
