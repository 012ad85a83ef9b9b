"""The verb `watch`."""

from __future__ import annotations

import re
import signal
import urllib.request
from pathlib import Path

import pytest

from results.store import Store
from tests.benchmarks.cli.commands import Command, start, the_line
from tests.results.factory import make_record, with_key


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nowhere"], "nowhere: no such folder"),
        ([".", "--port", "99999"], "Cannot listen at 127.0.0.1, port 99999"),
        ([".", "--port", "x"], "--port"),
    ],
)
def test_unusable_arguments(command: Command, words: list[str], says: str) -> None:
    assert says in the_line(command("watch", *words))


def test_a_folder_is_served_until_it_is_interrupted(tmp_path: Path) -> None:
    Store(tmp_path / "runs").write(with_key(make_record("lift")), {})
    process = start("watch", str(tmp_path / "runs"), "--port", "0")
    try:
        line = process.stdout.readline()
        address = re.search(r"http://127\.0\.0\.1:\d+/", line)[0]
        with urllib.request.urlopen(address, timeout=30) as answer:
            assert '"label":"lift"' in answer.read().decode()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 0
    assert "Ended." in out
    assert err == ""
