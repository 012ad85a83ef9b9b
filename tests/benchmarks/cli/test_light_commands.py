"""Commands that compute nothing do not import torch, which would take most of their time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from results.store import Store
from tests.benchmarks.cli.commands import ROOT
from tests.results.factory import make_record

HEAVY = {"torch", "torchvision", "open_clip", "timm", "transformers", "pandas", "scipy"}

LOOKING = """
import sys
import run_benchmarks
status = run_benchmarks.main(sys.argv[1:])
print("imported:", *sorted({module.partition(".")[0] for module in sys.modules}), file=sys.stderr)
sys.exit(status)
"""


def looked(words: str, folder: Path) -> tuple[int, set[str]]:
    """Run a command line in a new process; return its exit status and the packages it imported."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    ended = subprocess.run(
        [sys.executable, "-c", LOOKING, *words.split()],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return ended.returncode, set(ended.stderr.rpartition("imported:")[2].split())


LOOKS = {
    "--help": 0,
    "plan --help": 0,
    "list": 0,
    "show cifar100_lt_ir50": 0,
    "show lift": 0,
    "runn": 2,
    "--methods lft --datasets cifar100_lt": 2,
    "--methods lift --datasets cifar100": 2,
    "--methods lift --datasets cifar100_lt --set lift.l=1": 2,
    "plan --methods lift --datasets cifar100_lt --backbone ViT-B-16/no": 2,
    "plan --device cpu": 0,
    "plan --methods lift,coop --datasets imagenet_lt --device cpu": 0,
}


@pytest.mark.parametrize("words", LOOKS)
def test_commands_that_import_neither_torch_nor_matplotlib(words: str, tmp_path: Path) -> None:
    status, imported = looked(words, tmp_path)
    assert status == LOOKS[words]
    assert not imported & HEAVY
    assert "matplotlib" not in imported


def test_a_status_is_told_without_torch(tmp_path: Path) -> None:
    Store(tmp_path / "runs").write(make_record(), {})
    for words in ("status runs", "status runs --json"):
        status, imported = looked(words, tmp_path)
        assert status == 0
        assert "rich" in imported
        assert not imported & (HEAVY | {"matplotlib"})


def test_a_report_draws_without_torch(tmp_path: Path) -> None:
    store = Store(tmp_path / "runs")
    for seed in (0, 1):
        for method in ("lift", "sage"):
            store.write(make_record(method, seed=seed), {})
    status, imported = looked("report runs --out here", tmp_path)
    assert status == 0
    assert list((tmp_path / "here").glob("*.png"))
    assert "matplotlib" in imported  # proof that imports are detected
    assert not imported & (HEAVY - {"scipy"})  # the quantiles of intervals are SciPy's
