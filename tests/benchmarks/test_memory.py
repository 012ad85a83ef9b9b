"""Heads on many classes never build a matrix of all training images by all classes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

CELL = """
import resource, sys
from pathlib import Path
from benchmarks.run.recorder import Recorder
from benchmarks.tools.speed.scale import world
from results.store import Store

method, folder = sys.argv[1], Path(sys.argv[2])
data, bench, cells = world(method, 120_000, 2_000, 128, folder, seeds="0,1")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
recorder, left = Recorder(data, bench.facts, folder, save_logits=False), iter(cells)


def take(measured):
    record, predictions = recorder.outcome(next(left), measured)
    assert record.status == "done", record.error
    Store(folder).write(record, predictions)


bench.measure(cells, take)
assert next(left, None) is None
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="counts memory in Linux's unit")
@pytest.mark.parametrize("method", ["ncm", "zero_shot", "linear_probe", "tau_norm"])
def test_no_head_builds_a_matrix_of_images_by_classes(method: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", CELL, method, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # Features take 61 MB, test logits 48 MB; a matrix of images by classes would take 960 MB.
    assert int(done.stdout) < 500
