"""Comparisons with published code: here with stand-ins that the tests write themselves."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from benchmarks.errors import UserError
from benchmarks.tools.checkouts import Checkout
from benchmarks.tools.parity.__main__ import main, on_cpu, run
from benchmarks.tools.parity.contract import EXACT, Pair, named, names

DOCUMENT = Path(__file__).parents[3] / "docs" / "parity.md"

TAU_NORM = """
import a_package_that_the_comparison_does_not_need

def pnorm(weight, tau):
    return FACTOR * weight * (weight * weight).sum(1, keepdim=True) ** (-tau / 2)

def dotproduct_similarity(x, weight):
    return (x[:, None] * weight).sum(-1)
"""

LWS = """
import torch
from utils import start

class DotProduct_Classifier(torch.nn.Module):
    def __init__(self, classes, width):
        super().__init__()
        print("a line that nobody asked for")
        self.fc = torch.nn.Linear(width, classes).requires_grad_(False)
        self.scales = torch.nn.Parameter(start(classes))

    def forward(self, x):
        return self.scales * (x @ self.fc.weight.T + self.fc.bias), None
"""


def git(folder: Path, *command: str) -> str:
    names = ("-c", "user.name=A", "-c", "user.email=a@b.c")
    done = subprocess.run(
        ["git", "-C", str(folder), *names, *command], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def written(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def decoupling(tmp_path: Path) -> Path:
    """A git repository with the names of classifier-balancing and code of our own."""
    folder = written(
        tmp_path / "theirs",
        {
            "tau_norm.py": TAU_NORM.replace("FACTOR", "1"),
            "models/TauNormClassifier.py": LWS,
            "utils.py": "import torch\nstart = torch.ones\n",
        },
    )
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "one")
    return folder


# ---- the command ---------------------------------------------------------------------------------


def test_equal_code_agrees(decoupling: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tau_norm", "lws", "--theirs", str(decoupling)]) == 0
    said = capsys.readouterr()
    assert "DIFFERS" not in said.out
    assert "logits, tau 0.5 " in said.out and "gradient of the scales " in said.out
    assert "nobody asked" not in said.out + said.err
    commit = git(decoupling, "rev-parse", "--short=7", "HEAD")
    assert f"facebookresearch/classifier-balancing {commit}\n" in said.out
    stated = named("tau_norm").commit[:7]
    assert f"is at commit {commit}, docs/parity.md has {stated}" in said.err


@pytest.mark.parametrize("factor", ["1.0001", "float('nan')"])
def test_a_wrong_factor_differs(
    decoupling: Path, capsys: pytest.CaptureFixture[str], factor: str
) -> None:
    written(decoupling, {"tau_norm.py": TAU_NORM.replace("FACTOR", factor)})
    assert main(["tau_norm", "lws", "--theirs", str(decoupling)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.endswith("DIFFERS") for line in lines) == 4  # the four values of tau
    assert sum(line.endswith("ok") for line in lines) == 3  # all of lws


def test_a_line_for_the_document(decoupling: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lws", "--markdown", "--theirs", str(decoupling)]) == 0
    _, name, source, what, largest, differs, _ = capsys.readouterr().out.split("|")
    assert name == " `lws` " and "classifier-balancing " in source and "scales" in what
    assert re.fullmatch(r" (0|\de-\d\d \(.+\)) ", largest) and "stage 1" in differs


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"models/TauNormClassifier.py": "import not_here"}, "needs a package: No module named"),
        ({"models/TauNormClassifier.py": ""}, "another version of the code: AttributeError"),
        ({"models/TauNormClassifier.py": LWS.replace("fc.bias), None", "fc), None")},
         "another version of the code: TypeError in "),
        ({"utils.py": "start = 1 / 0"}, "ZeroDivisionError in utils.py:1: division by zero"),
    ],
)  # fmt: skip
def test_code_that_cannot_be_used_is_one_line(
    decoupling: Path, capsys: pytest.CaptureFixture[str], broken: dict[str, str], said: str
) -> None:
    written(decoupling, broken)
    assert main(["lws", "--theirs", str(decoupling)]) == 2
    *warnings, error = capsys.readouterr().err.splitlines()
    assert error.startswith("error: ") and said in error
    assert all(line.startswith("warning: ") for line in warnings)


def test_definitions_that_are_missing_are_named(
    decoupling: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(decoupling, {"tau_norm.py": TAU_NORM.replace("pnorm", "renamed")})
    assert main(["tau_norm", "--theirs", str(decoupling)]) == 2
    assert "tau_norm.py does not define pnorm" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["tau_norm"], "a checkout of github.com/facebookresearch/classifier-balancing is needed"),
        (["tau_norn", "--theirs", "."], "Unknown comparison 'tau_norn'. Did you mean: tau_norm?"),
        (["--theirs", "."], "--theirs needs the name of a comparison"),
        (["tau_norm", "--theirs", "EMPTY"], "not a checkout of github.com/facebookresearch/"),
        (["tau_norm", "--theirs", "EMPTY/no"], "it has no tau_norm.py."),
    ],
)
def test_unusable_arguments_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert main([each.replace("EMPTY", str(tmp_path)) for each in arguments]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_every_comparison_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["--list"]):
        assert main(arguments) == 0
        listed = [line.split() for line in capsys.readouterr().out.splitlines()]
        assert [line[0] for line in listed] == names()
        assert all(re.fullmatch(r"[\w-]+/[\w-]+", line[1]) and len(line) > 5 for line in listed)


# ---- parts ---------------------------------------------------------------------------------------


def test_a_commit_is_that_of_the_folder_itself(decoupling: Path) -> None:
    files = ("tau_norm.py", "utils.py")
    theirs = Checkout(decoupling, "owner/name", files)
    assert theirs.commit == git(decoupling, "rev-parse", "HEAD") and theirs.changed() == []
    written(decoupling, {"utils.py": "other = 1\n"})
    assert theirs.changed() == ["utils.py"]
    inside = written(decoupling / "models" / "copy", {"a.py": ""})
    assert Checkout(inside, "owner/name", ["a.py"]).commit is None


def test_modules_are_forgotten_and_stand_ins_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path, {"utils.py": "import stood_in\nvalue = stood_in.value\nprint(value)"})
    monkeypatch.setitem(sys.modules, "utils", ModuleType("utils"))  # of somebody else
    before = dict(sys.modules)
    theirs = Checkout(tmp_path, "owner/name", ["utils.py"])
    [utils] = theirs.modules("utils", stand_ins={"stood_in": SimpleNamespace(value=3)})
    assert utils.value == 3 and capsys.readouterr().out == ""
    assert sys.modules == before and str(tmp_path) not in sys.path


def test_an_error_in_the_stated_version_is_not_blamed_on_the_version(decoupling: Path) -> None:
    written(decoupling, {"utils.py": "start = 1 / 0"})
    git(decoupling, "commit", "-qam", "two")
    stated = replace(named("lws"), commit=git(decoupling, "rev-parse", "HEAD"))
    with pytest.raises(UserError, match=r"^lws: ZeroDivisionError in utils\.py:1: division"):
        run(stated, decoupling, markdown=False)


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ([1.0, 2.0], [1.0, 2.5], (0.5, 0.2)),
        (3, 3, (0.0, 0.0)),
        ([0.0], [0.0], (0.0, 0.0)),
        ([1e-9], [0.0], (1e-9, 1e-9)),
        ([np.inf, np.nan, 1.0], [np.inf, np.nan, 4.0], (3.0, 0.75)),
        ([np.inf], [-np.inf], (np.inf, np.inf)),
        ([np.nan], [1.0], (np.inf, np.inf)),
        ([[1.0]], [1.0], (np.inf, np.inf)),
        ([], [], (np.inf, np.inf)),
    ],
)
def test_differences(ours: object, theirs: object, expected: tuple[float, float]) -> None:
    pair = Pair("", ours, theirs, EXACT)
    assert pair.differences == expected
    assert pair.agrees == (expected[0] == 0)
    assert Pair("", ours, theirs, 0.2).agrees == (expected[1] <= 0.2)


def test_a_pair_keeps_the_numbers_of_its_time() -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    pair = Pair("", weight, torch.ones(2), EXACT)
    with torch.no_grad():
        weight += 1
    assert pair.agrees


def test_the_document_has_every_comparison_at_its_commit() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\S+) (\w{7}) \|", DOCUMENT.read_text("utf-8"), re.MULTILINE)
    stated = {name: (repository, commit) for name, repository, commit in rows}
    expected = {each: named(each) for each in names()}
    assert stated == {
        name: (found.repository, found.commit[:7]) for name, found in expected.items()
    }


def test_code_stays_on_the_cpu_only_while_it_is_compared() -> None:
    before = (torch.Tensor.cuda, torch.nn.Module.cuda, torch.cuda.is_available)
    with on_cpu():
        x = torch.zeros(2)
        assert x.cuda(3) is x and torch.cuda.FloatTensor([1.0]).device.type == "cpu"
        assert not torch.cuda.is_available()
    assert (torch.Tensor.cuda, torch.nn.Module.cuda, torch.cuda.is_available) == before
