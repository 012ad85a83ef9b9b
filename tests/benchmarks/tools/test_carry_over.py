"""Records carried over from one commit to another that computes the same numbers."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest

from benchmarks.errors import UserError
from benchmarks.tools.carry_over import carry_over, fingerprints_at
from results.identity import cell_key
from results.schema import Record
from results.store import Store
from tests.results.factory import failed_record, make_record, with_key

ROOT = Path(__file__).resolve().parents[3]
LAST_OVER_BYTES = "ad3db74"
"""The last commit whose fingerprints were hashes of files, docstrings and all."""

Commit = Callable[[str], str]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q")
    return folder


def git(folder: Path, *words: str) -> str:
    own = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", *own, *words], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def commit(repository: Path) -> Commit:
    """Commits sources whose fingerprints are what a piece of code says."""

    def write(fingerprint: str) -> str:
        for package in ("methods", "benchmarks"):
            (repository / package).mkdir(exist_ok=True)
            (repository / package / "__init__.py").touch()
        source = """
            class METHODS:
                entries = staticmethod(lambda: {"lift": 0, "sage": 0})
        """
        text = f"{dedent(source)}\n{fingerprint}\n"
        (repository / "methods" / "registry.py").write_text(text, encoding="utf-8")
        git(repository, "add", "-A")
        git(repository, "commit", "-q", "-m", "sources")
        return git(repository, "rev-parse", "HEAD")

    return write


def made_by(fingerprint: str, method: str, seed: int = 0, **changes: object) -> Record:
    return with_key(
        make_record(method, seed, provenance_fingerprint=fingerprint, **changes)  # type: ignore[arg-type]
    )


def key_of(fingerprint: str, method: str, seed: int = 0) -> str:
    return made_by(fingerprint, method, seed).key


PREDICTIONS = {"ids": np.array(["a", "b", "c"]), "labels": np.arange(3)}


def test_only_records_of_the_named_sources_are_carried_over(
    tmp_path: Path, repository: Path, commit: Commit
) -> None:
    before = commit("fingerprint = lambda name: f'old {name}'")
    after = commit("fingerprint = lambda name, config: f'new {name} {config[\"lr\"]}'")
    store = Store(tmp_path / "out")
    store.write(made_by("old lift", "lift"), PREDICTIONS)
    store.write(made_by("older lift", "lift", 1), PREDICTIONS)  # sources of another commit
    store.write(made_by("old coop", "coop"), PREDICTIONS)  # a method that is in neither
    failed = failed_record("sage", identity="s", key=cell_key("s", "old sage"), provenance=None)
    store.write(failed, None)
    (tmp_path / "out" / "models").mkdir()
    saved = tmp_path / "out" / "models" / f"{key_of('old lift', 'lift')}.safetensors"
    saved.write_bytes(b"weights")

    assert carry_over(tmp_path / "out", before, after, repository) == (2, 2)

    key = key_of("new lift 0.01", "lift")
    record = store.get(key)
    assert record is not None and record.provenance is not None
    assert record.provenance.fingerprint == "new lift 0.01"
    assert set(store.predictions(key)) == {"ids", "labels"}
    assert not saved.exists() and saved.with_name(f"{key}.safetensors").read_bytes() == b"weights"
    kept = {key_of("older lift", "lift", 1), key_of("old coop", "coop")}
    assert {r.key for r in store.all()[0]} == {key, cell_key("s", "new sage 0.01"), *kept}
    assert carry_over(tmp_path / "out", before, after, repository) == (0, 4)  # a second time


def test_nothing_else_in_a_record_changes(tmp_path: Path, repository: Path, commit: Commit) -> None:
    before, after = (commit(f"fingerprint = lambda name: '{text}'") for text in ("old", "new"))
    store = Store(tmp_path)
    store.write(made_by("old", "lift"), PREDICTIONS)
    first = json.loads((store.folder / f"{key_of('old', 'lift')}.json").read_text("utf-8"))
    carry_over(tmp_path, before, after, repository)
    second = json.loads((store.folder / f"{key_of('new', 'lift')}.json").read_text("utf-8"))
    changed = {name for name in first if first[name] != second[name]}
    assert changed == {"key", "provenance", "checksum"} and first.keys() == second.keys()
    assert first["provenance"] | {"fingerprint": "new"} == second["provenance"]


@pytest.mark.parametrize(
    ("name", "message"), [("nothing", "git has no sources of nothing"), ("HEAD", "do not run")]
)
def test_sources_that_cannot_be_asked(
    tmp_path: Path, repository: Path, commit: Commit, name: str, message: str
) -> None:
    good = commit("fingerprint = lambda name: 'old'")
    commit("raise ValueError")
    Store(tmp_path).write(made_by("old", "lift"), PREDICTIONS)
    with pytest.raises(UserError, match=message):
        carry_over(tmp_path, good, name, repository)
    assert Store(tmp_path).get(key_of("old", "lift")) is not None


def test_a_folder_without_records_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No records under"):
        carry_over(tmp_path / "typo", "HEAD", "HEAD")


def test_a_damaged_record_stops_it(tmp_path: Path, repository: Path, commit: Commit) -> None:
    good = commit("fingerprint = lambda name: 'old'")
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "damaged.json").write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match="nothing is carried over"):
        carry_over(tmp_path, good, good, repository)


@pytest.mark.slow
def test_the_fingerprints_over_bytes_are_those_of_the_records_in_git() -> None:
    """Proof, on this project's history, that the reference records were those of their sources."""
    names = ["results/reference/paper_table/records", "results/reference/loss_ablation/records"]
    known = subprocess.run(
        ["git", "cat-file", "-e", LAST_OVER_BYTES], cwd=ROOT, capture_output=True, check=False
    )
    if shutil.which("git") is None or known.returncode:
        pytest.skip(f"needs the history of the project ({LAST_OVER_BYTES} is not in this clone)")
    files = git(ROOT, "ls-tree", "--name-only", LAST_OVER_BYTES, *(f"{n}/" for n in names)).split()
    records = [json.loads(git(ROOT, "show", f"{LAST_OVER_BYTES}:{file}")) for file in files[::40]]
    assert records
    found = fingerprints_at(LAST_OVER_BYTES, [(r["method"], r["config"]) for r in records])
    assert found == [r["provenance"]["fingerprint"] for r in records]
    assert [r["key"] for r in records] == [
        cell_key(r["identity"], f or "") for r, f in zip(records, found, strict=True)
    ]
