from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from textwrap import dedent

import pytest

from tests.benchmarks.run.on_ray.clusters import (
    CLUSTER,
    LIMIT_S,
    MARK,
    PLUGIN,
    Nodes,
    World,
    of_the_cluster,
)
from tests.benchmarks.small import make_clip_folder


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
