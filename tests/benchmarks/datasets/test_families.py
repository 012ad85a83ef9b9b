from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

ROOT = Path(__file__).resolve().parents[3]

FAMILY = '''
    from __future__ import annotations

    from dataclasses import dataclass

    from benchmarks.datasets.families.glyphs import Glyphs
    from benchmarks.datasets.registry import register


    @register("dropped_in_lt", task="single")
    @dataclass(frozen=True)
    class DroppedIn(Glyphs):
        """Ten classes in a file of their own."""

        classes: int = 10
'''


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of this checkout, by links except for the folder of families."""

    def link(folder: Path, copy: Path, *, real: str) -> None:
        copy.mkdir()
        for entry in folder.iterdir():
            if entry.name not in (real, "__pycache__", ".git"):
                (copy / entry.name).symlink_to(entry)

    copy = tmp_path / "checkout"
    link(ROOT, copy, real="benchmarks")
    link(ROOT / "benchmarks", copy / "benchmarks", real="datasets")
    link(ROOT / "benchmarks/datasets", copy / "benchmarks/datasets", real="families")
    shutil.copytree(ROOT / "benchmarks/datasets/families", copy / "benchmarks/datasets/families")
    (copy / "run_benchmarks.py").unlink()
    shutil.copy(ROOT / "run_benchmarks.py", copy)  # a link would put this checkout on sys.path
    return copy


COMMANDS = """
import run_benchmarks

for words in (
    ["list", "datasets"],
    ["show", "dropped_in_lt"],
    ["plan", "--methods", "zero_shot", "--datasets", "dropped_in_lt_ir5"],
):
    assert run_benchmarks.main(words) == 0
    print("====")
"""


def test_a_new_family_is_one_file(checkout: Path) -> None:
    file = checkout / "benchmarks/datasets/families/dropped_in.py"
    file.write_text(dedent(FAMILY), encoding="utf-8")
    command = [sys.executable, "-c", COMMANDS]
    ended = subprocess.run(command, cwd=checkout, check=True, capture_output=True, text=True)
    listed, shown, plan, _ = ended.stdout.split("====")
    assert "dropped_in_lt" in listed
    assert "drawn from a seed" in shown
    assert "dropped_in_lt_ir5" in plan
