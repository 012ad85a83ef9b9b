"""Finding the verbs, their help, and how the script starts and ends."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import run_benchmarks
from benchmarks import cli
from benchmarks.cli.parts.verbs import build_parsers, find_verbs, parse
from tests.benchmarks.cli.commands import ROOT, SCRIPT, start

VERBS = find_verbs()
GREETING = """
HELP = "greet somebody"
EXAMPLES = {"say-hello Ada": "a greeting"}

def add_arguments(parser):
    parser.add_argument("name", help="whom")

def execute(options, console):
    console.print(f"Hello {options.name}.")
    return 7
"""


def test_a_file_is_a_verb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "say_hello.py").write_text(GREETING)
    monkeypatch.setattr(cli, "__path__", [*cli.__path__, str(tmp_path)])
    monkeypatch.delitem(sys.modules, "benchmarks.cli.say_hello", raising=False)
    assert run_benchmarks.main(["say-hello", "Ada"]) == 7
    assert capsys.readouterr().out == "Hello Ada.\n"
    with pytest.raises(SystemExit):
        run_benchmarks.main(["--help"])
    shown = capsys.readouterr().out
    assert "greet somebody" in shown
    assert "run_benchmarks.py say-hello Ada" in shown


def test_help_of_a_verb_and_versions(capsys: pytest.CaptureFixture[str]) -> None:
    shown = []
    for words in (["help", "plan"], ["plan", "--help"], ["help"], ["--help"], ["--version"]):
        with pytest.raises(SystemExit) as ended:
            run_benchmarks.main(words)
        assert not ended.value.code
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1] and shown[2] == shown[3] and shown[0] != shown[2]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert shown[4].startswith(f"{project['name']} {project['version']}\npython ")
    assert f"torch {importlib.metadata.version('torch')}" in shown[4]


def test_the_verbs_are_those_of_the_documentation() -> None:
    """Scripts rely on these names; the default verb comes first in the help."""
    expected = ["run", "calibrate", "check", "compare", "download", "features", "list"]
    expected += ["migrate", "plan", "predict", "report", "show", "status", "tune"]
    assert [name for name in VERBS if name in expected] == expected


@pytest.mark.parametrize("verb", VERBS)
def test_every_argument_has_a_help_text(verb: str) -> None:
    parser = build_parsers(VERBS)[1][verb]
    assert [a.dest for a in parser._actions if not a.help] == []


@pytest.mark.parametrize(
    ("verb", "flag", "says"),
    [
        ("run", "--config", "flags override it"),
        ("plan", "--recipe", "may be given several times, and --set wins over it"),
        ("tune", "--datasets", "required"),
    ],
)
def test_help_says_what_overrides_what(verb: str, flag: str, says: str) -> None:
    action = build_parsers(VERBS)[1][verb]._option_string_actions[flag]
    assert says in (action.help or "")


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_has_examples_that_parse(name: str) -> None:
    assert VERBS[name].EXAMPLES
    for example in VERBS[name].EXAMPLES:
        if "--help" not in example:
            verb, options = parse(example.split())
            assert verb is VERBS[name]
            assert options.verb == name


def test_the_help_fits_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run_benchmarks.main(["--help"])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 100


def test_without_the_packages_one_line_says_how_to_install_them(work: Path) -> None:
    for words in ([], ["list"], ["run", "--methods", "lift", "--datasets", "glyphs100_lt"]):
        # -S leaves out the packages of the environment.
        run = subprocess.run(
            [sys.executable, "-S", str(SCRIPT), *words], capture_output=True, text=True, check=False
        )
        assert (run.returncode, run.stdout) == (2, "")
        assert run.stderr.count("\n") == 1
        assert re.match(r"error: the Python package 'rich' is not installed", run.stderr)
        for way in ("`make demo`", "`pip install -e .`", sys.executable):
            assert way in run.stderr
    run = subprocess.run([sys.executable, "-S", str(SCRIPT), "--help"], check=False)
    assert run.returncode == 0


@pytest.mark.parametrize(
    ("words", "forbidden"),
    [
        (["--help"], {"torch", "numpy", "rich", "open_clip"}),
        (["run", "--help"], {"torch", "numpy", "rich", "open_clip"}),
        (["list"], {"torch", "open_clip", "pandas", "matplotlib", "torchvision"}),
    ],
)
def test_help_and_list_are_quick(work: Path, words: list[str], forbidden: set[str]) -> None:
    """Slow imports stay out of quick commands."""
    code = (
        "import sys, runpy\n"
        f"sys.argv = {[str(SCRIPT), *words]}\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "try:\n"
        f"    runpy.run_path({str(SCRIPT)!r}, run_name='__main__')\n"
        "except SystemExit as end:\n"
        f"    print('loaded', sorted(set(sys.modules) & {forbidden}), end.code or 0)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.endswith("loaded [] 0\n"), run.stdout[-200:]


def test_the_script_runs_from_any_folder(work: Path) -> None:
    process = start("list", "methods")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert "zero_shot" in out


def test_a_pipe_that_is_closed_early(work: Path) -> None:
    process = start("list")
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    err = process.stderr.read()
    process.stderr.close()
    assert (process.wait(timeout=60), err) == (0, "")
