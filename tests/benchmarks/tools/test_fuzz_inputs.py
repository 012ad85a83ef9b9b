"""Properties of every input: a status, one clean line, nothing run, nothing written elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.tools.torture import fuzz, inputs
from benchmarks.tools.torture.guided import Given
from benchmarks.tools.torture.inputs import Case
from benchmarks.tools.torture.values import MARK

KINDS = list(dict.fromkeys(inputs.KINDS))


@pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__)
@settings(
    max_examples=4, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)  # fmt: skip
@given(random=st.randoms(use_true_random=False))
def test_an_input_ends_well(make: Callable[[Random], Case], random: Random) -> None:
    case = make(random)
    with TemporaryDirectory() as folder:
        status, faults = fuzz.faults_of(case, Path(folder))
    assert faults == [], (status, case.words)


@pytest.mark.slow
@pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__)
def test_ten_thousand_inputs_end_well(make: Callable[[Random], Case], tmp_path: Path) -> None:
    """An eighth of them each, so that several test workers share them."""
    counts, faults = fuzz.try_cases(0, range(10_000 // len(KINDS) + 1), tmp_path, make)
    assert faults == []
    # Both good and bad ones; but a record may hold any text.
    assert len(counts) > 1 or make is inputs.class_names


# ---- the judge ---------------------------------------------------------------------------------


def judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Callable[[], int]) -> list[str]:
    monkeypatch.setattr(fuzz, "_run", lambda case: run())
    folder = tmp_path / "case"
    folder.mkdir(exist_ok=True)
    return fuzz.faults_of(Case("none", ["none"]), folder)[1]


def says(text: str, status: int) -> Callable[[], int]:
    return lambda: [sys.stderr.write(text), status][1]


@pytest.mark.parametrize(
    ("run", "fault"),
    [
        (lambda: 3, "exit status 3"),
        (lambda: sys.exit("a text"), "exit status"),
        (lambda: 1 // 0, "raises ZeroDivisionError"),
        (says("error: unexpected X.\n", 1), "error: unexpected"),
        (says("error: a\nb\n", 2), "2 lines of error"),
        (says("bad\n", 2), "1 lines of error"),
        (says("error: \x1b[31m\n", 2), "prints"),
        (says("\u202e", 0), "prints"),
        (lambda: Path("../elsewhere").write_text("x") * 0, "open of"),
        (lambda: os.mkdir("../elsewhere") or 0, "os.mkdir of"),
        (lambda: os.rename("/nowhere", "x") or 0, "os.rename of"),
        (lambda: os.system("true"), "os.system"),
        (lambda: exec(f"{MARK} = 0") or 0, "of data"),
        (lambda: [Path(MARK).touch(), 0][1], "code from data was run"),
    ],
)
def test_the_judge_notices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Callable[[], int], fault: str
) -> None:
    assert any(fault in found for found in judged(tmp_path, monkeypatch, run))


def test_a_good_end_has_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run() -> int:
        Path("out").mkdir()
        (Path("out") / "x").write_text("x")
        sys.stderr.write("error: one line.\n")
        return 2

    assert judged(tmp_path, monkeypatch, run) == []


def test_a_hang_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run() -> int:
        while True:
            pass

    monkeypatch.setattr(fuzz, "LIMIT_S", 0.05)
    assert any("raises Hang" in found for found in judged(tmp_path, monkeypatch, run))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell a peak anew")
def test_a_case_that_takes_all_memory_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fuzz, "LIMIT_BYTES", 10**8)

    (taken,) = judged(tmp_path, monkeypatch, lambda: len(b"x" * 150_000_000) * 0)
    assert taken in ("takes 0.1 GB", "takes 0.2 GB")
    assert judged(tmp_path, monkeypatch, lambda: len(b"x" * 50_000_000) * 0) == []


def test_a_case_depends_on_its_number_alone() -> None:
    first, again = (inputs.any_case(Random("0/5")) for _ in range(2))
    assert (first.words, first.files) == (again.words, again.files)


def test_bytes_are_random_numbers() -> None:
    """The coverage-guided search changes bytes; each choice of a case takes the next of them."""
    numbers = Given(b"\x01\x02\xff\xff")
    assert numbers.getrandbits(8) == 1
    assert numbers.getrandbits(7) == 1
    assert numbers.random() == 65535 / 65536
    assert (numbers.random(), numbers.choice("abc")) == (0.0, "a")  # used up
    content = Random(1).randbytes(400)
    first, again = (inputs.any_case(Given(content)) for _ in range(2))
    assert (first.words, first.files) == (again.words, again.files)
    kinds = {inputs.any_case(Given(Random(i).randbytes(99))).kind for i in range(60)}
    assert len(kinds) == len(KINDS)


def test_the_valid_inputs_are_valid(tmp_path: Path) -> None:
    """Otherwise their changes would reach nothing but the first check."""
    files = inputs.records()
    for words, more in (
        (["compare", "runs", "--a", "lift", "--b", "ncm"], files),
        (["plan", "--config", "s.yaml"], {"s.yaml": as_is("sweep")}),
        (
            ["plan", "--methods", "lift", "--datasets", "glyphs100_lt", "--recipe", "r.yaml"],
            {"r.yaml": as_is("recipe")},
        ),
        (["published", "p.yaml"], {"p.yaml": as_is("published")}),
        (["show", "d.yaml"], own()),
    ):
        kind = "own data" if words[-1] == "d.yaml" else "valid"
        folder = tmp_path / words[-1]
        folder.mkdir()
        assert fuzz.faults_of(Case(kind, words, more), folder) == (0, [])


def as_is(kind: str) -> bytes:
    return yaml.safe_dump(inputs.VALID[kind]).encode()


def own() -> dict[str, bytes]:
    images = {f"images/{name}.png": inputs.PIXEL for name in ("a1", "a2", "b1", "b2")}
    return {"d.yaml": as_is("own"), "labels.csv": inputs.CSV.encode(), **images}
