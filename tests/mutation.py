"""Mutation run: change one place of a module at a time and see whether its tests notice.

CONTRIBUTING.md has the command. `tests/mutation.toml` lists the modules, their tests and, each with
the reason, the mutants that no test can kill. cosmic-ray makes the mutants. They are tested in a
temporary copy of the last commit, each in a fork of this process, which has already imported torch
and pandas: importing them takes longer than most of the tests.
"""

from __future__ import annotations

import argparse
import fnmatch
import importlib
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import pytest

CONFIG = Path(__file__).with_suffix(".toml")
HEAVY = (
    "numpy",
    "pandas",
    "scipy.optimize",
    "torch",
    "torchvision",
    "sklearn.metrics",
    "hypothesis",
)
TIMEOUT_S = 120
# Runs in the environment of cosmic-ray and prints mutants of a module, at most one at each place.
# Left out: `|`, which is nearly always in an annotation, operators that need arguments, and the one
# that fails at `except (A, B)`.
DRAW = """
import json, random, sys
from cosmic_ray.ast import Visitor, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

LEFT_OUT = ("BinaryOperator_BitOr_", "/Variable", "/ExceptionReplacer")

class Places(Visitor):
    def visit(self, node):
        found.extend((start, name) for start, end in operator.mutation_positions(node))
        return node

source, count, seed = sys.stdin.read(), int(sys.argv[1]), int(sys.argv[2])
drawn = []
for name in sorted(operator_names()):
    if any(part in name for part in LEFT_OUT):
        continue
    operator, found = get_operator(name)(), []
    Places().walk(get_ast(source))
    drawn += [(*place, nth) for nth, place in enumerate(found)]
random.Random(seed).shuffle(drawn)
places = list({start: (name, nth) for start, name, nth in drawn}.values())[:count]
mutants = [(name, mutate_code(source, get_operator(name)(), nth)) for name, nth in places]
json.dump(mutants, sys.stdout)
"""


def _pytest(tests: list[str]) -> None:
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    options = ["-q", "-x", "-p", "no:cacheprovider", "-m", "not slow"]
    os._exit(pytest.main([*options, *tests]))


def _pass(tests: list[str]) -> bool:
    run = multiprocessing.get_context("fork").Process(target=_pytest, args=(tests,))
    run.start()
    run.join(TIMEOUT_S)
    if run.is_alive():
        run.kill()
        run.join()
    return run.exitcode == 0


def _mutants(python: Path, source: str, count: int, seed: int) -> list[tuple[str, str]]:
    """Operator and text of `count` mutants of a module, at most one at each place."""
    draw = [python, "-c", DRAW, str(count), str(seed)]
    output = subprocess.run(draw, input=source, text=True, check=True, stdout=subprocess.PIPE)
    return [(operator, mutant) for operator, mutant in json.loads(output.stdout)]


def _is(line: str, known: dict[str, str]) -> bool:
    return fnmatch.fnmatchcase(line, known["line"].replace("[", "[[]"))


def _run_module(python: Path, module: dict[str, Any], count: int, seed: int) -> int:
    """Run a module's mutants, print the survivors and return the number of unexplained ones."""
    source = Path(module["path"])
    original = source.read_text()
    if not _pass(module["tests"]):
        sys.exit(f"{source}: its tests fail without a mutation: {' '.join(module['tests'])}")
    sys.dont_write_bytecode = True
    explained = module.get("survivor", [])
    outcomes = {"killed": 0, "explained": 0, "unexplained": 0}
    for operator, mutant in _mutants(python, original, count, seed):
        source.write_text(mutant)
        # Python takes a compiled file for current if size and second agree.
        for compiled in source.parent.glob(f"__pycache__/{source.stem}.*"):
            compiled.unlink()
        survives = _pass(module["tests"])
        source.write_text(original)
        outcome = "killed"
        if survives:
            lines = zip(original.splitlines(), mutant.splitlines(), strict=False)
            number, line = next(
                (number, new.strip()) for number, (old, new) in enumerate(lines, 1) if old != new
            )
            reason = next((known["reason"] for known in explained if _is(line, known)), "")
            outcome = "explained" if reason else "unexplained"
            print(f"  {source}:{number}: {line}  [{operator}] {reason}", flush=True)
        outcomes[outcome] += 1
    print(f"{source}: {json.dumps(outcomes)}", flush=True)
    return outcomes["unexplained"]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("modules", nargs="*", help="paths of modules (default: all in the file)")
    parser.add_argument(
        "--cosmic-ray", type=Path, required=True, help="environment with cosmic-ray"
    )
    parser.add_argument("--mutants", type=int, default=40, help="at most so many of each module")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draw")
    arguments = parser.parse_args()
    modules = tomllib.loads(CONFIG.read_text())["module"]
    chosen = [m for m in modules if not arguments.modules or m["path"] in arguments.modules]
    if unknown := set(arguments.modules) - {m["path"] for m in modules}:
        parser.error(f"not in {CONFIG.name}: {', '.join(sorted(unknown))}")
    python = arguments.cosmic_ray.resolve() / "bin/python"
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    sys.path.pop(0)  # the folder of this file; pytest adds the checkout
    for name in HEAVY:
        importlib.import_module(name)
    root = CONFIG.parent.parent
    with tempfile.TemporaryDirectory() as folder:
        archive = subprocess.run(
            ["git", "-C", str(root), "archive", "HEAD"], check=True, capture_output=True
        )
        subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
        os.chdir(folder)
        return int(
            sum(_run_module(python, m, arguments.mutants, arguments.seed) for m in chosen) > 0
        )


if __name__ == "__main__":
    sys.exit(main())
