"""Arrays in the cache folder."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.cache import CHECKSUMS, ENVIRONMENT_VARIABLE, Arrays, cached_arrays
from tests.benchmarks.damage import damages, full_disk

ARRAYS: Arrays = {
    "labels": np.arange(50),
    "files": np.array(["a.png", "é.png"]),
    "digest": np.array("abc"),
}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(folder))
    return folder


@pytest.fixture
def read(cache: Path) -> Callable[[], int]:
    """Reads the arrays, compares them with what was built; the number of builds."""

    def read() -> int:
        builds = []

        def build() -> Arrays:
            builds.append(1)
            return ARRAYS

        found = cached_arrays("kind", "key", list(ARRAYS), build)
        assert found.keys() == ARRAYS.keys()
        assert all(np.array_equal(found[name], array) for name, array in ARRAYS.items())
        return len(builds)

    return read


def test_arrays_are_built_once(cache: Path, read: Callable[[], int]) -> None:
    assert [read(), read()] == [1, 0]
    (cache / "kind" / "key" / CHECKSUMS).unlink()  # an entry of an earlier version
    assert [read(), read()] == [1, 0]
    assert [path.name for path in (cache / "kind").iterdir()] == ["key"]


def test_an_entry_is_open_to_whom_the_user_lets_in(cache: Path, read: Callable[[], int]) -> None:
    before = os.umask(0o022)
    try:
        read()
    finally:
        os.umask(before)
    assert (cache / "kind" / "key").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("name", ["labels.npy", "files.npy", "digest.npy", CHECKSUMS])
def test_a_damaged_entry_is_built_again_with_a_warning(
    name: str, cache: Path, read: Callable[[], int], caplog: pytest.LogCaptureFixture
) -> None:
    read()
    entry = cache / "kind" / "key"
    unseen = []  # by the checksums: a space in the JSON is one
    for damage in damages(entry / name, flips=25, seed=0):
        caplog.clear()
        with caplog.at_level(logging.WARNING, logger="benchmarks"):
            if not read():
                unseen.append(damage)
        expected = f"{entry} is damaged: its data are read from their source again."
        assert caplog.messages == ([] if damage in unseen else [expected]), damage
    assert name == CHECKSUMS or unseen == []


@pytest.mark.parametrize("where", ["full", "a file"])
def test_a_cache_that_cannot_be_written_to_is_one_warning(
    where: str, cache: Path, read: Callable[[], int], caplog: pytest.LogCaptureFixture
) -> None:
    if where == "a file":
        cache.touch()
    ARRAYS["large"] = np.zeros(10_000)
    try:
        with caplog.at_level(logging.WARNING, logger="benchmarks"), full_disk():
            assert [read(), read()] == [1, 1]
    finally:
        del ARRAYS["large"]
    (said,) = caplog.messages
    assert said.startswith(f"Cannot write to the cache {cache / 'kind'} (")
    assert f"{ENVIRONMENT_VARIABLE}=DIR" in said
    assert where == "a file" or list((cache / "kind").iterdir()) == []


def test_what_a_killed_process_left_is_removed(cache: Path, read: Callable[[], int]) -> None:
    left = cache / "kind" / ".key-ab12_cde"  # of a version that did not name the writer
    left.mkdir(parents=True)
    os.utime(left, (0, 0))
    read()
    assert [path.name for path in (cache / "kind").iterdir()] == ["key"]
