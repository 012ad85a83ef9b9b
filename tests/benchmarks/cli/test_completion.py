"""Completion of command lines: what is offered, and the scripts in the shells themselves."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.backbone.names import TRANSFORMS
from benchmarks.cli.parts.completions import completions
from benchmarks.cli.parts.verbs import find_verbs
from benchmarks.datasets.registry import DATASETS
from benchmarks.sweep import settings
from methods.registry import METHODS
from tests.benchmarks.cli.commands import ROOT, Command, the_line


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("--methods sage,lm", ["sage,lmpt"]),
        ("--methods=sage,lm", ["--methods=sage,lmpt"]),
        ("--methods lmpt,lm", []),  # it is there already
        ("plan --datasets inat", ["inat2018"]),
        ("--backbone ViT-B-16-quickgelu/op", ["ViT-B-16-quickgelu/openai"]),
        ("--backbone gl", ["glyph"]),
        ("--pre", ["--precision"]),
        ("report --seeds", []),  # a flag of other verbs
        ("com", ["compare", "completion"]),
        ("sh", ["show"]),
        ("--precision ", ["auto", "fp32", "bf16"]),
        ("--select v", ["val"]),
        ("--format pdf,pn", ["pdf,png"]),
        ("--set lift.learn", []),
        ("--set lift.tt", ["lift.tte="]),
        ("--set lift.tte=t", ["lift.tte=true"]),
        ("--set lift.loss=as", ["lift.loss=asl"]),
        ("--set glyphs100_lt.imb", ["glyphs100_lt.imbalance="]),
        ("--methods lift,sage --datasets glyphs100_lt --set ",
         ["lift.", "sage.", "glyphs100_lt."]),
        ("--set nothing.x", []),
        ("--set lift.x=y", []),
        ("--columns overall,worst_t", ["overall,worst_tenth"]),
        ("--columns para", ["params"]),
        ("--sort ra", ["rank"]),
        ("--track ten", ["tensorboard:"]),
        ("show sag", ["sage"]),
        ("show glyphs", ["glyphs100_lt", "glyphscenes_lt"]),
        ("tune lmp", ["lmpt"]),
        ("compare results/runs --a lmp", ["lmpt"]),
        ("list back", ["backbones"]),
        ("list backbones --arch RN50x1", ["RN50x16", "RN50x16-quickgelu"]),
        ("completion z", ["zsh"]),
        ("new-method RN", []),  # a name that is new
        ("new-method mine --needs i", ["images"]),
        ("report ", []),  # files
        ("--config ", []),
        ("nonsense x", []),
    ],
)  # fmt: skip
def test_a_line_is_completed(line: str, found: list[str]) -> None:
    assert sorted(completions(line.split(" "))) == sorted(found)


def test_every_verb_method_and_data_set_is_offered() -> None:
    assert completions([]) == completions([""]) == list(find_verbs())
    names = set(METHODS.entries(scan_only=True))
    assert set(completions(["--methods", ""])) == {*names, "all"}
    assert set(completions(["--datasets", ""])) == set(DATASETS.entries(scan_only=True))
    for name in [*names, *DATASETS.entries(scan_only=True)]:
        owner = METHODS if name in names else DATASETS
        assert completions(["--set", f"{name}."]) == [f"{name}.{f}=" for f in owner.fields(name)]


@pytest.mark.parametrize(
    ("flag", "values"),
    [
        ("--protocol", settings.PROTOCOLS),
        ("--select", settings.SELECTIONS),
        ("--transform", TRANSFORMS),
        ("--rerun", settings.RERUNS),
        ("--device", settings.DEVICES),
        ("--precision", settings.PRECISIONS),
        ("--group-counts", settings.GROUP_COUNTS),
    ],
)
def test_a_flag_offers_every_value_that_it_takes(flag: str, values: tuple[str, ...]) -> None:
    assert completions([flag, ""]) == list(values)


def test_a_shell_that_is_missing(command: Command) -> None:
    assert "are required: bash|zsh|fish (see" in the_line(command("completion"))


def test_a_shell_that_is_unknown(command: Command) -> None:
    line = the_line(command("completion", "tcsh"))
    assert line.startswith("error: Unknown shell 'tcsh'. Did you mean: ")


# ---- in the shells -------------------------------------------------------------------------------

LINES = {
    "python run_benchmarks.py --methods sage,lm": ["sage,lmpt"],
    "python run_benchmarks.py --precision ": ["auto", "bf16", "fp32"],
    "python run_benchmarks.py comp": ["compare", "completion"],
    "python other.py comp": [],
}
BASH = """
source <(python run_benchmarks.py completion bash)
while IFS= read -r COMP_LINE; do
    COMP_POINT=${#COMP_LINE}
    _run_benchmarks
    echo "${COMPREPLY[*]}"
done
"""
ZSH = """
compdef() { }
compadd() { while [[ $1 != -- ]]; do shift; done; shift; offered+=("$@"); }
_files() { }
typeset -A _comps
_comps[python]=_files
source <(python run_benchmarks.py completion zsh)
while IFS= read -r line; do
    words=("${(@s: :)line}")
    CURRENT=$#words
    offered=()
    _run_benchmarks
    print -- $offered
done
"""
FISH = """
python run_benchmarks.py completion fish | source
while read -l line
    echo (complete -C $line | string split -f 1 \\t)
end
"""


@pytest.mark.parametrize(("shell", "script"), [("bash", BASH), ("zsh", ZSH), ("fish", FISH)])
def test_the_script_of_a_shell(shell: str, script: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    lines = [*LINES, "python run_benchmarks.py --set lift.loss=as"]
    ended = subprocess.run(
        [shell, *(["--norc"] if shell == "bash" else []), "-c", script],
        cwd=ROOT,
        env={**os.environ, "PATH": path, "HOME": str(tmp_path)},
        input="".join(f"{line}\n" for line in lines),
        capture_output=True,
        text=True,
        check=True,
    )
    found = [sorted(line.split()) for line in ended.stdout.splitlines()]
    assert found[: len(LINES)] == list(LINES.values())
    assert found[-1] == (["asl"] if shell == "bash" else ["lift.loss=asl"])  # = ends bash's words
