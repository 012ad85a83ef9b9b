from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from methods.registry import METHODS
from tests.benchmarks.conformance.plugins import PLUGIN, REGISTER


@pytest.fixture
def mine(plugin: Callable[[str], Path]) -> Callable[..., None]:
    """Registers the method `mine` with these lines in it."""

    def register(body: str = "return head(weight(task))", **lines: str) -> None:
        options = lines.pop("options", "")
        decorator = lines.pop("decorator", REGISTER.format(options and f", {options}"))
        rest = {"frozen": "True", "summary": "Mine.", "field": "", "more": ""} | lines
        METHODS.load_file(plugin(PLUGIN.format(decorator=decorator, body=body, **rest)))

    return register
