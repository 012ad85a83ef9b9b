"""Commands that compute nothing do not import torch, which would take most of their time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from results.store import Store
from tests.benchmarks.cli.commands import ROOT
from tests.results.factory import make_record

HEAVY = {"torch", "torchvision", "open_clip", "timm", "transformers", "pandas", "scipy"}

LOOKING = """
import json, sys
import run_benchmarks

found = {}
for line in json.loads(sys.argv[1]):
    try:
        status = run_benchmarks.main(line.split())
    except SystemExit as ended:
        status = ended.code
    packages = {module.partition(".")[0] for module in sys.modules}
    found[line] = status, sorted(packages | sys.modules.keys() & {"matplotlib.pyplot"})
print("imported:", json.dumps(found), file=sys.stderr)
"""

Looked = dict[str, tuple[int, set[str]]]
"""Command line -> its exit status, and the packages that are imported after it."""


def looked(lines: Sequence[str], folder: Path) -> Looked:
    """Run command lines, one after the other, in a new process."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    ended = subprocess.run(
        [sys.executable, "-c", LOOKING, json.dumps(lines)],
        cwd=folder, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = json.loads(ended.stderr.rpartition("imported:")[2])
    return {line: (status, set(packages)) for line, (status, packages) in found.items()}


LOOKS = {
    "--help": 0,
    "plan --help": 0,
    "list": 0,
    "show cifar100_lt_ir50": 0,
    "show lift": 0,
    "completion bash": 0,
    "completion words --methods sage,l": 0,
    "completion words --backbone ViT": 0,
    "completion words --set sage.": 0,
    "runn": 2,
    "--methods lft --datasets cifar100_lt": 2,
    "--methods lift --datasets cifar100": 2,
    "--methods lift --datasets cifar100_lt --set lift.l=1": 2,
    "plan --methods lift --datasets cifar100_lt --backbone ViT-B-16/no": 2,
    "plan --device cpu": 0,
    "plan --methods lift,coop --datasets imagenet_lt --device cpu --offline": 2,
    "status runs": 0,
    "status runs --json": 0,
}


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory) -> Looked:
    """All commands that are to be light, in one process: what one imports is there for the next."""
    folder = tmp_path_factory.mktemp("light")
    Store(folder / "runs").write(make_record(), {})
    return looked(list(LOOKS), folder)


@pytest.mark.parametrize("line", LOOKS)
def test_commands_that_import_neither_torch_nor_matplotlib(line: str, light: Looked) -> None:
    status, imported = light[line]
    assert status == LOOKS[line]
    before = set[str]().union(*(light[one][1] for one in list(LOOKS)[: list(LOOKS).index(line)]))
    assert not (imported - before) & (HEAVY | {"matplotlib"})


def test_a_report_draws_without_torch_and_pyplot(tmp_path: Path) -> None:
    store = Store(tmp_path / "runs")
    for seed in (0, 1):
        store.write(make_record(seed=seed), {})
    ((status, imported),) = looked(["report runs --out here --format png"], tmp_path).values()
    assert status == 0
    assert list((tmp_path / "here").glob("*.png"))
    assert {"matplotlib", "rich"} <= imported  # proof that imports are detected
    assert "matplotlib.pyplot" not in imported
    assert not imported & (HEAVY - {"scipy"})  # the quantiles of intervals are SciPy's
